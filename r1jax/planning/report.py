"""A plan as tables, as JSON and as one page of HTML."""

import dataclasses
import html
import io
import itertools
import math

import rich.box
import rich.console
import rich.markup
import rich.table

from r1jax import kernels, sharding
from r1jax.planning import memory, phases

_GIB = 2**30
_STAND_IN = rich.markup.escape(
  "compiled for CPU devices; its own compiler: pip install -e '.[gpu-compiler]'"
)
_PARTS = [field.name for field in dataclasses.fields(memory.Split)]


def tables(plan):
  """The plan's rich tables, in order."""
  parts = (_sizes, _memory, _collectives, _speeds, _attempts)
  sizes, *rest = (part(plan) for part in parts)
  return [*sizes, _head(plan), *itertools.chain(*rest)]


def _table(title, *columns):
  table = rich.table.Table(title=title, box=rich.box.SIMPLE, title_justify='left')
  for number, name in enumerate(columns):
    table.add_column(name, justify='right' if number else 'left')
  return table


def _sizes(plan):
  if not plan.choice:
    return []
  table = rich.table.Table(
    title='Sizes for this machine', box=rich.box.SIMPLE, show_header=False, title_justify='left'
  )
  refused = [('all of it', plan.choice.refused)] if plan.choice.refused else []
  for row in (*plan.choice.told, *refused):
    table.add_row(*row)
  return [table]


def _head(plan):
  table = rich.table.Table(box=rich.box.SIMPLE, show_header=False, title_justify='left')
  table.title = f'Plan for {plan.target.name}'
  chip, job = plan.target.chip, plan.job
  # What was asked and on what.
  mesh = sharding.make_mesh(plan.shape, list(plan.target.devices[: math.prod(plan.shape)]))
  sizes = ', '.join(f'{a} {n}' for a, n in zip(sharding.AXES, plan.shape))
  how = 'its own compiler' if plan.target.exact else _STAND_IN
  rows = [
    ('devices', f'{len(plan.target.devices)} x {chip.name}, {chip.memory / _GIB:,.0f} GiB; {how}'),
    ('data sheet', f'{chip.peak / 1e12:,.4g} TFLOP/s, {chip.bandwidth / 1e9:,.0f} GB/s memory, '
     f'{chip.link / 1e9:,.0f} GB/s links{_network(plan.target)} ({chip.source})'),
    ('mesh', sizes),
    *_rollout_mesh(job.rl),
    ('batch', f'{job.rl.prompts} prompts x {job.sample.group}, prompt {job.data.max_prompt:,} + '
     f'{job.sample.max_new:,} new, {phases.slots(job, mesh).rows} slots per shard, '
     f'rows of {job.rl.rows} x {job.rl.capacity:,}'),
    ('kernels', kernels.describe(plan.cfg.kernels, plan.target.devices[0])),
    *phases.expert_rows(job, plan.cfg, mesh),
    ('changed', ' '.join(plan.changes) or 'nothing'),
    ('verdict', plan.verdict()),
  ]  # fmt: skip
  if plan.largest:
    rows.append(('largest', f'{plan.largest[0]:,} rows of {job.rl.capacity:,}, or {job.rl.rows:,} '
                 f'rows of {plan.largest[1]:,} (scaled, not compiled)'))  # fmt: skip
  for row in rows:
    table.add_row(*row)
  return table


def _network(target):
  network = target.chip.network
  return (
    f', {network / 1e9:,.0f} GB/s between {target.hosts} hosts'
    if network and target.hosts > 1
    else ''
  )


def _rollout_mesh(rl):
  if not rl.rollout_mesh:
    return []
  sizes = zip(sharding.AXES, sharding.full(rl.rollout_mesh))
  said = ', '.join(f'{a} {n}' for a, n in sizes)
  count, age = math.prod(rl.rollout_mesh), f'by weights {rl.staleness} rollouts old'
  return [('rollouts', f'{count} devices of their own: {said}; beside training, {age}')]


def _memory(plan):
  if not plan.splits:
    return []
  # One unit for the whole table, so that columns compare.
  most = max(s.total for s in plan.splits.values())
  unit, size = ('GiB', _GIB) if most > _GIB else ('MiB', 2**20)
  table = _table(f'{unit} per device', '', *plan.splits)
  splits = plan.splits.values()
  rows = {part: [getattr(split, part) for split in splits] for part in _PARTS}
  rows['total'] = [split.total for split in splits]
  rows['left'] = [plan.target.chip.memory - split.total for split in splits]
  if any(c.host for c in plan.compiled.values()):
    rows['on the host'] = [plan.compiled[name].host for name in plan.splits]
  for name, values in rows.items():
    table.add_row(name, *(f'{v / size:,.2f}' for v in values))
  return [table]


def _collectives(plan):
  # Only those kinds that the programs hold.
  kinds = sorted({kind for p in plan.listed for kind in p.work.count})
  if not kinds:
    return []
  across = ['between nodes'] if any(p.work.across for p in plan.listed) else []
  table = _table('GB received per device and update (number)', 'phase', *kinds, *across)
  for phase in plan.listed:
    work = phase.work
    cells = [f'{work.received[k] / 1e9:,.1f} ({work.count[k]:,.0f})' for k in kinds]
    table.add_row(phase.name, *cells, *(f'{work.across / 1e9:,.1f}' for _ in across))
  return [table]


def _speeds(plan):
  if not plan.outlook:
    return []
  table = _table(
    f'Seconds per update, completions of {plan.lengths.mean:,.0f} tokens, the longest '
    f'{plan.lengths.longest:,.0f}',
    'phase', 'TFLOP', 'roofline', 'cycles', 'collectives', 'predicted',
  )  # fmt: skip
  for p in plan.listed:
    cycles = f'{p.compiler:,.2f}' if p.compiler else '-'
    table.add_row(p.name, f'{p.flops / 1e12:,.1f}', f'{p.roofline:,.2f}', cycles,
                  f'{p.wire:,.2f}', f'{p.seconds:,.2f}')  # fmt: skip
  # A line of zeros rather than none: a reader looks for it.
  if 'weight hand-over' not in plan.compiled:
    table.add_row('weight hand-over', *['0'] * 4, '0 (one layout)')
  return [table, _outlook(plan)]


def _outlook(plan):
  out = plan.outlook
  table = rich.table.Table(box=rich.box.SIMPLE, show_header=False)
  rows = [
    ('an update', f'{out.seconds:,.1f} s ({out.best:,.1f} s if everything overlaps)'),
    ('model FLOPs', f'{out.mfu:.1%} of the peak over all, {out.update_mfu:.1%} in the update'),
    ('speed', f'{out.tokens_per_s:,.0f} new tokens/s'),
    ('checkpoint', f'{out.checkpoint_bytes / 1e9:,.1f} GB, {out.checkpoint_seconds:,.0f} s at '
     f'1 GB/s per host ({plan.target.hosts} of them), every {plan.job.loop.checkpoint_every} '
     'updates'),
    (f'{plan.job.rl.updates:,} updates',
     f'{_long(out.hours)}, {_long(out.chip_hours)} of a device'),
  ]  # fmt: skip
  for row in rows:
    table.add_row(*row)
  return table


def _long(hours):
  # A plan of a tiny run would take 0.0 hours.
  return f'{hours:,.1f} hours' if hours >= 1 else f'{hours * 60:,.1f} minutes'


def _attempts(plan):
  if len(plan.attempts) < 2:
    return []
  table = rich.table.Table(title='Tried', box=rich.box.SIMPLE, title_justify='left')
  table.add_column('changes')
  table.add_column('outcome')
  for attempt in plan.attempts:
    table.add_row(*attempt)
  return [table]


def as_json(plan):
  """The plan as plain values."""
  chip = {k: v for k, v in dataclasses.asdict(plan.target.chip).items()}
  return {
    'topology': plan.target.name,
    'devices': len(plan.target.devices),
    'chip': chip,
    'own_compiler': plan.target.exact,
    'mesh': dict(zip(sharding.AXES, plan.shape)),
    'rollout_mesh': list(plan.job.rl.rollout_mesh),
    'changes': list(plan.changes),
    'verdict': plan.verdict(),
    'fits': plan.fits,
    'bytes': {
      name: dataclasses.asdict(split) | {'total': split.total}
      for name, split in plan.splits.items()
    },
    'host_bytes': {name: c.host for name, c in plan.compiled.items()},
    'compile_seconds': {name: c.seconds for name, c in plan.compiled.items()},
    'phases': [_phase(p) for p in plan.listed],
    'outlook': dataclasses.asdict(plan.outlook) if plan.outlook else None,
    'lengths': dataclasses.asdict(plan.lengths) if plan.lengths else None,
    'largest': dict(zip(('rows', 'capacity'), plan.largest)) if plan.largest else None,
    'attempts': [list(attempt) for attempt in plan.attempts],
    'sizes': plan.choice.values if plan.choice else {},
  }


def _phase(phase):
  values = {f.name: getattr(phase, f.name) for f in dataclasses.fields(phase)}
  work = values.pop('work')
  # Counters are no JSON.
  received = {kind: work.received[kind] for kind in work.count}
  more = {
    'cycles': work.cycles,
    'received': received,
    'across': work.across,
    'collectives': dict(work.count),
  }
  return values | more | {'seconds': phase.seconds}


def as_html(plan):
  """One page that needs nothing else."""
  parts = []
  for table in tables(plan):
    # The same tables as on the terminal, at a width of their own.
    console = rich.console.Console(file=io.StringIO(), width=150)
    console.print(table)
    parts.append(f'<pre>{html.escape(console.file.getvalue())}</pre>')
  title = html.escape(f'r1jax plan: {plan.target.name}')
  style = 'body{font:14px sans-serif;margin:2em}pre{background:#f6f6f6;padding:1em;overflow:auto}'
  return (
    f'<!doctype html><meta charset="utf-8"><title>{title}</title><style>{style}</style>'
    f'<h1>{title}</h1>{"".join(parts)}\n'
  )
