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


ASKED = [{'role': 'user', 'content': 'Hi'}]
ANSWERED = [*ASKED, {'role': 'assistant', 'content': 'Ho'}]
# In the form of TRL's training template for Qwen3.
MARKED = (
  "{% for m in messages %}{% if m['role'] == 'assistant' %}{{ 'A:' }}{% generation %}"
  "{{ m['content'] + '!' }}{%- endgeneration %}{{ '\n' }}"
  "{% else %}{{ 'U:' + m['content'] + '\n' }}{% endif %}{% endfor %}"
)
# In the form of DeepSeek-V3.1's, whose switch has another name than Qwen3's.
V31 = (
  '{% if not thinking is defined %}{% set thinking = false %}{% endif %}'
  "{{ messages[-1]['content'] }}<|Assistant|>{% if thinking %}<think>{% else %}</think>{% endif %}"
)


def test_the_marks_round_what_the_assistant_said_leave_no_trace():
  unmarked = MARKED.replace('{% generation %}', '').replace('{%- endgeneration %}', '')
  chat, plain = chat_template.HubTemplate(MARKED), chat_template.HubTemplate(unmarked)
  assert chat.render(ANSWERED) == plain.render(ANSWERED) == 'U:Hi\nA:Ho!\n'
  with pytest.raises(chat_template.ChatTemplateError, match='does not parse'):
    chat_template.HubTemplate('{% generation %}')


@pytest.mark.parametrize('name', ['tools', 'documents'])
def test_tools_and_documents_that_nobody_gave_are_none(name):
  asks = f'{{% if {name} is not none %}}{{{{ {name} | length }}}}{{% endif %}}'
  chat = chat_template.HubTemplate(asks + "{{ messages[0]['content'] }}")
  assert chat.render(ASKED) == 'Hi'
  assert chat.render(ASKED, **{name: [1, 2]}) == '2Hi'


def test_templates_that_can_be_told_to_think_are_by_either_name(tmp_path):
  tok = tokenizer.load(hub_tokenizer_test.unpack('qwen2', tmp_path))
  (tmp_path / 'chat_template.jinja').write_text(V31)
  assert chat_template.load(tmp_path, tok).render(ASKED) == 'Hi<|Assistant|><think>'
  (tmp_path / 'chat_template.jinja').write_text(V31.replace('thinking', 'enable_thinking'))
  assert chat_template.load(tmp_path, tok).render(ASKED) == 'Hi<|Assistant|><think>'


@pytest.mark.parametrize(
  'text, left_open',
  [
    ('Hi<think>', '<think>'),
    ('Hi<think>\n', '<think>\n'),
    ('<think>a</think>Hi<think>\n\n', '<think>\n\n'),
    ('Hi<think>\n\n</think>\n\n', ''),
    ('<think>\nHi', ''),
    ('Hi', ''),
  ],
)
def test_the_thought_that_a_prompt_leaves_open_belongs_to_the_reply(text, left_open):
  assert chat_template.prefill(text) == left_open


FAULTS = {
  '{{ 1 / 0 }}': 'ZeroDivisionError',
  '{{ 1.5 ** 100000 }}': 'OverflowError',
  '{{ 10 ** 400 + 1.5 }}': 'OverflowError',
  '{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}': 'RecursionError',
  '{{ messages[9].content.x }}': 'no element 9',
  '{{ messages | sum }}': 'TypeError',
  "{{ 'x'.encode('zlib') }}": 'LookupError',
  "{{ 'x'.index('y') }}": 'ValueError',
  # What would hang or fill the memory were it begun.
  '{{ 9 ** 999999999 }}': 'bits of a power',
  '{{ (3 ** 2000) * (3 ** 2000) }}': 'bits of a product',
  "{{ 'a' * 10 ** 11 }}": 'of a repetition',
  '{{ 10 ** 11 * [1] }}': 'of a repetition',
  "{{ '%999999999d' % 1 }}": 'digits of a width',
  "{{ '%*d' % (999999999, 1) }}": '999999999 as an argument',
  "{{ '{:>999999999}'.format(1) }}": 'digits of a width',
  "{{ 'a'.ljust(10 ** 9) }}": '1000000000 as an argument',
  "{{ 'a' | center(10 ** 9) }}": '1000000000 as an argument',
  '{{ messages | tojson(indent=10 ** 9) }}': '1000000000 as an argument',
  '{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}': 'steps beyond',
  "{% set n = namespace(x='a') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}": (
    'characters of a text'
  ),
  "{% set n = namespace(x='a') %}{% for i in range(60) %}{% set n.x = n.x + n.x %}{% endfor %}": (
    'of a sum'
  ),
  (
    "{% set n = namespace(x='a') %}{% for i in range(60) %}"
    '{% set y %}{{ n.x }}{{ n.x }}{% endset %}{% set n.x = y %}{% endfor %}'
  ): 'characters of a text',
}


@pytest.mark.parametrize('source', FAULTS)
def test_whatever_goes_wrong_in_a_template_is_one_line_that_says_so(source):
  chat = chat_template.HubTemplate(source)
  with pytest.raises(chat_template.ChatTemplateError, match=FAULTS[source]) as error:
    chat.render(ASKED)
  assert '\n' not in str(error.value)


@pytest.mark.parametrize(
  'source', ['{{ ' + '(' * 5000 + '1' + ')' * 5000 + ' }}', '{% if 1 %}' * 300]
)
def test_a_template_that_is_nested_without_end_does_not_parse(source):
  with pytest.raises(chat_template.ChatTemplateError, match='does not parse'):
    chat_template.HubTemplate(source)


def test_steps_are_counted_anew_in_every_rendering():
  chat = chat_template.HubTemplate('{% for i in range(90000) %}{% endfor %}{{ messages | length }}')
  assert [chat.render(ASKED) for _ in range(60)] == ['1'] * 60


def test_a_chat_template_that_is_no_text_is_named(tmp_path):
  tok = tokenizer.load(hub_tokenizer_test.unpack('qwen2', tmp_path))
  for wrong in (7, {'default': 'x'}, [{'name': 'default', 'template': 7}]):
    tok.settings['chat_template'] = wrong
    with pytest.raises(chat_template.ChatTemplateError, match='tokenizer_config.json: .* no text'):
      chat_template.load(tmp_path, tok)
  for none in (None, []):
    tok.settings['chat_template'] = none
    assert isinstance(chat_template.load(tmp_path, tok), chat_template.ZeroTemplate)


def test_a_list_of_chat_templates_without_a_default_is_refused_with_their_names(tmp_path):
  tok = tokenizer.load(hub_tokenizer_test.unpack('qwen2', tmp_path))
  rag, tools = ({'name': name, 'template': 'x'} for name in ('rag', 'tool_use'))
  cases = [([rag, tools], 'rag, tool_use;'), ([tools], 'tool_use;'), (['x'], 'no'), ([1], 'no')]
  for told, listed in cases:
    tok.settings['chat_template'] = told
    with pytest.raises(chat_template.ChatTemplateError, match=f"without 'default', only {listed}"):
      chat_template.load(tmp_path, tok)
  tok.settings['chat_template'] = [rag, {'name': 'default', 'template': 'y'}]
  assert chat_template.load(tmp_path, tok).render(ASKED) == 'y'
