"""How a question is put: what a form hands on, and what it refuses."""

import pytest

from r1jax.data import chat_template, prompts, tokenizer
from r1jax.interchange import checkpoints
from tests.interchange import families


@pytest.fixture(scope='module')
def tok():
  return tokenizer.load(checkpoints.open('tiny'))


def test_a_model_that_learned_by_plain_text_is_handed_on_with_it(tok, tmp_path):
  form = prompts.Form(tok, 'text')
  (tmp_path / 'chat_template.jinja').write_text(form.chat.source)
  chat = chat_template.load(tmp_path, tok)
  asked = form.put('3 + 4')
  text = chat.render([{'role': 'user', 'content': '3 + 4'}])
  assert text == asked.text
  assert tuple(chat_template.encode(chat, tok, text)) == asked.ids
  # transformers reads the template as jinja's.
  own = chat_template.HubTemplate(form.chat.source)
  talk = [('user', '1'), ('assistant', '2'), ('user', '3 "4"')]
  messages = [{'role': role, 'content': content} for role, content in talk]
  assert own.render(messages) == chat.render(messages) == '1\n2\n\n3 "4"\n'
  with pytest.raises(chat_template.ChatTemplateError, match='system'):
    chat.render([{'role': 'system', 'content': 'Be brief.'}])


def test_a_chat_template_that_refuses_system_prompts_is_told_of_before_anything_is_asked(tmp_path):
  families.write_tokenizer(tmp_path)
  (tmp_path / 'chat_template.jinja').write_text(
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}"
    '{% endif %}{{ messages[-1].content }}'
  )
  tok = tokenizer.load(tmp_path)
  assert prompts.Form(tok, 'chat', tmp_path).put('3 + 4').text == '3 + 4'
  with pytest.raises(
    ValueError, match='does not take a system prompt .*not supported.*leave it out'
  ):
    prompts.Form(tok, 'chat', tmp_path, 'Be brief.')
  (tmp_path / 'chat_template.jinja').write_text('{{ messages[-1].content }}')
  with pytest.raises(ValueError, match='does not write the system prompt: leave it out'):
    prompts.Form(tokenizer.load(tmp_path), 'chat', tmp_path, 'Be brief.')
  # As those of models that see images: a text has no parts.
  parts = '{% for m in messages %}{% for c in m.content %}{{ c.text }}{% endfor %}{% endfor %}'
  (tmp_path / 'chat_template.jinja').write_text(f'<s>{parts}')
  with pytest.raises(ValueError, match='does not write the question'):
    prompts.Form(tokenizer.load(tmp_path), 'chat', tmp_path)
  stripped = '{% for m in messages %}{{ m.content | trim }}\n{% endfor %}'
  (tmp_path / 'chat_template.jinja').write_text(stripped)
  form = prompts.Form(tokenizer.load(tmp_path), 'chat', tmp_path, ' Be brief. ')
  assert form.put('3 + 4').text == 'Be brief.\n3 + 4\n'


def test_r1s_template_is_the_same_beside_a_model_that_learned_by_it():
  own, saved = (
    chat_template.R1Template(),
    chat_template.HubTemplate(chat_template.R1Template.source),
  )
  replied = ('assistant', '<think>\na\n</think>\n\n7')
  turns = [('system', 'Be brief.'), ('user', '3 + 4'), replied, ('user', '1')]
  for first, last in ((0, 4), (1, 2), (1, 4), (0, 3)):
    messages = [{'role': role, 'content': content} for role, content in turns[first:last]]
    for asked in (True, False):
      text = own.render(messages, add_generation_prompt=asked)
      assert saved.render(messages, add_generation_prompt=asked) == text
