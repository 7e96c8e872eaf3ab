"""What is learned of a conversation in real templates: replies and their ends, token by token."""

import hypothesis
import numpy as np
import pytest
import tokenizers
from hypothesis import strategies as st

from r1jax.data import conversations, prompts, tokenizer
from tests import shared_data
from tests.data import hub_tokenizer_test
from tests.interchange import families

TALK = (
  {'role': 'user', 'content': 'What is 2+2?'},
  {'role': 'assistant', 'content': "It's four.\n\nReally 4"},
  {'role': 'user', 'content': ' And 3+3?\n'},
  {'role': 'assistant', 'content': 'Six 🦙'},
)
THOUGHTS = (
  {'role': 'user', 'content': '2+2?'},
  {'role': 'assistant', 'content': '<think>\neasy\n</think>\n\nFour.'},
  {'role': 'user', 'content': '3+3?'},
  {'role': 'assistant', 'content': '<think>\nhm\n</think>\n\nSix.'},
)
# Of the letters that the vocabulary of our own has.
SHORT = (
  {'role': 'user', 'content': 'What is 2+2?'},
  {'role': 'assistant', 'content': " It's four. "},
  {'role': 'user', 'content': 'And 3+3?'},
  {'role': 'assistant', 'content': 'too'},
)
# Blocks of `{% generation %}` in a template that also changes what it is given.
MARKED = (
  "{% for m in messages %}{% if m['role'] == 'assistant' %}<bos>{% generation %}"
  "{{ m['content'] | trim }}<eos>{% endgeneration %}ab\n"
  "{% else %}{{ m['role'] + m['content'] }}{% endif %}{% endfor %}"
  '{% if add_generation_prompt %}<bos>{% endif %}'
)
PLAIN = MARKED.replace('{% generation %}', '').replace('{% endgeneration %}', '')


def of(messages, **changes):
  return conversations.Conversation(tuple(messages), where='some.jsonl, line 3', **changes)


def chat(name, template, folder, **settings):
  """The chat form of the real tokenizer `name` with a template's text."""
  hub_tokenizer_test.unpack(name, folder)
  (folder / 'chat_template.jinja').write_text(template)
  return prompts.Form(tokenizer.load(folder), 'chat', folder, **settings)


@pytest.fixture(scope='module')
def qwen(tmp_path_factory):
  folder = tmp_path_factory.mktemp('qwen')
  source = shared_data.path('qwen2/chat_template.jinja').read_text()
  hub_tokenizer_test.unpack('qwen2', folder)
  (folder / 'generation_config.json').write_text('{"eos_token_id": [151645, 151643]}')
  return chat('qwen2', source, folder)


def small(folder, template):
  """The chat form of a tokenizer of our own."""
  families.write_tokenizer(folder)
  (folder / 'chat_template.jinja').write_text(template)
  return prompts.Form(tokenizer.load(folder), 'chat', folder)


def spans(form, folder_text, said):
  """(ids, mask) of a whole text: tokens that lie within the places of `said`, by the library."""
  model = tokenizers.Tokenizer.from_buffer(form.tokenizer.files['tokenizer.json'])
  found = model.encode(folder_text, add_special_tokens=False)
  places, begin = [], 0
  for text in said:
    begin = folder_text.index(text, begin)
    places.append((begin, begin + len(text)))
    begin += len(text)
  mask = [any(b <= low and high <= e for b, e in places) for low, high in found.offsets]
  return found.ids, mask


def learned(form, tokens):
  """Texts of the runs of tokens that are learned, special ones included."""
  runs, before = [], False
  for i, mark in zip(tokens.ids, tokens.learned, strict=True):
    if mark and not before:
      runs.append('')
    if mark:
      runs[-1] += form.tokenizer.decode([i]) or form.tokenizer.text_of(int(i))
    before = mark
  return runs


def test_in_chatml_the_mask_is_that_of_the_whole_text_by_character_places(qwen):
  (found,) = of(TALK).tokens(qwen)
  said = ["It's four.\n\nReally 4<|im_end|>", 'Six 🦙<|im_end|>']
  text = (
    '<|im_start|>system\nYou are a helpful assistant<|im_end|>\n'
    f'<|im_start|>user\nWhat is 2+2?<|im_end|>\n<|im_start|>assistant\n{said[0]}\n'
    f'<|im_start|>user\n And 3+3?\n<|im_end|>\n<|im_start|>assistant\n{said[1]}'
  )
  ids, mask = spans(qwen, text, said)
  assert (found.ids.tolist(), found.learned.tolist()) == (ids, mask)


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(st.lists(st.text('ab 1\n\t.,é猫🦙<|', min_size=1), min_size=2, max_size=6))
def test_whatever_is_said_the_learned_runs_are_the_replies_and_their_ends(qwen, texts):
  texts = texts[: len(texts) // 2 * 2]
  roles = ('user', 'assistant')
  messages = [{'role': roles[i % 2], 'content': text} for i, text in enumerate(texts)]
  (found,) = of(messages).tokens(qwen)
  edges = np.flatnonzero(np.diff(found.learned.astype(int), prepend=0, append=0))
  runs = [found.ids[b:e] for b, e in zip(edges[::2], edges[1::2], strict=True)]
  assert [qwen.tokenizer.decode(run[:-1]) for run in runs] == texts[1::2]
  assert {int(run[-1]) for run in runs} == {qwen.tokenizer.piece_id('<|im_end|>')}


def test_a_given_reply_is_read_and_not_learned(qwen):
  (whole,), (part,) = of(TALK).tokens(qwen), of(TALK, begin=3).tokens(qwen)
  assert whole.ids.tolist() == part.ids.tolist()
  assert learned(qwen, part) == learned(qwen, whole)[1:]


def test_a_conversations_own_system_prompt_stands_in_place_of_the_runs(tmp_path, qwen):
  source = qwen.chat.source
  hub_tokenizer_test.unpack('qwen2', tmp_path)
  form = chat('qwen2', source, tmp_path, system='Be brief.')
  own = ({'role': 'system', 'content': 'Own.'}, *TALK[:2])
  texts = [form.tokenizer.decode(of(m).tokens(form)[0].ids) for m in (TALK[:2], own)]
  assert 'Be brief.' in texts[0] and 'Own.' not in texts[0]
  assert 'Own.' in texts[1] and 'Be brief.' not in texts[1]


@pytest.mark.parametrize('name', ['DeepSeek-R1-Distill-Llama-8B', 'DeepSeek-R1-Distill-Qwen-32B'])
def test_where_past_thoughts_are_cut_each_reply_is_learned_as_it_was_said(tmp_path, name):
  form = chat('deepseek_r1', shared_data.path(f'chat_templates/{name}.jinja').read_text(), tmp_path)
  found = of(THOUGHTS).tokens(form)
  begin, end = '<｜begin▁of▁sentence｜>', '<｜end▁of▁sentence｜>'
  first = f'{begin}<｜User｜>2+2?<｜Assistant｜>'
  texts = [
    f'{first}<think>\neasy\n</think>\n\nFour.{end}',
    f'{first}\n\nFour.{end}<｜User｜>3+3?<｜Assistant｜><think>\nhm\n</think>\n\nSix.{end}',
  ]
  said = [f'easy\n</think>\n\nFour.{end}', f'hm\n</think>\n\nSix.{end}']
  for one, text, reply in zip(found, texts, said, strict=True):
    assert (one.ids.tolist(), one.learned.tolist()) == spans(form, text, [reply])


def test_a_reply_without_a_thought_closes_the_one_that_the_prompt_opens(tmp_path):
  source = shared_data.path('chat_templates/DeepSeek-R1-Distill-Llama-8B.jinja').read_text()
  form = chat('deepseek_r1', source, tmp_path)
  (found,) = of(TALK[:1] + ({'role': 'assistant', 'content': 'Four.'},)).tokens(form)
  assert learned(form, found) == ['</think>\n\nFour.<｜end▁of▁sentence｜>']


@pytest.mark.parametrize('template', [MARKED, PLAIN])
def test_a_templates_own_marks_and_cuts_at_turns_find_the_same_replies(tmp_path, template):
  form = small(tmp_path, template)
  (found,) = of(SHORT).tokens(form)
  assert learned(form, found) == ["It's four.<eos>", 'too<eos>']
  assert not found.learned[0] and found.learned[-1]


def test_a_template_that_ends_no_reply_gets_an_end_and_wrong_marks_are_refused(
  tmp_path,
):
  bare = small(tmp_path, "{% for m in messages %}{{ m['content'] + '+' }}{% endfor %}")
  (found,) = of(SHORT[:2]).tokens(bare)
  assert learned(bare, found) == [" It's four. +<eos>"]
  said = '{% generation %} {{ messages[1].content }}{% endgeneration %}'
  odd = small(tmp_path, f'{{{{ messages[0].content }}}}{{% if messages[1] %}}{said}{{% endif %}}')
  with pytest.raises(ValueError, match='some.jsonl, line 3: .*marks 1 blocks of 2 replies'):
    of(SHORT).tokens(odd)
  # A filter round a block sees the marks.
  filtered = f'{{% filter trim %}}{said}{{% endfilter %}}'
  trimmed = small(
    tmp_path, f'{{{{ messages[0].content }}}}{{% if messages[1] %}}{filtered}{{% endif %}}'
  )
  with pytest.raises(ValueError, match='some.jsonl, line 3: .*changes what its blocks'):
    of(SHORT[:2]).tokens(trimmed)


def test_what_a_template_refuses_is_told_with_the_place(tmp_path):
  refusing = "{% if messages[2] %}{{ raise_exception('one question') }}{% endif %}"
  form = small(tmp_path, '{{ messages[0].content }}' + refusing)
  with pytest.raises(ValueError, match='some.jsonl, line 3: .*one question'):
    of(SHORT).tokens(form)


def test_forms_without_turns_take_a_question_and_its_reply(tmp_path):
  families.write_tokenizer(tmp_path)
  tok = tokenizer.load(tmp_path)
  zero, text = (prompts.Form(tok, name, tmp_path) for name in ('zero', 'text'))
  (found,) = of(SHORT[:2], worked=('2 and 2', '4')).tokens(zero)
  said = ' <think> 2 and 2 </think> <answer> 4 </answer><eos>'
  assert learned(zero, found) == [said]
  (found,) = of(SHORT[:2]).tokens(text)
  assert learned(text, found) == ["It's four.<eos>"]
  with pytest.raises(ValueError, match="line 3: the prompt 'zero' has place for a question"):
    of(SHORT).tokens(zero)
