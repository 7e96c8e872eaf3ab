"""Makes smollm2_llama_cpp.json: what llama.cpp makes of SmolLM2's file, its ids and greedy tokens.

  python -m venv other && other/bin/pip install xllamacpp gguf
  other/bin/python tests/interchange/make_llama_cpp_reference.py FILE.gguf

The server in xllamacpp cuts the texts and fills in the file's chat template. It answers from a copy
whose blocks the `gguf` library has turned into float32: with blocks llama.cpp rounds the inputs of
its products too.
"""

import hashlib
import json
import pathlib
import sys
import tempfile
import urllib.request
from importlib import metadata

import gguf
import numpy as np
import xllamacpp

HERE = pathlib.Path(__file__).resolve().parent
REQUESTS = HERE.parent.parent / 'benchmarks' / 'questions' / 'talk.jsonl'
SYSTEM = 'Answer with the number only.'  # of every second request
NEW = 32
TEXTS = [
  'What is 3 + 4?',
  'x = 12345.678',
  '1,000,000 and 0007',
  '  two  spaces   and more',
  'a\n\nb\r\n\tc',
  "It's he'll I'VE don't",
  'naïve café ÅNGSTRÖM',
  'Ω ≈ 3.14·10⁻⁵ ≠ ½',
  '你好，世界。七减三',
  'Привет, мир',
  'مرحبا بالعالم',
  '👩‍👩‍👧 and 🏳️‍🌈',
  'def f(x):\n    return x ** 2  # square',
  '{"a": [1, 2.5e-3, null]}',
  '<think> 3 + 4 = 7 </think> <answer> 7 </answer>',
  '<|im_start|>user\nHi<|im_end|>\n',
  '$\\frac{1}{2} + \\sqrt{x_1}$',
  'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',
  '\u00a0no\u200bbreak\u3000wide',
  ' ',
]


def in_float32(path, out):
  """Writes the file at `path` again with every tensor in float32."""
  reader = gguf.GGUFReader(path)
  writer = gguf.GGUFWriter(out, reader.fields['general.architecture'].contents())
  for name, field in reader.fields.items():
    if name.startswith('GGUF.') or name == 'general.architecture':
      continue
    value, kind = field.contents(), field.types[0]
    part = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
    if name == 'general.file_type':
      value = int(gguf.LlamaFileType.ALL_F32)
    writer.add_key_value(name, value, kind, part)
  for tensor in reader.tensors:
    whole = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
    writer.add_tensor(tensor.name, np.ascontiguousarray(whole, np.float32))
  writer.write_header_to_file()
  writer.write_kv_data_to_file()
  writer.write_tensors_to_file()
  writer.close()


def server(path):
  """A running server of the file, one thread."""
  how = xllamacpp.CommonParams()
  how.model.path, how.n_ctx, how.n_parallel, how.warmup = str(path), 1024, 1, False
  how.cpuparams.n_threads = how.cpuparams_batch.n_threads = 1  # more of them wait for each other
  return xllamacpp.Server(how)


def ask(running, path, **body):
  """What the server answers."""
  data = json.dumps(body).encode()
  headers = {'Content-Type': 'application/json'}
  request = urllib.request.Request(running.listening_address + path, data, headers)
  return json.load(urllib.request.urlopen(request))


def ids(running, text):
  """The text's token ids, special tokens known."""
  return ask(running, '/tokenize', content=text, parse_special=True, add_special=False)['tokens']


def reply(running, number, question):
  """A request and llama.cpp's greedy reply, the token that ends it included."""
  messages = [{'role': 'user', 'content': question}]
  if number % 2 == 0:
    messages.insert(0, {'role': 'system', 'content': SYSTEM})
  text = ask(running, '/apply-template', messages=messages)['prompt']
  prompt = ids(running, text)
  drawn = {'temperature': 0, 'n_probs': 2, 'cache_prompt': False, 'return_tokens': True}
  said = ask(running, '/completion', prompt=prompt, n_predict=NEW, **drawn)
  two = [one['top_logprobs'] for one in said['completion_probabilities']]
  # How sure it is of its least sure token: what is less than rounding would say nothing.
  margin = min(first['logprob'] - second['logprob'] for first, second in two)
  return {
    'messages': messages,
    'text': text,
    'prompt': prompt,
    'greedy': said['tokens'],
    'margin': round(margin, 4),
  }


def main():
  path = pathlib.Path(sys.argv[1])
  made_by = ' and '.join(f'{name} {metadata.version(name)}' for name in ('xllamacpp', 'gguf'))
  found = {'sha256': hashlib.sha256(path.read_bytes()).hexdigest(), 'made_by': made_by}
  with tempfile.TemporaryDirectory() as folder:
    whole = pathlib.Path(folder) / 'whole.gguf'
    in_float32(path, whole)
    running = server(whole)
    found['ids'] = [[text, ids(running, text)] for text in TEXTS]
    questions = [json.loads(line)['question'] for line in REQUESTS.read_text().splitlines()]
    found['replies'] = [reply(running, i, question) for i, question in enumerate(questions)]
  rows = lambda name: ',\n  '.join(json.dumps(one) for one in found.pop(name))
  parts = [f'"{name}": [\n  {rows(name)}\n]' for name in ('ids', 'replies')]
  head = json.dumps(found)[:-1]
  (HERE / 'smollm2_llama_cpp.json').write_text(',\n'.join([head, *parts]) + '}\n')


if __name__ == '__main__':
  main()
