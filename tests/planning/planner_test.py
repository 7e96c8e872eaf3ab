"""A whole plan: on CPU devices, on GPUs and a TPU slice that nobody has, and what is refused."""

import dataclasses
import importlib.util
import json
import math
import types

import jax
import pytest
from jax.experimental import topologies

from r1jax import config as config_lib
from r1jax import params as params_lib
from r1jax import plan as plan_command
from r1jax import sharding
from r1jax.experiments import r1_zero
from r1jax.model import presets, transformer
from r1jax.planning import estimate, fit, memory, phases, planner, report, topology
from r1jax.sampling import handover

needs_libtpu = pytest.mark.skipif(
  not importlib.util.find_spec('libtpu'), reason='libtpu is not installed'
)


def job_of(mesh):
  """The tiny preset's job with a model of two layers, so that it compiles in seconds."""
  job = config_lib.build(r1_zero.get_config('tiny'))
  small = dict(layers=2, dense_layers=1, mtp_layers=0)
  # In float32 throughout, because the CPU's compiler sends bfloat16 as float32.
  exact = dict(param_dtype='float32', compute_dtype='float32')
  model = dataclasses.replace(presets.tiny(), **small, **exact)
  sample = dataclasses.replace(job.sample, cache_growth=1, max_new=32)
  rl = dataclasses.replace(job.rl, capacity=48, length_schedule=((0, 32),))
  data = dataclasses.replace(job.data, max_prompt=16)
  return dataclasses.replace(
    job, mesh=mesh, checkpoint='', model=model, sample=sample, rl=rl, data=data
  )


@pytest.fixture(scope='module', params=['cpu:8', 'h100:8'])
def plan(request):
  """The plan for eight devices by their own compiler."""
  job, target = job_of((1, 4, 1, 2)), topology.target(request.param)
  if not target.exact:
    pytest.skip("the GPU's compiler is not installed: pip install -e '.[gpu-compiler]'")
  if request.param != 'cpu:8':
    # One layer, because the GPU's compiler takes longer; it sends bfloat16 as it is.
    fewer = dict(layers=1, moe=None, compute_dtype='bfloat16')
    job = dataclasses.replace(job, model=dataclasses.replace(job.model, **fewer))
  return planner.make(job, target, planner.Settings())


def test_a_plan_has_every_phase(plan):
  assert plan.fits and not plan.refused
  first, *others = plan.listed
  names = [p.name for p in others]
  assert names == ['rollout prefill', 'rollout decode', 'log-probabilities', 'update']
  assert all(p.seconds > 0 and p.flops > 0 for p in others)
  assert first.name == 'weight hand-over' and first.seconds > 0
  assert plan.outlook.seconds == pytest.approx(sum(p.seconds for p in plan.listed))
  assert plan.listed[-1].work.received['all-reduce'] > 0


@pytest.mark.heavy
@needs_libtpu
def test_offloaded_layers_keep_their_inputs_on_the_host_and_the_device_gets_that_much_back():
  mesh = sharding.make_mesh((1, 4, 1, 1), list(topology.target('v5e:2x2').devices))
  job = job_of((1, 4, 1, 1))
  wide = dataclasses.replace(job.model, layers=9, dense_layers=9, moe=None, remat=True)
  job = dataclasses.replace(job, rl=dataclasses.replace(job.rl, capacity=512, rows=64))
  kept, moved = (
    phases.compile_one('update', job, cfg, mesh)
    for cfg in (
      dataclasses.replace(wide, scan_layers=True, offload=offload) for offload in (False, True)
    )
  )
  inputs = 9 * (64 // 4) * 512 * wide.width * 4
  assert (kept.host, moved.host) == (0, inputs)
  assert kept.temporaries - moved.temporaries > 0.5 * inputs


def test_a_hand_over_brings_the_bytes_that_the_arrays_say_and_decoding_gathers_none(plan):
  mesh, listed = sharding.make_mesh(plan.shape, list(plan.target.devices)), plan.listed
  received = handover.received(plan.cfg, mesh)
  # One hand-over serves the two mini-batches of a rollout.
  assert listed[0].work.received['all-gather'] == pytest.approx(received / 2, rel=0.01)
  scores = 32 * 16 / 4 * plan.cfg.vocab / 2 * 4  # of a step: the other half of the vocabulary
  assert listed[2].work.received['all-gather'] == pytest.approx(scores * 32 / 2, rel=0.01)
  assert plan.splits['rollout'].decoding == handover.held(plan.cfg, mesh)
  assert plan.splits['update'].decoding == 0


def test_the_bytes_of_a_plan_are_those_of_the_arrays(plan):
  kept = memory.held(plan.job, plan.cfg, sharding.make_mesh(plan.shape, list(plan.target.devices)))
  for name, split in plan.splits.items():
    assert split.parameters == kept.parameters
    done = plan.compiled[name]
    assert split.gradients + split.cache + split.activations == pytest.approx(done.temporaries)
  whole = plan.splits['update']
  done = plan.compiled['update']
  compiled = done.arguments + done.outputs - done.shared + done.temporaries
  assert whole.total == pytest.approx(compiled, rel=0.01)


def test_weights_kept_for_rollouts_ahead_of_training_are_counted_in_every_phase():
  job = job_of((1, 1, 1, 1))
  late = dataclasses.replace(job, rl=dataclasses.replace(job.rl, staleness=2))
  mesh = fit.described((1, 1, 1, 1))
  held = memory.held(late, job.model, mesh)
  assert held.ahead == 2 * held.parameters > 0 == memory.held(job, job.model, mesh).ahead
  more = memory.guess(late, job.model, mesh) - memory.guess(job, job.model, mesh)
  assert more == held.ahead
  done = phases.Compiled('update', held.parameters, 0, 0, 0, 0, None, '', 0.0)
  assert memory.split(done, held).ahead == held.ahead


@pytest.mark.parametrize('phase', ('an update', 'a rollout'))
def test_what_cannot_fit_by_its_arrays_alone_is_refused_before_anything_is_compiled(phase):
  job, target = job_of((1, 1, 1, 1)), topology.target('cpu:1')
  # All sequences at once, so that the cache is the larger.
  job = dataclasses.replace(job, sample=dataclasses.replace(job.sample, slots=0))
  kept = memory.held(job, job.model, fit.described((1, 1, 1, 1)))
  assert kept.gradients < kept.cache
  enough = {'an update': 0, 'a rollout': kept.gradients}[phase]
  chip = dataclasses.replace(target.chip, memory=kept.state + enough)
  small = dataclasses.replace(target, chip=chip)
  found = planner.make(job, small, planner.Settings(budget=0.0))
  assert found.refused.startswith(f'{phase} holds') and not found.compiled


class _Tried:
  """In place of `planner.tried`: takes a second, and says how long an update takes on a mesh."""

  def __init__(self, seconds, clock):
    self.seconds, self.clock, self.meshes = seconds, clock, []

  def __call__(self, option, target, settings, say):
    self.meshes.append(option.shape)
    self.clock[0] += 1.0
    plan = planner.Plan(option.job, option.cfg, target, option.shape, option.changes)
    took = self.seconds(option.shape)
    if took is None:
      plan.refused = 'too large'
    else:
      plan.listed, plan.outlook = ('all',), types.SimpleNamespace(seconds=took)
      plan.splits = {'update': memory.Split(*[0.0] * 9)}
    return plan


def found_by(monkeypatch, seconds, **settings):
  """(the plan of a small model for 8 devices, the meshes that were tried in order)."""
  clock = [0.0]
  stub = _Tried(seconds, clock)
  monkeypatch.setattr(planner, 'tried', stub)
  monkeypatch.setattr(planner, 'time', types.SimpleNamespace(monotonic=lambda: clock[0]))
  target = dataclasses.replace(topology.target('cpu:8'), chip=topology.CHIPS['h100'])
  plan = planner.make(job_of((1, 8, 1, 1)), target, planner.Settings(**settings))
  return plan, stub.meshes


def odd(shape):
  """Seconds that no estimate foresees."""
  return 100.0 - shape[3] * 7 + shape[2] * 3 - shape[4]


def test_a_search_tries_every_mesh_once_and_keeps_the_fastest(monkeypatch):
  plan, meshes = found_by(monkeypatch, odd, search=True)
  job = dataclasses.replace(job_of((1, 8, 1, 1)), mesh=(1, 8, 1, 1, 1))
  every = {c.shape for c in fit.at_level(job, job.model, 8, 0)}
  assert len(meshes) == len(set(meshes)) and set(meshes) == every and len(every) > 10
  assert plan.shape == min(every, key=odd)
  assert len(plan.attempts) == len(every)


def test_a_search_out_of_time_says_how_many_meshes_are_left(monkeypatch):
  everything = found_by(monkeypatch, odd, search=True)[1]
  plan, meshes = found_by(monkeypatch, odd, search=True, budget=5.0)
  assert meshes == everything[:6]  # the last began at five seconds
  assert plan.attempts[-1][0] == f'{len(everything) - 6} other meshes'
  assert '--budget' in plan.attempts[-1][1]


def test_without_a_search_the_first_job_that_fits_is_taken(monkeypatch):
  fits = lambda shape: odd(shape) if shape[3] == 2 else None
  plan, meshes = found_by(monkeypatch, fits)
  assert plan.shape == meshes[-1] and plan.shape[3] == 2
  assert [mesh for mesh in meshes if mesh[3] == 2] == [plan.shape]


def test_the_estimate_foresees_what_more_shards_send():
  """One hand-computed part each: sums over `tensor`, gathered weights, heads over `context`."""
  target = topology.target('cpu:8')
  job = job_of((1, 8, 1, 1))
  dense = dataclasses.replace(job.model, moe=None, dense_layers=2, kernels='reference')
  rows = job.rl.rows * job.rl.capacity
  sent = lambda shape: estimate._layers(dense, fit.described(shape), rows)
  one = rows * dense.width * 4  # a layer's output in float32
  assert sent((1, 8, 1, 1)) == 0
  assert sent((1, 1, 1, 8)) == 2 * 2 * one * 2 * 7 / 8  # two sums in each of two layers
  wide = rows * dense.heads * (dense.head_qk + dense.head_value) * 4
  assert sent((1, 1, 1, 1, 8)) == 2 * 2 * wide * 7 / 8  # queries and keys, values and outputs
  assert estimate._weights(dense, fit.described((1, 1, 1, 8))) == 0
  layers = [transformer.block_specs(dense, 'dense')] * 2
  leaves = jax.tree.leaves(layers, is_leaf=params_lib.is_param)
  split = sum(math.prod(p.shape) for p in leaves if 'embed' in p.axes)
  assert estimate._weights(dense, fit.described((1, 8, 1, 1))) == split * 4 * 7 / 8
  assert estimate.seconds(job, dense, target, fit.described((1, 8, 1, 1))) > 0


def test_cudnns_attention_has_no_plan_without_its_gpu():
  job = job_of((1, 1, 1, 1))
  target = types.SimpleNamespace(chip=types.SimpleNamespace(name='a100'), devices=(None,))
  asked = {'kernels': 'cudnn', 'compute_dtype': 'bfloat16'}
  job = dataclasses.replace(
    job,
    model=dataclasses.replace(job.model, **asked),
    runtime=dataclasses.replace(job.runtime, **asked),
  )
  with pytest.raises(ValueError, match="kernels='cudnn' has no plan: .*plan with 'reference'"):
    planner.make(job, target, planner.Settings())


def beside(job, mesh=(1, 2, 1, 1)):
  """The job with rollouts on devices of their own, by weights two rollouts old."""
  rl = dataclasses.replace(job.rl, staleness=2, rollout_mesh=mesh)
  grpo = dataclasses.replace(job.grpo, tis_cap=2.0)
  return dataclasses.replace(job, rl=rl, grpo=grpo)


def test_rollouts_on_devices_of_their_own_have_a_plan_of_both_meshes():
  job = job_of((1, 2, 1, 1))
  found = planner.make(beside(job), topology.target('cpu:4'), planner.Settings())
  assert found.fits, found.verdict()
  trains, samples = found.splits['update'], found.splits['rollout']
  assert trains.decoding == trains.cache == trains.ahead == 0 < trains.optimizer
  assert samples.reference == samples.optimizer == samples.gradients == 0
  # Of two versions in flight one is sampled by.
  assert samples.ahead == samples.parameters == trains.parameters > 0
  by_name = {phase.name: phase for phase in found.listed}
  copy = by_name['weights to the samplers']
  assert {phase.devices for phase in found.listed} == {2}
  assert copy.bytes == samples.parameters / job.rl.mini_batches
  sampled = {copy.name, 'weight hand-over', 'rollout prefill', 'rollout decode'}
  assert {p.name for p in found.listed if p.samples} == sampled
  sides = [sum(p.seconds for p in found.listed if (p.name in sampled) == own) for own in (0, 1)]
  assert found.outlook.seconds == max(sides)
  assert found.outlook.chip_hours == pytest.approx(4 * found.outlook.hours)
  assert '2 devices of their own' in report.as_html(found)
  assert report.as_json(found)['rollout_mesh'] == [1, 2, 1, 1]


@pytest.mark.parametrize(
  'mesh, devices, why',
  [((1, 2, 1, 1), 2, 'none is left to train'), ((1, 3, 1, 1), 4, 'divide')],
)
def test_rollouts_that_cannot_have_devices_of_their_own_are_refused(mesh, devices, why):
  job = beside(job_of((1, 1, 1, 1)), mesh)
  try:
    said = planner.make(job, topology.target(f'cpu:{devices}'), planner.Settings(budget=0)).refused
  except ValueError as error:
    said = str(error)
  assert why in said


def test_the_report_says_the_same_in_json_html_and_tables(plan):
  found = json.loads(json.dumps(report.as_json(plan)))
  assert found['fits'] and found['verdict'] == plan.verdict()
  assert set(found['bytes']) == set(phases.NAMES)
  page = report.as_html(plan)
  assert plan.verdict() in page and 'rollout decode' in page
  assert '<script' not in page and 'http' not in page.replace('https://', '')


def test_without_the_plugin_cpu_devices_stand_in_for_gpus_and_the_plan_says_so(monkeypatch):
  def absent(*args, **kwargs):
    raise NotImplementedError('topology not implemented for cuda')  # as JAX says it

  monkeypatch.setattr(topologies, 'get_topology_desc', absent)
  target = topology.target('h100:2')
  assert not target.exact and {d.platform for d in target.devices} == {'cpu'}
  assert target.chip == topology.CHIPS['h100'] and len(target.devices) == 2
  job = job_of((1, 2, 1, 1))
  found = planner.Plan(job, job.model, target, job.mesh, ())
  assert not report.as_json(found)['own_compiler']
  page = report.as_html(found)
  assert 'compiled for CPU devices' in page and '.[gpu-compiler]' in page


@needs_libtpu
@pytest.mark.parametrize('name, shape', [('v5p:8x8x16', (1, 4, 64, 4)), ('v6e:4x8', (1, 2, 1, 16))])
def test_a_mesh_whose_sizes_are_no_products_of_the_torus_splits_an_axis_of_it(name, shape):
  devices = topology.target(name).devices
  mesh = sharding.make_mesh(shape, list(devices))
  assert set(mesh.devices.flat) == set(devices) and tuple(mesh.shape.values()) == sharding.levels(
    (*shape, 1), shape[2]
  )


@needs_libtpu
def test_the_real_compiler_plans_for_a_slice_that_is_not_here():
  target = topology.target('v5e:2x2')
  mesh = sharding.make_mesh((1, 2, 1, 2), list(target.devices))
  job = job_of((1, 2, 1, 2))
  done = phases.compile_one('log-probabilities', job, job.model, mesh)
  assert not done.refused
  weights = phases.state(job, job.model, mesh)[1].params
  assert phases.bytes_held(weights) < done.arguments < 2 * phases.bytes_held(weights)
  assert done.program.loops == 1 and done.program.loop.cycles > 0
  assert done.program.loop.received['all-reduce'] > 0


@needs_libtpu
@pytest.mark.parametrize('name, count', [('v5e:1x1', 1), ('v6e:1x1', 1), ('v5e:2x4', 8)])
def test_a_single_chip_is_a_machine_too(name, count):
  assert len(topology.target(name).devices) == count


@needs_libtpu
def test_a_slice_that_hosts_do_not_fill_is_refused_with_the_shapes_that_are():
  with pytest.raises(ValueError, match='a slice is 1x1, or even'):
    topology.target('v5e:3x3')


@needs_libtpu
def test_a_tiny_program_on_a_slice_has_a_split_too():
  """Its peak is less than its arguments and outputs together: no activations, not fewer."""
  mesh = sharding.make_mesh((1, 4, 1, 1), list(topology.target('v5e:2x2').devices))
  job = config_lib.build(r1_zero.get_config('tiny'))
  cfg = planner.architecture(job)
  done = phases.compile_one('log-probabilities', job, cfg, mesh)
  split = memory.split(done, memory.held(job, cfg, mesh))
  assert split.activations >= 0 and split.total >= split.parameters + split.optimizer


@pytest.mark.parametrize(
  'message, gib',
  [
    ('total memory required for HLO temporaries (97.29G) exceeds available HBM (95.74G).', 97.29),
    ('Ran out of memory in memory space hbm. Used 20.50G of 15.75G hbm.', 20.5),
  ],
)
def test_the_size_is_read_from_what_the_compiler_says(message, gib):
  assert phases.wanted(message) == pytest.approx(gib * 2**30)


@pytest.mark.parametrize(
  'name, why',
  [
    ('v9:2x2', 'is not a TPU slice'),
    ('cpu:512', '8 are here'),
    ('h100:x', 'number'),
    ('h100:0', 'number'),
    ('h100:15', '15 do not divide over 2 hosts'),
  ],
)
def test_a_machine_that_is_none_is_refused(name, why):
  with pytest.raises(ValueError, match=why):
    topology.target(name)


def test_a_file_that_cannot_be_written_is_refused_before_anything_is_compiled(tmp_path):
  for form in ('json', 'html'):
    with pytest.raises(ValueError, match='in one that there is not'):
      plan_command.parse(['--config=r1_zero', f'--{form}={tmp_path}/none/plan'])
