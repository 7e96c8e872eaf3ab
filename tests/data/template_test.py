"""The template as the paper prints it, and the one place where tags are parsed."""

import hypothesis
import pytest
from hypothesis import strategies as st

from r1jax.data import template

_PIECES = st.sampled_from([*template.TAGS, ' ', '12', '\n', 'a <b', '</', '<think'])


def test_the_question_stands_where_the_paper_puts_it():
  prompt = template.render('What is 1 + 1')
  assert prompt.endswith('</answer>. User: What is 1 + 1. Assistant:')
  assert prompt.startswith('A conversation between User and Assistant. The user asks a question')
  assert template.render('{question}').count('{question}') == 1


@pytest.mark.parametrize(
  'text, thought, answers, well_formed',
  [
    (' <think> a </think> <answer> 3 </answer>', ' a ', (' 3 ',), True),
    ('<think></think><answer>3</answer>\n', '', ('3',), True),
    ('3', None, (), False),
    ('<answer>3</answer>', None, ('3',), False),
    ('<think>a</think><answer> </answer>', 'a', (' ',), False),
    ('<think>a</think><answer>3</answer><answer>4</answer>', 'a', ('3', '4'), False),
    ('<think><answer>3</answer></think>', '<answer>3</answer>', (), False),
    ('<think>a</think>so<answer>3</answer>', 'a', ('3',), False),
    ('<answer>3</answer><think>a</think>', 'a', ('3',), False),
    ('x<think>a</think><answer>3</answer>', 'a', ('3',), False),
    ('<think>a</think><answer>3', 'a', (), False),
    ('<think>a<answer>3</answer>', None, (), False),
  ],
)
def test_a_reply_is_cut_at_its_tags(text, thought, answers, well_formed):
  reply = template.parse(text)
  assert (reply.thought, reply.answers, reply.well_formed) == (thought, answers, well_formed)
  assert bool(reply.problem) != well_formed


@hypothesis.given(st.lists(_PIECES | st.text(max_size=5)).map(''.join))
def test_parsing_never_fails_and_form_implies_one_answer(text):
  reply = template.parse(text)
  if reply.well_formed:
    assert reply.thought is not None and len(reply.answers) == 1


def test_a_million_characters_are_parsed_at_once():
  for text in ('<think>' * 150_000, '<' * 1_000_000, 'x' * 1_000_000, '<answer></answer>' * 60_000):
    assert not template.parse(text).well_formed
