"""The template as the paper prints it, and the one place where tags are parsed."""

import hypothesis
import pytest
from hypothesis import strategies as st

from r1jax.data import template

_OTHERS = ('<THINK>', '</Think>', '<thinking>', '</thinking>')
_PIECES = st.sampled_from([*template.TAGS, *_OTHERS, ' ', '12', '\n', 'a <b', '</', '<think'])


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
    ('<think>a</think><think><answer>3</answer></think>', 'a', (), False),
    ('a<answer>3</answer></think><answer>4</answer>', None, ('4',), False),
    # Thoughts in other letters hide answers, and the format is R1's own.
    ('<THINK><answer>3</answer></THINK>', None, (), False),
    ('<THINK>a</THINK><answer>3</answer>', None, ('3',), False),
    ('<thinking>a</thinking><answer>3</answer>', None, ('3',), False),
    ('<think>a</THINK>b</think><answer>3</answer>', 'a</THINK>b', ('3',), True),
    ('<think>a<thinking>b</think><answer>3</answer>', 'a<thinking>b', ('3',), True),
    ('<think>a</think><answer>3<THINK>4</answer>', 'a', ('3',), True),
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


@pytest.mark.parametrize(
  'completion, outside',
  [
    ('plain', 'plain'),
    ('a<think>b</think>c', 'ac'),
    ('b</think>c', 'c'),
    ('a<think>never closed', 'a'),
    ('a<think>b</think>c<think>d</think>e', 'ace'),
    ('a<think>b</think>c<think>d', 'ac'),
    ('b</think>c<think>d</think>e<think>f', 'ce'),
    ('a<think>b<think>c</think>d</think>e', 'e'),
    ('a<THINK>b</think>c<thinking>d</Thinking>e', 'ace'),
    ('a<think>b</thinking>c', 'a'),
    ('a<answer>b<think>c</answer>d', 'a<answer>b'),
    ('a<thinker>b</ think>c', 'a<thinker>b</ think>c'),
  ],
)
def test_what_stands_outside_the_thought_has_no_tags(completion, outside):
  assert template.outside_thought(completion) == outside


@hypothesis.given(st.lists(_PIECES).map(''.join), st.lists(_PIECES).map(''.join))
def test_nothing_of_an_open_thought_is_outside(before, inside):
  said = template.outside_thought(f'{before}</think>') + 'seen'
  # What follows is in the thought up to the next tag that may close one.
  hidden = inside.replace('</', '<')
  assert template.outside_thought(f'{before}</think>seen<think>{hidden}') == said


def test_a_million_characters_are_parsed_at_once():
  for text in ('<think>' * 150_000, '<' * 1_000_000, 'x' * 1_000_000, '<answer></answer>' * 60_000):
    assert not template.parse(text).well_formed
