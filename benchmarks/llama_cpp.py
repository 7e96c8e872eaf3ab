"""Compares a model with what llama.cpp makes of its GGUF export, token by token.

  python -m venv other && other/bin/pip install xllamacpp
  JAX_PLATFORMS=cpu python -m benchmarks.llama_cpp --python=other/bin/python \\
      --checkpoint=runs/r1_zero_smollm2

Twenty requests (benchmarks/questions/talk.jsonl) are put in the model's chat, every second one with
a system prompt, and answered greedily in float32 here and by llama.cpp from f32, f16 and
q8_0. Printed for each type: how many replies have the same tokens, how many prompts have as many
tokens, and the mean KL divergence from our distribution to llama.cpp's behind the same tokens, over
the 2,000 likeliest tokens and one class of all others.
"""

import dataclasses
import json
import pathlib
import subprocess
import tempfile
from functools import partial

import jax
import numpy as np
import rich.console
import rich.table
from absl import app, flags

from r1jax import files, sharding
from r1jax.cli import conversation
from r1jax.data import chat_template
from r1jax.interchange import gguf
from r1jax.model import transformer
from r1jax.runs import opening
from r1jax.sampling import sample, stream

_CHECKPOINT = flags.DEFINE_string('checkpoint', 'smollm2', 'a model with a chat template')
_PYTHON = flags.DEFINE_string('python', None, 'an interpreter that has xllamacpp', required=True)
_SYSTEM = flags.DEFINE_string('system', 'Answer with the number only.', 'system prompt')
_REQUESTS = pathlib.Path(__file__).parent / 'questions' / 'talk.jsonl'
_NEW, _TOP, _EVERY = 32, 2000, 6  # tokens of a reply; likeliest ones; positions compared: each 6th
_WIDTH = 128  # tokens of a request with its reply, padded

# Runs in the other interpreter: reads the requests, prints what llama.cpp says in its last line.
_PROGRAM = """
import json, sys
import xllamacpp

how = xllamacpp.CommonParams()
how.model.path, how.n_ctx, how.n_parallel, how.warmup = sys.argv[1], 1024, 1, False
how.cpuparams.n_threads = how.cpuparams_batch.n_threads = 1  # more of them wait for each other
server = xllamacpp.Server(how)


def ask(prompt, new, top):
  asked = {'prompt': prompt, 'n_predict': new, 'temperature': 0, 'n_probs': top}
  return server.handle_completions(asked | {'cache_prompt': False})


out = []
for one in json.load(open(sys.argv[2])):
  said = ask(one['ids'], len(one['tokens']), 1)
  tokens = [token['id'] for token in said['choices'][0]['logprobs']['content']]
  read = ask(one['text'], 1, 1)['usage']['prompt_tokens']
  likely = []
  for at in one['positions']:
    first = ask(one['ids'] + one['tokens'][:at], 1, int(sys.argv[3]))
    rows = first['choices'][0]['logprobs']['content'][0]['top_logprobs']
    likely.append([[row['id'], row['logprob']] for row in rows])
  out.append({'tokens': tokens, 'read': read, 'likely': likely})
print('\\n' + json.dumps(out))
"""


@dataclasses.dataclass(frozen=True)
class Reply:
  """A greedy reply of ours: what was asked, its tokens, and log p of all tokens at `positions`."""

  text: str
  ids: list
  tokens: list
  positions: list
  logp_TV: np.ndarray


def ours(model):
  """A `Reply` to each of the requests."""
  scfg = sample.SampleConfig(group=1, max_new=_NEW, temperature=0)
  found = []
  for number, row in enumerate(files.read_rows(_REQUESTS)):
    before = [] if number % 2 else [{'role': 'system', 'content': _SYSTEM.value}]
    text = model.chat.render([*before, {'role': 'user', 'content': row['question']}])
    ids = list(chat_template.encode(model.chat, model.tokenizer, text))
    drawn = stream.tokens(model.params, model.cfg, scfg, ids, jax.random.key(0), model.stop_ids)
    tokens = list(drawn)
    positions = list(range(0, len(tokens), _EVERY))
    found.append(Reply(text, ids, tokens, positions, _logp(model, ids, tokens, positions)))
  return found


def _logp(model, ids, tokens, positions):
  """Log-probabilities of all tokens at some places of a reply, float32 [T, V]."""
  size = len(ids) + len(tokens)
  # One shape for all requests, so that one program is compiled.
  token_BT = np.zeros((1, max(_WIDTH, size)), np.int32)
  token_BT[0, :size] = ids + tokens
  place_BT = np.arange(token_BT.shape[1], dtype=np.int32)[None]
  segment_BT = (place_BT < size).astype(np.int32)
  logp_TV = _forward(model.params, model.cfg, *map(_put, (token_BT, segment_BT, place_BT)))
  # A place's distribution is that behind the token before it.
  return np.asarray(logp_TV)[[len(ids) - 1 + at for at in positions]]


@partial(jax.jit, static_argnums=1)
def _forward(params, cfg, token_BT, segment_BT, place_BT):
  hidden_XD = transformer.forward(params, cfg, token_BT, segment_BT, place_BT).hidden_XD
  return jax.nn.log_softmax(transformer.logits(params, cfg, hidden_XD))


def _put(array):
  return sharding.put(array, sharding.act('batch', None))


def theirs(path, replies, folder):
  """What llama.cpp says to the same requests from the GGUF file at `path`."""
  asked = folder / 'asked.json'
  keys = ('text', 'ids', 'tokens', 'positions')
  asked.write_text(json.dumps([{key: getattr(one, key) for key in keys} for one in replies]))
  command = ('-c', _PROGRAM, str(path), str(asked), str(_TOP))
  return json.loads(_python(*command).splitlines()[-1])


def _python(*arguments):
  """What the interpreter of llama.cpp prints; it ends the benchmark in one line where it fails."""
  try:
    done = subprocess.run([_PYTHON.value, *arguments], capture_output=True, text=True, check=False)
  except OSError as error:
    raise SystemExit(f'--python={_PYTHON.value}: {error.strerror}') from error
  if done.returncode:
    why = (done.stderr.strip().splitlines() or ['no word'])[-1]
    raise SystemExit(f'--python={_PYTHON.value} with xllamacpp failed: {why}')
  return done.stdout


def divergence(logp_V, likely):
  """KL from ours to theirs over the tokens of `likely`, (id, log p), and all others as one."""
  ids, q = (np.array(column) for column in zip(*likely))
  p = logp_V[ids.astype(int)].astype(float)
  rest = [max(1 - np.exp(x).sum(), 1e-12) for x in (p, q)]
  return (np.exp(p) * (p - q)).sum() + rest[0] * np.log(rest[0] / rest[1])


def _loaded():
  """The model, which must have a chat template with a place for a system prompt."""
  model = conversation.load(_CHECKPOINT.value, 'float32')
  if not model.chat.turns:
    raise ValueError('it has no chat template, and the requests are put in one')
  chat_template.check_system(model.chat, _SYSTEM.value)
  return model


def main(argv):
  """Prints the table; a model that cannot be asked ends it in one line."""
  del argv
  try:
    _compare()
  except ValueError as error:
    raise SystemExit(f'--checkpoint={_CHECKPOINT.value}: {error}') from error


def _compare():
  _python('-c', 'import xllamacpp')  # before minutes of work
  jax.set_mesh(sharding.make_mesh((1, 1, 1, 1), jax.devices()[:1]))
  replies = ours(_loaded())
  table = rich.table.Table(title=f'{_CHECKPOINT.value} and llama.cpp: {len(replies)} requests')
  for column in ('type', 'same tokens', 'prompts as long', 'KL, mean', 'largest', 'positions'):
    table.add_column(column, justify='right')
  source = opening.open_model(_CHECKPOINT.value, lambda line: None)
  with tempfile.TemporaryDirectory() as name:
    for kind in ('f32', 'f16', 'q8_0'):
      folder = pathlib.Path(name) / kind
      said = theirs(gguf.export(source, folder, kind), replies, folder)
      # llama.cpp leaves the end of a turn out of what it says.
      same = sum(
        one['tokens'] == own.tokens[: len(one['tokens'])]
        and len(own.tokens) - len(one['tokens']) <= 1
        for one, own in zip(said, replies)
      )
      read = sum(one['read'] == len(own.ids) for one, own in zip(said, replies))
      kl = [
        divergence(*pair)
        for one, own in zip(said, replies)
        for pair in zip(own.logp_TV, one['likely'])
      ]
      figures = (f'{np.mean(kl):.1e}', f'{np.max(kl):.1e}', str(len(kl)))
      table.add_row(kind, str(same), str(read), *figures)
  rich.console.Console().print(table)


if __name__ == '__main__':
  app.run(main)
