"""Chat templates of the hub rendered word for word, and our own two encoders beside them."""

import pytest

from r1jax.data import chat_template, template, tokenizer
from tests import shared_data
from tests.data import hub_tokenizer_test

BOS, EOS = '<｜begin▁of▁sentence｜>', '<｜end▁of▁sentence｜>'
TALK = [
  {'role': 'system', 'content': 'Be brief.'},
  {'role': 'user', 'content': '2+2?'},
  {'role': 'assistant', 'content': '<think>\neasy\n</think>\n\nFour.'},
  {'role': 'user', 'content': 'And < 5?'},
]
R1_TALK = (
  '<｜begin▁of▁sentence｜>Be brief.<｜User｜>2+2?<｜Assistant｜>\n\nFour.<｜end▁of▁sentence｜>'
  '<｜User｜>And < 5?'
)
QWEN_TALK = (
  '<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n2+2?<|im_end|>\n'
  '<|im_start|>assistant\n<think>\neasy\n</think>\n\nFour.<|im_end|>\n'
  '<|im_start|>user\nAnd < 5?<|im_end|>\n'
)
TOOLS = [
  {'role': 'user', 'content': 'Rain?'},
  {
    'role': 'assistant',
    'content': None,
    'tool_calls': [
      {'type': 'function', 'function': {'name': 'sky', 'arguments': '{"at": "Ulm"}'}},
    ],
  },
  {'role': 'tool', 'content': 'dry'},
]


def hub(name):
  source = shared_data.path(f'chat_templates/{name}.jinja').read_text()
  return chat_template.HubTemplate(source, BOS, EOS)


@pytest.mark.parametrize('name', ['DeepSeek-R1-Distill-Llama-8B', 'DeepSeek-R1-Distill-Qwen-32B'])
def test_r1_templates_drop_past_thoughts_and_open_the_next_one(name):
  chat = hub(name)
  tail = '' if name.endswith('8B') else '</think>'
  assert chat.render(TALK) == R1_TALK + '<｜Assistant｜><think>\n' + tail
  assert chat.render(TALK, enable_thinking=True) == R1_TALK + '<｜Assistant｜><think>\n'
  assert chat.render(TALK, add_generation_prompt=False) == R1_TALK


def test_the_llama_distill_template_writes_tool_calls():
  text = hub('DeepSeek-R1-Distill-Llama-8B').render(TOOLS)
  assert text == (
    '<｜begin▁of▁sentence｜><｜User｜>Rain?<｜Assistant｜><｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function'
    '<｜tool▁sep｜>sky\n```json\n{"at": "Ulm"}\n```<｜tool▁call▁end｜>'
    '<｜tool▁outputs▁begin｜><｜tool▁output▁begin｜>dry<｜tool▁output▁end｜><｜tool▁outputs▁end｜>'
  )


def test_the_qwen_template_keeps_thoughts_and_names_itself():
  chat = hub('Qwen-Qwen2.5-7B-Instruct')
  assert chat.render(TALK) == QWEN_TALK + '<|im_start|>assistant\n'
  assert chat.render(TALK[1:2], add_generation_prompt=False) == (
    '<|im_start|>system\n'
    'You are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n'
    '<|im_start|>user\n2+2?<|im_end|>\n'
  )


def test_the_qwen_template_writes_tools_as_json_without_escapes():
  tool = {'type': 'function', 'function': {'name': 'größe', 'limit': '<5'}}
  text = hub('Qwen-Qwen2.5-7B-Instruct').render(TALK[:2], tools=[tool])
  assert '\n{"type": "function", "function": {"name": "größe", "limit": "<5"}}\n</tools>' in text


def test_our_r1_encoder_is_the_hub_template_with_two_switches():
  assert chat_template.R1Template().render(TALK) == hub('DeepSeek-R1-Distill-Llama-8B').render(TALK)
  plain = chat_template.R1Template(prefill=False).render(TALK)
  assert plain == R1_TALK + '<｜Assistant｜>'
  whole = chat_template.R1Template(strip_thoughts=False).render(TALK, add_generation_prompt=False)
  assert whole == (
    '<｜begin▁of▁sentence｜>Be brief.<｜User｜>2+2?<｜Assistant｜><think>\neasy\n</think>\n\nFour.'
    '<｜end▁of▁sentence｜><｜User｜>And < 5?'
  )


def test_the_r1_zero_encoder_renders_the_last_question():
  chat = chat_template.ZeroTemplate()
  assert chat.render(TALK) == template.render('And < 5?')
  done = [*TALK, {'role': 'assistant', 'content': ' <think> no'}]
  assert (
    chat.render(done, add_generation_prompt=False) == template.render('And < 5?') + ' <think> no'
  )
  with pytest.raises(chat_template.ChatTemplateError, match='cannot go on after a reply'):
    chat.render(done)
  with pytest.raises(chat_template.ChatTemplateError, match='needs a question'):
    chat.render([])
  jinja = chat_template.HubTemplate(chat_template.ZeroTemplate.source)
  assert jinja.render(TALK) == chat.render(TALK)


def test_encoded_conversations_begin_once(tmp_path):
  tok = tokenizer.load(hub_tokenizer_test.unpack('deepseek_r1', tmp_path))
  r1 = chat_template.R1Template()
  ids = chat_template.encode(r1, tok, r1.render(TALK))
  assert ids[0] == tok.bos_id and ids.count(tok.bos_id) == 1
  assert ids[-3:-1] == [128804, 128798]
  chat = chat_template.load(tmp_path, tok)  # the template of R1's own tokenizer_config.json
  assert chat_template.encode(chat, tok, chat.render(TALK))[:2] == ids[:2]


def test_a_sampled_reply_is_not_what_its_text_encodes_to(tmp_path):
  """Why training keeps the sampled ids: text -> ids is not the inverse of ids -> text."""
  tok = tokenizer.load(hub_tokenizer_test.unpack('qwen2', tmp_path))
  sampled = [i for letter in 'hello' for i in tok.encode(letter)]
  assert tok.decode(sampled) == 'hello' and tok.encode('hello') != sampled


def test_a_folder_without_a_template_gets_the_plain_one(tmp_path):
  tok = tokenizer.load(hub_tokenizer_test.unpack('qwen2', tmp_path))
  assert isinstance(chat_template.load(tmp_path, tok), chat_template.ZeroTemplate)
  (tmp_path / 'chat_template.jinja').write_text('{{ bos_token }}!')
  assert chat_template.load(tmp_path, tok).render([]) == '<|endoftext|>!'


def test_templates_run_in_a_sandbox():
  attack = "{{ ''.__class__.__mro__[1].__subclasses__() }}"
  with pytest.raises(chat_template.ChatTemplateError, match='refuses'):
    chat_template.HubTemplate(attack).render([])
  with pytest.raises(chat_template.ChatTemplateError, match='alternate roles'):
    chat_template.HubTemplate("{{ raise_exception('alternate roles') }}").render([])
  with pytest.raises(chat_template.ChatTemplateError, match='does not parse'):
    chat_template.HubTemplate('{% if %}')
