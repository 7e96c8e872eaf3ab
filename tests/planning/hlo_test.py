"""Reading compiled programs: collectives by kind and bytes, loops multiplied out."""

import jax
import jax.numpy as jnp
import pytest

from r1jax import config as config_lib
from r1jax.experiments import r1_zero
from r1jax.planning import hlo, phases, planner, topology
from tests.model import tiny


def compiled(f, *shapes):
  """HLO text of `f` on eight devices, its arguments split over the batch axes."""

  def abstract(shape):
    where = jax.sharding.NamedSharding(
      jax.sharding.get_mesh(), jax.P(('data', 'fsdp', 'expert', 'tensor'))
    )
    return jax.ShapeDtypeStruct(shape, jnp.float32, sharding=where)

  with tiny.mesh(2, 2, 2, 1):
    return jax.jit(f).lower(*map(abstract, shapes)).compile().as_text()


def whole(x):
  return jax.reshard(x, jax.P(None))


def test_a_gather_receives_what_the_others_hold():
  program = hlo.read(compiled(lambda x: whole(x) * 2, (80,)), [0] * 8)
  assert program.once.count == {'all-gather': 1}
  assert program.once.received['all-gather'] == 70 * 4  # 10 of 80 values were here
  assert program.loops == 0 and not program.loop.count


def test_a_loop_of_known_length_counts_as_often_as_it_runs():
  def f(x):
    body = lambda total, _: (total + jnp.sin(whole(x * total.sum())), None)
    return jax.lax.scan(body, jnp.ones(80), None, length=5)[0]

  program = hlo.read(compiled(f, (80,)), [0] * 8)
  assert program.loops == 0
  assert program.once.count['all-gather'] == 5


def test_a_loop_whose_length_is_data_stands_apart():
  def f(x, count):
    body = lambda _, total: total + jnp.sin(whole(x * total.sum()))
    trips = count.sum().astype(jnp.int32)
    return jax.lax.fori_loop(0, trips, body, jnp.ones(80))

  program = hlo.read(compiled(f, (80,), (8,)), [0] * 8)
  assert program.loops == 1
  assert program.loop.count['all-gather'] == 1 and 'all-gather' not in program.once.count


def gather(groups):
  """HLO text that gathers 128 bytes from the members of a group."""
  return (
    'ENTRY %main (p: bf16[4]) -> bf16[64] {\n  %p = bf16[4]{0} parameter(0)\n'
    f'  ROOT %g = bf16[64]{{0}} all-gather(%p), channel_id=1, {groups}, dimensions={{0}}\n}}\n'
  )


@pytest.mark.parametrize(
  'groups, size',
  [
    ("replica_groups=mesh['a'=8,'b'=2] {'a'}", 8),
    ('replica_groups=[8,2]<=[16]', 2),
    ('replica_groups={{0,1,2,3},{4,5,6,7}}', 4),
    ('replica_groups={}', 16),
  ],
)
def test_groups_are_read_in_every_form_the_compilers_write(groups, size):
  assert hlo.read(gather(groups), [0] * 16).once.received['all-gather'] == 128 * (size - 1) / size


HALVES = [0] * 8 + [1] * 8


@pytest.mark.parametrize(
  'groups, nodes, share',
  [
    ("replica_groups=mesh['a'=8,'b'=2] {'a'}", HALVES, 1 / 8),
    ("replica_groups=mesh['a'=8,'b'=2] {'b'}", HALVES, 0),
    ("replica_groups=mesh['a'=2,'b'=4,'c'=2] {'a','c'}", HALVES, 1 / 4),
    ('replica_groups=[4,4]<=[16]', HALVES, 0),
    ('replica_groups=[8,2]<=[2,8]T(1,0)', HALVES, 1 / 2),
    ('replica_groups={{0,1,14,15},{2,3,12,13}}', HALVES, 1 / 4),
    ('replica_groups={}', HALVES, 1 / 16),
    ('replica_groups={}', [0, 1, 2, 3] * 4, 3 / 16),
  ],
)
def test_a_gather_brings_what_other_nodes_hold_once_to_each(groups, nodes, share):
  """The members of a node bring one copy together, each a part of it."""
  assert hlo.read(gather(groups), nodes).once.across == 128 * share


@pytest.mark.parametrize(
  'line, across',
  [
    # Of eight devices on two nodes, 32 bytes each: half of what is exchanged, all sums' two ways.
    ('f32[8] all-to-all(%p), replica_groups={{0,1,2,3,4,5,6,7}}', 16),
    ('f32[8] all-reduce(%p), replica_groups={{0,1,2,3,4,5,6,7}}', 8),
    ('f32[8] reduce-scatter(%p), replica_groups={{0,1,2,3,4,5,6,7}}', 32),
    ('f32[8] all-to-all(%p), replica_groups={{0,4},{1,5},{2,6},{3,7}}', 16),
    ('f32[8] all-to-all(%p), replica_groups={{0,1,2,3},{4,5,6,7}}', 0),
    ('f32[8] collective-permute(%p), source_target_pairs={{0,1},{3,4},{4,5},{7,0}}', 16),
  ],
)
def test_what_comes_from_other_nodes_is_counted_for_each_kind(line, across):
  text = f'ENTRY %main (p: f32[8]) -> f32[8] {{\n  ROOT %a = {line}, channel_id=1\n}}\n'
  assert hlo.read(text, [0, 0, 0, 0, 1, 1, 1, 1]).once.across == across


GATHER = 'all-gather(%p), channel_id=1, replica_groups={{0,1}}, dimensions={0}'
PLAIN = '  %a = f32[8]{0} ' + GATHER + ', metadata={op_name="NAME"}\n'


def test_collectives_that_share_a_channel_all_count_but_not_the_pieces_of_one_fusion():
  piece = '%piece.N (p: f32[4]) -> f32[8] {\n' + PLAIN + '}\n'
  fusion = '  %f.N = f32[8]{0} fusion(%p), kind=kCustom, calls=%piece.N\n'
  pieces, fusions = (''.join(text.replace('.N', f'.{n}') for n in '12') for text in (piece, fusion))
  entry = PLAIN.replace('NAME', 'one') + PLAIN.replace('NAME', 'two') + fusions
  program = hlo.read(f'{pieces}ENTRY %main (p: f32[4]) -> f32[8] {{\n{entry}}}\n', [0] * 2)
  assert program.once.count == {'all-gather': 3}


def ring(x_BD):
  """Each collective once; 80 rows of a matrix of 80 on each of eight devices."""
  everything = jax.lax.all_gather(x_BD, 'x', tiled=True)
  total = jax.lax.psum(jnp.sin(everything), 'x')
  scattered = jax.lax.psum_scatter(total * total.T, 'x', tiled=True)
  turned = jax.lax.all_to_all(scattered, 'x', 1, 0, tiled=True).reshape(x_BD.shape)
  return jax.lax.ppermute(turned * x_BD, 'x', [(i, (i + 1) % 8) for i in range(8)])


def test_the_collectives_of_a_gpu_program_are_those_that_it_was_written_with():
  target = topology.target('h100:8')
  if not target.exact:
    pytest.skip("the GPU's compiler is not installed: pip install -e '.[gpu-compiler]'")
  mesh, rows = jax.sharding.Mesh(target.devices, ('x',)), jax.P('x')
  looped = lambda x: jax.lax.fori_loop(0, 7, lambda _, x: ring(x), x)
  f = jax.jit(jax.shard_map(looped, mesh=mesh, in_specs=rows, out_specs=rows))
  x = jax.ShapeDtypeStruct((80, 80), jnp.bfloat16, sharding=jax.NamedSharding(mesh, rows))
  program = hlo.read(f.lower(x).compile().as_text(), [0] * 8)
  whole = 80 * 80 * 2
  assert program.once.count == dict.fromkeys(hlo.KINDS, 7)
  assert program.once.received == {
    'all-gather': 7 * whole * 7 / 8,
    'all-reduce': 7 * whole * 7 / 8 * 2,
    'reduce-scatter': 7 * whole * 7 / 8,
    'all-to-all': 7 * whole / 8 * 7 / 8,
    'collective-permute': 7 * whole / 8,
  }
  assert program.loops == 0 and not program.loop.count


@pytest.mark.parametrize(
  'start, size',
  [
    ('(f32[4]{0:T(128)}, f32[8]{0}) all-gather-start(%p)', 16),
    ('((f32[4], bf16[2]), (f32[8], /*index=1*/bf16[4])) all-gather-start(%p, %q)', 20),
    ('f32[8] all-reduce-start(%p)', 32),
    ('(f32[8], bf16[4]) all-reduce-start(%p, %q)', 40),
    ('((f32[8]), f32[4]) reduce-scatter-start(%p)', 16),
    ('((f32[8]), f32[8]) all-to-all-start(%p)', 16),
    ('(f32[8], f32[8], u32[], u32[]) collective-permute-start(%p)', 32),
  ],
)
def test_of_an_asynchronous_start_the_results_count_and_not_the_operands(start, size):
  line = f'  %a = {start}, channel_id=1, replica_groups={{{{0,1}}}}\n'
  text = f'ENTRY %main (p: f32[4]) -> f32[8] {{\n{line}}}\n'
  assert sum(hlo.read(text, [0] * 2).once.received.values()) == size


def test_all_arrays_of_one_collective_count():
  line = '  %a = (f32[8]{0}, f32[4]{0}) all-to-all(%p, %q), channel_id=1, replica_groups={{0,1}}\n'
  text = f'ENTRY %main (p: f32[4]) -> f32[8] {{\n{line}}}\n'
  assert hlo.read(text, [0] * 2).once.received == {'all-to-all': 24}


def test_cycles_without_an_estimate_do_not_count():
  line = (
    '  %f.{0} = f32[4]{{0}} fusion(), kind=kLoop, backend_config={{"estimated_cycles":"{1}"}}\n'
  )
  body = line.format(1, 700) + line.format(2, 2**63 - 1)
  text = 'ENTRY %main () -> f32[4] {\n' + body + '}\n'
  assert hlo.read(text, [0] * 1).once.cycles == 700


def test_what_a_library_keeps_inside_its_fusions_is_the_products_before_the_last():
  fused = (
    '%fused (a: f32[8,4], b: f32[4,16]) -> f32[8,2] {\n  %a = f32[8,4]{1,0} parameter(0)\n'
    '  %up = f32[8,16]{1,0} dot(%a, %b)\n  %e = f32[8,16]{1,0} exponential(%up)\n'
    '  ROOT %down = f32[8,2]{1,0} dot(%e, %c)\n}\n'
  )
  call = (
    '  %f = f32[8,2]{1,0} fusion(%a, %b), kind=kCustom, calls=%fused, '
    'metadata={op_name="jit(f)/WHERE"}, backend_config={"fusion_config":{"kind":"KIND"}}\n'
  )

  def held(where, kind):
    line = call.replace('WHERE', where).replace('KIND', kind)
    return hlo.library_bytes(f'{fused}ENTRY %main (p: f32[8]) -> f32[8] {{\n{line}}}\n')

  assert held('while/body/dot_general', '__ynn_fusion') == 8 * 16 * 4
  assert held('dot_general', '__ynn_fusion') == 0  # before the loops
  assert held('while/body/dot_general', '__triton') == 0


def test_the_library_of_this_machine_still_writes_its_fusions_so():
  """Where the tiny model's experts became one fusion, its first two products count."""
  job = config_lib.build(r1_zero.get_config('tiny'))
  cfg = planner.architecture(job)
  with tiny.mesh():
    lowered = phases.LOWER['log-probabilities'](job, cfg, jax.sharding.get_mesh())
    compiled = lowered.compile().as_text()
  fused = [part for part in compiled.split('\n\n') if part.startswith('%fused_computation')]
  products = max((part.count(' dot(') for part in fused), default=0)
  if '__ynn_fusion' not in compiled or products < 3:
    pytest.skip('XLA makes no such fusions on this CPU')
  tokens = job.rl.rows * job.rl.capacity
  assert hlo.library_bytes(compiled) == 2 * tokens * cfg.moe.experts * cfg.moe.ffn * 4
