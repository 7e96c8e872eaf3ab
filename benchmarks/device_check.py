"""What this project does on the accelerator that is here, in one command of at most nine minutes.

  python -m benchmarks.device_check --out=runs/device_check            # one GPU, A100 or later
  JAX_PLATFORMS=cpu python -m benchmarks.device_check --toy --out=DIR   # a rehearsal, no GPU

Parts, the most wanted first: the kernels against float64; models of 0.1B, 0.5B and 1.5B with random
weights (rollout, scores, update; sampler against trainer); the kernels' times beside XLA's and
cuDNN's; attention by cuDNN, the form `cudnn`, on GPUs from Ampere on. Each part is a process of its
own, so that one that crashes or hangs costs only itself, and writes its file when it is done.
Started again, the command does what is missing. It leaves `device_check.json` and
`device_check.md`, a table for docs/results.md, both whole after each part.
"""

import dataclasses
import functools
import itertools
import json
import pathlib
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from benchmarks import kernel_cases, kernel_errors, rl_step
from benchmarks import kernels as kernel_times
from r1jax import config as config_lib
from r1jax import files, sharding
from r1jax import kernels as kernels_lib
from r1jax import params as params_lib
from r1jax.experiments import r1_zero
from r1jax.model import presets, transformer
from r1jax.planning import memory
from r1jax.stages import packing
from r1jax.train import steps

_OUT = flags.DEFINE_string('out', 'runs/device_check', 'folder of the results, read and written')
_BUDGET = flags.DEFINE_float('budget', 520.0, 'seconds for all parts together')
_TOY = flags.DEFINE_bool('toy', False, 'sizes for a CPU: whether it runs, not how fast')
_PART = flags.DEFINE_string('part', '', 'only this part, in this process')
_FEWEST = 20.0  # seconds that a part needs at least: with less left none is begun
# Rows, tokens, heads of queries and of keys, widths of queries and of values.
_CUDNN = ((1, 2048, 12, 2, 128, 128), (2, 129, 4, 1, 64, 64), (2, 300, 4, 2, 24, 16))


def device():
  """What is measured, and its data sheet where there is one."""
  here = jax.devices()[0]
  chip = kernel_times.data_sheet(here)
  return {
    'device': here.device_kind,
    'jax': jax.__version__,
    'data_sheet': chip and {'peak': chip.peak, 'bandwidth': chip.bandwidth},
    'float32_flops': rl_step.peak(),
  }


def errors():
  """Largest errors of our kernels against float64, relative to the largest value of an array."""
  cases = kernel_errors.gpu_cases()
  # Without kernels of ours for this device, as on a CPU, the plain forms are checked.
  if kernel_times.own(jax.devices()[0]) != ['gpu']:
    plain = ('reference', 'whole', 'chunked')
    cases = (case for case in kernel_errors.cases(False) if case.form in plain)
  return _worst(list(cases)[: _few(4)])


def errors_of_cudnn():
  """The same of attention by cuDNN; ValueError where the device does not take it."""
  form = kernels_lib.resolve('cudnn', jax.devices()[0])
  product = itertools.product(_CUDNN, kernel_errors.OPS['attention'].patterns)
  return _worst([kernel_errors.Case('attention', form, *one, 'bfloat16') for one in product])


def _worst(cases):
  worst = {}
  for case in cases:
    for name, found, expected in kernel_errors.run(case, 0):
      key = f'{case.op} {name} ({case.form}, {case.dtype})'
      worst[key] = max(worst.get(key, 0.0), float(kernel_errors.errors(found, expected)[1]))
  return {'relative_error': worst}


def times(tokens, form=''):
  """Milliseconds of every op: our kernel, XLA's plain form, what others offer, the roofline.

  With a `form`, of that one in place of our kernels, and of attention that cuDNN takes alone.
  """
  here = jax.devices()[0]
  own = [kernels_lib.resolve(form, here)] if form else kernel_times.own(here)
  cases = [c for c in kernel_cases.real(tokens) if not form or kernel_cases.CUDNN in c.rivals]
  chip, rows = kernel_times.data_sheet(here), {}
  for case in cases[: _few(1)]:
    forms = [*own, 'reference']
    rivals = list(case.rivals) if own else []
    functions = [*map(case.functions, forms), *map(case.rival, rivals)]
    found = kernel_times.seconds(functions, list(kernel_times.draw(case)))
    rows[case.name] = dict(zip([*forms, *rivals], (1e3 * seconds for seconds in found)))
    if chip:
      rows[case.name]['roofline'] = 1e3 * kernel_times.limit(case, chip)
  return {'milliseconds': rows}


def model(name):
  """A model's step with random weights: tokens per second, shares of the peaks, memory, parity."""
  s, here = _shapes(name), jax.devices()[0]
  chip, step = kernel_times.data_sheet(here), rl_step.Step(s)
  seconds, operations = rl_step.measure(step, _few(1) or 3), rl_step.flops(s)
  trained = s.sequences * (s.prompt + s.new)
  found = {
    'parameters': params_lib.count(transformer.specs(s.cfg)),
    'seconds': seconds,
    'rollout_tokens_per_s': s.sequences * s.new / seconds['rollout'],
    'score_tokens_per_s': trained / seconds['logprobs'],
    'update_tokens_per_s': trained / seconds['update'],
  }
  if chip:
    found |= {
      'score_mfu': operations['logprobs'] / seconds['logprobs'] / chip.peak,
      'update_mfu': operations['update'] / seconds['update'] / chip.peak,
      'rollout_bandwidth': _read(s) / seconds['rollout'] / chip.bandwidth,
    }
  stats = here.memory_stats() or {}
  if 'peak_bytes_in_use' in stats:
    found['peak_gib'] = stats['peak_bytes_in_use'] / 2**30
  found['planned_gib'] = _planned(s) / 2**30
  return found | _parity(step)


def _few(count):
  """How many of a list a rehearsal takes; None, all, else."""
  return count if _TOY.value else None


def _shapes(name):
  """`rl_step.Shapes` of 256 completions of 256 tokens; 4 of 8 in a rehearsal."""
  if _TOY.value:
    small = dataclasses.replace(presets.tiny_llama(), layers=1, dense_layers=1)
    return rl_step.Shapes(small, prompts=2, group=2, prompt=8, new=8, rows=4)
  narrow = dict(head_rope=64, head_value=64, tied=True)
  changed = {
    '0.1B': dict(width=576, layers=30, heads=9, kv_heads=3, ffn=1536, vocab=49_152, **narrow),
    '0.5B': dict(width=896, layers=24, heads=14, kv_heads=2, ffn=4864, vocab=151_936, **narrow),
    '1.5B': {},
  }[name]
  if changed:
    changed['dense_layers'] = changed['layers']
  cfg = dataclasses.replace(presets.qwen_1_5b(), **changed)
  return rl_step.Shapes(cfg, prompts=32, group=8, prompt=128, new=256, rows=16, slots=0)


def _read(s):
  """Bytes that decoding must read: all weights for each token, and what the cache holds by then."""
  size = jnp.dtype(s.cfg.compute_dtype).itemsize
  row = s.cfg.layers * s.cfg.kv_heads * (s.cfg.head_qk + s.cfg.head_value)
  cached = s.sequences * row * (s.prompt + s.new / 2)
  return s.new * size * (params_lib.count(transformer.specs(s.cfg)) + cached)


def _planned(s):
  """Bytes that the plan's formula expects of the same job."""
  job = config_lib.build(r1_zero.get_config('qwen_1_5b'))
  rl = dict(prompts=s.prompts, mini_batches=1, rows=s.rows)
  changed = dataclasses.replace(
    job,
    rl=dataclasses.replace(job.rl, capacity=s.prompt + s.new, **rl),
    sample=dataclasses.replace(job.sample, group=s.group, max_new=s.new, slots=s.slots),
    data=dataclasses.replace(job.data, max_prompt=s.prompt),
  )
  return memory.guess(changed, s.cfg, jax.sharding.get_mesh())


def _parity(step):
  """|log p by the sampler - by the trainer| of the same tokens, in nats."""
  batch = step.pack(step.rollout(0))
  rows, mask = packing.put((batch.rows, batch.loss.mask_BT))
  logp = steps.score(step.state.params, step.s.cfg, rows, mask, batch.count, 1.0)
  gap = np.abs(sharding.fetch(logp) - batch.loss.sampler_logp_BT)[batch.loss.mask_BT]
  return {'parity_mean': float(gap.mean()), 'parity_max': float(gap.max())}


PARTS = {
  'device': device,
  'errors': errors,
  'errors cudnn': errors_of_cudnn,
  **{f'model {size}': functools.partial(model, size) for size in ('0.1B', '0.5B', '1.5B')},
  **{f'times {n}': functools.partial(times, n) for n in (4096, 32_768)},
  **{f'times cudnn {n}': functools.partial(times, n, 'cudnn') for n in (4096, 32_768)},
}


def parts():
  """Names of the parts in their order; a rehearsal has one of each kind."""
  return ['device', 'errors', 'model 0.1B'] if _TOY.value else list(PARTS)


def run_part(name, path):
  """Runs a part in this process and writes its file."""
  began = time.monotonic()
  with jax.set_mesh(sharding.make_mesh((1, 1, 1, 1), jax.devices()[:1])):
    found = PARTS[name]()
  files.write_json(path, found | {'took': time.monotonic() - began})


def run_all(folder, budget):
  """Runs what is missing, each part in a process of its own; returns all results so far."""
  began, results = time.monotonic(), {}
  for name in parts():
    path = folder / f'{name.replace(" ", "_")}.json'
    left = budget - (time.monotonic() - began)
    if not path.exists() and left > _FEWEST:
      print(f'{name} ... ({left:.0f} s left)', flush=True)
      failure = _in_a_process(name, left)
    else:
      failure = 'no time was left'
    results[name] = json.loads(path.read_text()) if path.exists() else {'failed': failure}
    write(folder, results)
  return results


def _in_a_process(name, seconds):
  """Why the part failed, its last line of output; '' where it did not."""
  told = [f'--out={_OUT.value}', f'--toy={_TOY.value}', f'--part={name}']
  command = [sys.executable, '-m', 'benchmarks.device_check', *told]
  try:
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
  except subprocess.TimeoutExpired:
    return f'not done after {seconds:.0f} s'
  lines = done.stderr.strip().splitlines() or ['nothing was said']
  return f'status {done.returncode}: {lines[-1][:300]}' if done.returncode else ''


def write(folder, results):
  """The results as JSON and as Markdown."""
  files.write_json(folder / 'device_check.json', results)
  files.write_atomically(folder / 'device_check.md', markdown(results))


def markdown(results):
  """The tables for docs/results.md; what failed or is missing is said."""
  head = results.get('device', {})
  lines = [f'{head.get("device", "device unknown")}, JAX {head.get("jax", "unknown")}', '']
  columns = ('rollout_tokens_per_s', 'rollout_bandwidth', 'score_mfu', 'update_tokens_per_s',
             'update_mfu', 'peak_gib', 'planned_gib', 'parity_mean', 'parity_max')  # fmt: skip
  models = {n: r for n, r in results.items() if n.startswith('model') and 'failed' not in r}
  rows = [[name, *map(result.get, columns)] for name, result in models.items()]
  lines += _table(['model', *columns], rows)
  worst = [r.get('relative_error', {}) for n, r in results.items() if n.startswith('errors')]
  lines += _table(
    ['error against float64', 'relative'], itertools.chain(*(one.items() for one in worst))
  )
  for name in (n for n in results if n.startswith('times')):
    rows = results[name].get('milliseconds', {})
    forms = list(dict.fromkeys(form for row in rows.values() for form in row))
    found = [[op, *(row.get(form) for form in forms)] for op, row in rows.items()]
    lines += _table([f'{name} tokens, ms', *forms], found)
  lines += [f'- {n}: {r["failed"]}' for n, r in results.items() if 'failed' in r]
  return '\n'.join(lines) + '\n'


def _table(columns, rows):
  """Lines of a Markdown table; none where it has no rows."""
  cell = lambda x: '-' if x is None else x if isinstance(x, str) else f'{x:,.4g}'
  body = [f'| {" | ".join(map(cell, row))} |' for row in rows]
  return [f'| {" | ".join(columns)} |', '|---' * len(columns) + '|', *body, ''] if body else []


def main(argv):
  """One part, or all of them."""
  del argv
  folder = pathlib.Path(_OUT.value)
  folder.mkdir(parents=True, exist_ok=True)
  if _PART.value:
    run_part(_PART.value, folder / f'{_PART.value.replace(" ", "_")}.json')
  else:
    print(markdown(run_all(folder, _BUDGET.value)))


if __name__ == '__main__':
  app.run(main)
