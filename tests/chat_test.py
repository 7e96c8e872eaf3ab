"""The chat: text as soon as its characters are whole, dimmed thoughts, an answer that stops."""

import dataclasses
import io
import re
import subprocess
import sys

import jax
import numpy as np
import pytest

from r1jax import chat, sharding
from r1jax.cli import conversation
from r1jax.data import chat_template, tokenizer
from r1jax.interchange import checkpoints, huggingface
from r1jax.runs import opening
from r1jax.sampling import sample, stream
from tests.interchange import families


class Terminal(io.StringIO):
  """A text file that says it is a terminal."""

  def isatty(self):
    return True


@pytest.fixture
def r1(tmp_path, one_device):
  """A random tiny DeepSeek with R1's chat template."""
  families.write(tmp_path, 'deepseek_v3')
  families.write_tokenizer(tmp_path)
  (tmp_path / 'chat_template.jinja').write_text(
    '{{ bos_token }}{% for m in messages %}'
    "{{ ('<｜User｜>' if m.role == 'user' else '<｜Assistant｜>')"
    " + m.content.split('</think>')[-1] }}{% endfor %}{{ '<｜Assistant｜><think>\\n' }}"
  )
  return conversation.load(tmp_path)


def talking(model, max_new=6):
  return conversation.Conversation(model, sample.SampleConfig(group=1, max_new=max_new), seed=0)


def script(monkeypatch, tok, text, interrupt=False):
  """Lets the model say `text`."""

  def tokens(params, cfg, scfg, prompt_ids, key, stop_ids):
    yield from tok.encode(text)
    if interrupt:
      raise KeyboardInterrupt
    yield tok.eos_id

  monkeypatch.setattr(stream, 'tokens', tokens)


def test_characters_of_several_tokens_come_whole():
  tok = tokenizer.load(checkpoints.open('tiny'))
  text = 'Résumé 🦙🚀, 12 + 3 = 15.'
  parts = list(conversation.pieces(tok, tok.encode(text)))
  assert ''.join(parts) == text and len(parts) > 5
  assert not any('\ufffd' in part for part in parts)


def test_thoughts_are_dimmed_however_the_tags_are_cut():
  text = 'a<think>b < c</think>d<think>e'
  wanted = 'a\x1b[2m<think>b < c</think>\x1b[0md\x1b[2m<think>e\x1b[0m'
  for size in range(1, len(text) + 1):
    parts = [text[i : i + size] for i in range(0, len(text), size)]
    assert ''.join(conversation.shade(parts)) == wanted


def test_a_conversation_keeps_its_turns_and_forgets_on_reset(r1):
  talk = talking(r1)
  first = ''.join(talk.ask('Hi'))
  assert first.startswith('<think>\n')
  ''.join(talk.ask('Again'))
  assert [m['role'] for m in talk.messages] == ['user', 'assistant'] * 2
  assert talk.messages[1]['content'] == first
  talk.reset()
  assert talk.messages == []


def test_a_system_prompt_stands_first_and_outlives_a_reset(r1, monkeypatch):
  asked = []

  def tokens(params, cfg, scfg, prompt_ids, key, stop_ids):
    asked.append(r1.tokenizer.decode(prompt_ids))
    yield r1.tokenizer.eos_id

  monkeypatch.setattr(stream, 'tokens', tokens)
  scfg = sample.SampleConfig(group=1, max_new=6)
  talk = conversation.Conversation(r1, scfg, seed=0, system='AB')
  ''.join(talk.ask('C'))
  talk.reset()
  ''.join(talk.ask('C'))
  assert len(asked) == 2 and asked[0] == asked[1]
  # This template renders it like a reply.
  assert asked[0].index('AB') < asked[0].index('C')
  zero = dataclasses.replace(r1, chat=chat_template.ZeroTemplate())
  with pytest.raises(ValueError, match='does not write the system prompt'):
    conversation.Conversation(zero, scfg, seed=0, system='AB')


def test_the_system_prompt_of_a_run_is_taken_and_told(monkeypatch, capsys):
  known = {'run': {'system': 'Be brief.'}}
  monkeypatch.setattr(opening, 'asking', lambda path, notify: known.get(path, {}))
  assert conversation.system_prompt('run') == 'Be brief.'
  assert 'Be brief.' in capsys.readouterr().err
  assert conversation.system_prompt('run', '') == '' and conversation.system_prompt('tiny') == ''
  assert conversation.system_prompt('run', 'Be long.') == 'Be long.'
  assert not capsys.readouterr().err


def test_the_same_seed_gives_the_same_answer(r1):
  assert ''.join(talking(r1).ask('Hi')) == ''.join(talking(r1).ask('Hi'))


def test_a_question_too_long_is_refused_with_the_numbers(r1):
  talk = talking(r1)
  with pytest.raises(ValueError, match=f'context of {r1.cfg.max_length}'):
    list(talk.ask('A' * 300))
  assert talk.messages == []


def test_the_terminal_sees_dimmed_thoughts_and_a_pipe_plain_text(r1, monkeypatch):
  script(monkeypatch, r1.tokenizer, 'AB</think>C')
  terminal, pipe = Terminal(), io.StringIO()
  conversation.answer(talking(r1), 'Hi', terminal)
  conversation.answer(talking(r1), 'Hi', pipe)
  assert terminal.getvalue() == '\x1b[2m<think>\nAB</think>\x1b[0mC\n'
  assert pipe.getvalue() == '<think>\nAB</think>C\n'


def test_ctrl_c_stops_the_answer_and_keeps_what_was_said(r1, monkeypatch):
  script(monkeypatch, r1.tokenizer, 'AB', interrupt=True)
  talk, out = talking(r1), io.StringIO()
  conversation.answer(talk, 'Hi', out)
  assert out.getvalue() == '<think>\nAB\n[stopped]\n'
  assert talk.messages[-1]['content'] == '<think>\nAB'


def test_the_plain_template_stops_at_the_closing_answer_tag(one_device, monkeypatch):
  model = conversation.load('tiny')
  assert isinstance(model.chat, chat_template.ZeroTemplate)
  script(monkeypatch, model.tokenizer, ' <think> 2 </think> <answer> 2 </answer> and more')
  assert ''.join(talking(model).ask('1 + 1?')).endswith('</answer>')


def test_a_question_of_broken_bytes_is_refused(r1):
  with pytest.raises(ValueError, match='not UTF-8'):
    list(talking(r1).ask('\udcff'))


def test_every_id_that_the_folder_lists_ends_a_reply(r1, tmp_path):
  assert r1.stop_ids == {1}
  (tmp_path / 'generation_config.json').write_text('{"eos_token_id": [2, 5]}')
  assert conversation.load(tmp_path).stop_ids == {1, 2, 5}


def test_of_two_sets_of_weights_it_is_said_which_one_is_talked_to(r1, tmp_path, capsys):
  (tmp_path / 'model.safetensors.index.json').write_text('{"weight_map": {}}')
  conversation.load(tmp_path)
  assert 'model.safetensors is read' in capsys.readouterr().err


def test_a_factor_that_is_passed_over_is_told(tmp_path, one_device, capsys):
  families.write(tmp_path, 'qwen3_attn_factor')
  families.write_tokenizer(tmp_path)
  conversation.load(tmp_path)
  assert capsys.readouterr().err.count('rope_scaling.attn_factor is not used') == 1


def test_an_empty_pipe_is_refused(monkeypatch):
  monkeypatch.setattr('sys.stdin', io.StringIO(' \n'))
  with pytest.raises(ValueError, match='no question'):
    chat.piped()


def test_commands_and_the_end_of_input(r1, monkeypatch):
  typed = iter(['Hi', '/reset', '/what', KeyboardInterrupt(), EOFError()])

  def read(_):
    line = next(typed)
    if isinstance(line, BaseException):
      raise line
    return line

  monkeypatch.setattr('builtins.input', read)
  script(monkeypatch, r1.tokenizer, 'A')
  talk, out = talking(r1), io.StringIO()
  conversation.converse(talk, out)
  assert talk.messages == []
  assert '<think>\nA\n' in out.getvalue() and '/what: the only command' in out.getvalue()


def test_streaming_across_a_growing_cache_is_what_the_sampler_says(
  tmp_path, one_device, monkeypatch
):
  monkeypatch.setattr(stream, '_CHEAP', 0)
  families.write(tmp_path, 'llama')
  cfg = huggingface.read_config(tmp_path, remat=False, scan_layers=False)
  params = huggingface.load(tmp_path, cfg, 'float32')
  ids, new = families.prompts()[0].tolist(), stream.SMALLEST
  scfg = sample.SampleConfig(group=1, max_new=new, temperature=0)
  key = jax.random.key(0)
  streamed = list(stream.tokens(stream.prepare(params, cfg), cfg, scfg, ids, key))
  batch = sharding.act('batch')
  prompt = sharding.put(np.array([ids], np.int32), sharding.act('batch', None))
  length = sharding.put(np.array([len(ids)], np.int32), batch)
  limits = {'cap': np.int32(new), 'stop_KW': np.array([[-7]], np.int32)}
  out = sample.generate(params, cfg, scfg, prompt, length, key, **limits)
  assert streamed == out.token_BT[0].tolist()


def test_of_a_small_model_one_compilation_serves_prompts_and_replies_of_any_length(
  tmp_path, one_device
):
  families.write(tmp_path, 'llama')
  cfg = huggingface.read_config(tmp_path, remat=False, scan_layers=False)
  params = stream.prepare(huggingface.load(tmp_path, cfg, 'float32'), cfg)
  scfg, key = sample.SampleConfig(group=1, max_new=2 * stream.SMALLEST), jax.random.key(0)
  before = stream._prefill._cache_size(), stream._step._cache_size()
  for length in (3, stream.SMALLEST - 1, stream.SMALLEST + 5):
    assert list(stream.tokens(params, cfg, scfg, [5] * length, key))
  after = stream._prefill._cache_size(), stream._step._cache_size()
  assert after == (before[0] + 1, before[1] + 1)


def test_a_model_that_computes_nan_says_so(r1):
  params = jax.tree.map(lambda leaf: leaf * np.nan, r1.params)
  with pytest.raises(ValueError, match='the model computes NaN for token [0-9]+: its weights'):
    list(talking(dataclasses.replace(r1, params=params)).ask('hi'))


def test_one_shot_into_a_pipe_is_plain_and_errors_are_one_line():
  command = [sys.executable, '-m', 'r1jax.chat', '--max_tokens=4', '--seed=0', '--prompt=1 + 1']
  good = subprocess.run(command, capture_output=True, text=True, check=False)
  assert good.returncode == 0 and good.stdout.strip() and '\x1b' not in good.stdout
  bad = subprocess.run(
    [*command, '--checkpoint=/absent'], capture_output=True, text=True, check=False
  )
  assert bad.returncode == 1 and bad.stderr.startswith('error: /absent: no config.json')


def test_the_terminal_obeys_nothing_that_a_model_says(r1, monkeypatch):
  said = '\x1b[2Jx\x1b]0;title\x07y\x9bz\rA'
  monkeypatch.setattr(conversation, 'pieces', lambda tok, ids: iter(said))
  screen, pipe = Terminal(), io.StringIO()
  conversation.answer(talking(r1), 'Hi', screen)
  conversation.answer(talking(r1), 'Hi', pipe)
  shown = screen.getvalue()
  assert '␛[2Jx␛]0;title␇y\ufffdz␍A' in shown
  # What escapes are left are those that dim a thought.
  assert set(re.findall('\x1b[^m]*m?', shown)) <= {conversation.DIM, conversation.PLAIN}
  assert said in pipe.getvalue()
