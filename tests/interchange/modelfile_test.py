"""Modelfiles: Ollama's template, run by an interpreter of our own, writes what the chat's does."""

import re

import pytest

from r1jax.data import chat_template, template, tokenizer
from r1jax.interchange import checkpoints, modelfile
from tests import shared_data
from tests.interchange import families

TALK = ['What is 3 + 4?', 'It is\n\n7.', 'And "9" - {2}?', '7', ' Thanks, why? ']
CHATML = (
  "{% for m in messages %}{% if loop.first and m['role'] != 'system' %}<|im_start|>system\n"
  "Be kind.<|im_end|>\n{% endif %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n"
  '{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}'
)
LLAMA = (
  "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m['role'] }}<|end_header_id|>\n\n"
  "{{ m['content'] }}<|eot_id|>{% endfor %}{% if add_generation_prompt %}"
  '<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}'
)
GEMMA = (
  "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}"
  "{% endif %}{% for m in messages %}<start_of_turn>{{ 'model' if m['role'] == 'assistant' else "
  "m['role'] }}\n{{ m['content'] }}<end_of_turn>\n{% endfor %}<start_of_turn>model\n"
)
# As Mistral's later ones: a system prompt stands in the last turn of the user.
LATE = (
  "{% if messages[0]['role'] == 'system' %}{% set s = messages[0]['content'] %}{% set messages = "
  "messages[1:] %}{% endif %}{% for m in messages %}{% if m['role'] == 'user' %}[INST] "
  "{% if loop.last and s is defined %}{{ s }}\n\n{% endif %}{{ m['content'] }}[/INST]"
  "{% else %} {{ m['content'] }}</s>{% endif %}{% endfor %}"
)


def go(text, system, said):
  """What Go's text/template makes of the actions that are used: if, else, else if eq, range."""
  parts = re.split(r'\{\{ (.*?) \}\}', text)
  tokens = [(bool(i % 2), part) for i, part in enumerate(parts)]

  def block(at, scope, alive):
    out = ''
    while at < len(tokens):
      action, part = tokens[at]
      if not action:
        out += part if alive else ''
      elif part.startswith('.'):
        out += scope[part[1:]] if alive else ''
      elif part.startswith('range'):
        inner = ''
        for message in scope['Messages'] or [{}]:
          more, end = block(at + 1, {**scope, **message}, alive and bool(message))
          inner += more
        out, at = out + inner, end
      elif part.startswith('if'):
        taken = holds(part[3:], scope)
        inner, at = block(at + 1, scope, alive and taken)
        out += inner
        while tokens[at][1].startswith('else'):
          again = not taken and (tokens[at][1] == 'else' or holds(tokens[at][1][8:], scope))
          inner, at = block(at + 1, scope, alive and again)
          out, taken = out + inner, taken or again
      else:
        return out, at  # else, else if, end: of the caller
      at += 1
    return out, at

  def holds(condition, scope):
    equal = re.fullmatch(r'eq \.(\w+) "(\w+)"', condition)
    return scope.get(equal[1]) == equal[2] if equal else bool(scope[condition[1:]])

  messages = [{'Role': role, 'Content': content} for role, content in turns_of(system, said)]
  return block(0, {'System': system or '', 'Messages': messages}, True)[0]


def turns_of(system, said):
  """(role, content) of a conversation."""
  first = [('system', system)] if system else []
  return [*first, *zip(('user', 'assistant') * len(said), said)]


def jinja(chat, system, said):
  """What the chat template itself makes of it."""
  return chat.render([{'role': r, 'content': c} for r, c in turns_of(system, said)])


def published(name):
  return shared_data.path(f'chat_templates/{name}.jinja').read_text()


@pytest.mark.parametrize('source', [CHATML, LLAMA, 'Qwen-Qwen2.5-7B-Instruct', 'R1'])
@pytest.mark.parametrize('system', [None, 'Answer with the number only.'])
@pytest.mark.parametrize('count', [1, 3, 5])
def test_ollamas_template_writes_what_the_chat_template_writes(source, system, count):
  if source == 'R1':
    source = 'DeepSeek-R1-Distill-Qwen-32B'
  source = published(source) if '{' not in source else source
  chat = chat_template.HubTemplate(source, bos=chat_template.BOS)
  found = modelfile.turns(chat, chat_template.BOS)
  wanted = jinja(chat, system, TALK[:count]).removeprefix(chat_template.BOS)
  assert go(found.go(), system, TALK[:count]) == wanted


def test_a_template_without_a_place_for_a_system_prompt_has_none_in_ollama():
  found = modelfile.turns(chat_template.HubTemplate(GEMMA))
  assert found.system is None and '.System' not in found.go()
  assert go(found.go(), None, TALK[:3]) == jinja(chat_template.HubTemplate(GEMMA), None, TALK[:3])


@pytest.mark.parametrize(
  'source',
  [
    "{{ messages[-1]['content'] }}",  # forgets what was said before
    "{% for m in messages %}{{ m['content'] | upper }}\n{% endfor %}",
    "{% for m in messages %}{{ loop.index }}. {{ m['content'] }}\n{% endfor %}",
    "{{ strftime_now('%d %b %Y') }}{% for m in messages %}{{ m['content'] }}\n{% endfor %}",
    "{% for m in messages %}{{ '{{' }}{{ m['content'] }}\n{% endfor %}",
    "{% for m in messages %}{% if loop.last %}{{ m['content'] }}\n{% endif %}{% endfor %}",
    LATE,
  ],
)
def test_what_ollama_cannot_write_is_left_out_and_said(source, tmp_path):
  assert modelfile.turns(chat_template.HubTemplate(source)) is None
  families.write(tmp_path, 'qwen2')
  families.write_tokenizer(tmp_path)
  (tmp_path / 'chat_template.jinja').write_text(source)
  told = []
  text = modelfile.write(tmp_path, tokenizer.load(tmp_path), 'm.gguf', '', told.append)
  assert 'TEMPLATE' not in text and 'no form in Ollama' in told[0]


def test_plain_text_and_r1_zeros_template_are_ollamas_too():
  found = modelfile.turns(chat_template.TextTemplate())
  assert go(found.go(), None, ['3 + 4', '7', '1 + 1']) == '3 + 4\n7\n\n1 + 1\n'
  tiny = checkpoints.open('tiny')
  text = modelfile.write(tiny, tokenizer.load(tiny), 'm.gguf')
  assert f'{template.TEMPLATE_HEAD}{{{{ .Prompt }}}}{template.TEMPLATE_TAIL}"""' in text
  assert 'PARAMETER stop "</answer>"\n' in text


def test_a_system_prompt_that_no_quotes_hold_is_said():
  tiny, told = checkpoints.open('tiny'), []
  tok = tokenizer.load(tiny)
  text = modelfile.write(tiny, tok, 'm.gguf', 'As """\nhere', told.append)
  assert 'SYSTEM' not in text and '"""' in told[0]
  assert 'SYSTEM """Be "brief"."""\n' in modelfile.write(tiny, tok, 'm.gguf', 'Be "brief".')


def test_it_is_said_where_the_chat_template_changes_earlier_replies(tmp_path):
  families.write(tmp_path, 'qwen2')
  families.write_tokenizer(tmp_path)
  long = (
    "{% for m in messages %}{{ m['content'] if m['content']|length < 99 else '..' }}\n{% endfor %}"
  )
  for source, changes in (
    (CHATML, False),
    (published('DeepSeek-R1-Distill-Qwen-32B'), True),
    (long, True),
  ):
    (tmp_path / 'chat_template.jinja').write_text(source)
    told = []
    text = modelfile.write(tmp_path, tokenizer.load(tmp_path), 'm.gguf', '', told.append)
    assert 'TEMPLATE' in text and bool(told) == changes
