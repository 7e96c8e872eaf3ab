"""What the Mosaic GPU kernels share: swizzled shared memory, a warpgroup's matrix products.

A Hopper tensor core reads operands of 16 bits from shared memory, tiled and swizzled, or the left
one from registers, and adds up in float32 registers. JAX's interpreter knows neither operands in
registers nor transposed ones, so that `interpret` multiplies plain arrays here, and only here.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import mosaic_gpu as plgpu

from r1jax.kernels import varying

COMPUTE = 2  # warpgroups of a block that compute, beside the one that moves memory
REGISTERS, MOVER_REGISTERS = 240, 24  # of their threads: three may have 512 together
ROWS = 64  # of a warpgroup: what one tensor core instruction takes
TILE = COMPUTE * ROWS
LANES = 64  # columns of 16 bits in a swizzled row of 128 bytes: widths are multiples of it
EIGHT = 8  # rows of a swizzled tile: arrays have, and copies begin with, multiples of it
SHARED = 224 * 1024  # bytes of shared memory for a block's arrays; barriers and figures take 3 KiB
PROCESSORS = 132  # of an H100 or H200, each with one block at a time
LOG2E = math.log2(math.e)
MASKED = -1e30  # a score that is not; weights of rows that see nothing yet are taken from LOWEST,
LOWEST = -1e29  # so that they are exp2(-9e29) = 0
_TRANSFORMS = (plgpu.TilingTransform((EIGHT, LANES)), plgpu.SwizzleTransform(128))


def swizzled(shape, dtype):
  """A buffer of shared memory [..., rows, columns] that a tensor core and the TMA can read."""
  return plgpu.SMEM(shape, dtype, transforms=_TRANSFORMS)


def check_type(op, *operands):
  """Raises ValueError where an operand is not of 16 bits."""
  for x in operands:
    if x.dtype not in (jnp.bfloat16, jnp.float16):
      raise ValueError(
        f'{op}: the GPU kernels multiply operands of 16 bits, this one is {x.dtype}: '
        "compute_dtype='bfloat16', or kernels='reference'"
      )


def check_widths(op, *widths):
  """Raises ValueError where a width is no multiple of 64: padding would copy weights each step."""
  if any(width % LANES for width in widths):
    raise ValueError(
      f'{op}: the GPU kernels take widths in multiples of {LANES}, not {widths}: '
      "kernels='reference'"
    )


def padded(x, axis, multiple):
  """`x` with zeros behind it up to a multiple."""
  extra = -x.shape[axis] % multiple
  return jnp.pad(x, [(0, extra if i == axis else 0) for i in range(x.ndim)])


def of_rows(x, shape):
  """A figure of each row, for all its columns."""
  return jax.lax.broadcast_in_dim(x, shape, [0])


def before_softmax(width):
  """(accumulator, top, total) of a warpgroup's rows before the first block of a running softmax."""
  zero = jnp.zeros((ROWS,), jnp.float32)
  return jnp.zeros((ROWS, width), jnp.float32), zero + LOWEST, zero


def softmax_step(score, top, total):
  """(weights, what older ones shrink by, new top, new total) with a block's scores to base 2."""
  new_top = jnp.maximum(top, score.max(axis=1))
  weight, fade = jnp.exp2(score - of_rows(new_top, score.shape)), jnp.exp2(top - new_top)
  return weight, fade, new_top, total * fade + weight.sum(axis=1)


def mixed(acc, fade, weight, values, interpret):
  """The accumulator of weighted values with one more block."""
  return accumulated(acc * of_rows(fade, acc.shape), weight, values, False, interpret)


def product(a, b, transposed=False, interpret=None):
  """a @ b, or a @ b.T, in float32; b in shared memory, a there or in registers, [64 * n, K]."""
  shape = (a.shape[0], b.shape[0 if transposed else 1])
  if interpret:
    return _plain(a, b, transposed)

  def run(acc):
    plgpu.wgmma(acc, a, b.transpose((1, 0)) if transposed else b)
    return acc[...]

  return pl.run_scoped(run, plgpu.ACC(shape, jnp.float32))


def accumulated(acc, a, b, transposed=False, interpret=None):
  """acc + `product`, added up by the tensor core itself."""
  if interpret:
    return acc + _plain(a, b, transposed)

  def run(ref):
    plgpu.wgmma(ref, a, b.transpose((1, 0)) if transposed else b)

  return pl.run_state(run)(plgpu.ACC.init(acc))


def _plain(a, b, transposed):
  a = a if isinstance(a, jax.Array) else a[...]
  contract = (((1,), (1 if transposed else 0,)), ((), ()))
  return jax.lax.dot_general(a, b[...], contract, preferred_element_type=jnp.float32)


@dataclasses.dataclass(frozen=True)
class Stages:
  """A ring of buffers in shared memory that the memory warpgroup fills and two others read.

  `full` and `free` are references to barriers, one per stage: `full` has an arrival for each copy
  of a stage, `free` one for each computing warpgroup.
  """

  count: int
  full: 'jax.Ref'
  free: 'jax.Ref'

  def claim(self, s):
    """(slot, barrier) of step s for the memory warpgroup, once the stage is free."""
    slot = jax.lax.rem(s, jnp.int32(self.count))
    pl.when(s >= self.count)(lambda: plgpu.barrier_wait(self.free.at[slot]))
    return slot, self.full.at[slot]

  def drain(self, steps):
    """The memory warpgroup's last part: all `steps` have been read."""
    last = jnp.minimum(steps, self.count)

    def wait(i, _):
      plgpu.barrier_wait(self.free.at[jax.lax.rem(steps - last + i, jnp.int32(self.count))])

    jax.lax.fori_loop(0, last, wait, None)

  def fill(self, steps, copy):
    """The memory warpgroup's part: `copy(step, slot, barrier)` starts a step's copies."""
    jax.lax.fori_loop(0, steps, lambda s, _: copy(s, *self.claim(s)), None)
    self.drain(steps)

  def read(self, steps, body, carry):
    """A computing warpgroup's part: `body(step, slot, carry)` for every step, once it is there."""

    def step(s, carry):
      slot = jax.lax.rem(s, jnp.int32(self.count))
      plgpu.barrier_wait(self.full.at[slot])
      carry = body(s, slot, carry)
      # Ids and masks are read by plain loads, which no barrier orders before the TMA's next write:
      # the two go through different proxies, and only a fence between them does.
      plgpu.commit_smem()
      plgpu.barrier_arrive(self.free.at[slot])
      return carry

    return jax.lax.fori_loop(0, steps, step, carry)


def stage_barriers(count, copies):
  """The scratch types of `Stages.full` and `.free`."""
  full = plgpu.Barrier(num_arrivals=copies, num_barriers=count)
  return full, plgpu.Barrier(num_arrivals=COMPUTE, num_barriers=count)


def roles(move, compute):
  """`move()` in the warpgroup that moves memory, `compute(group)` in the two others."""
  group = jax.lax.axis_index('warpgroup')

  @pl.when(group == COMPUTE)
  def mover():
    plgpu.set_max_registers(MOVER_REGISTERS, action='decrease')
    move()

  @pl.when(group < COMPUTE)
  def computing():
    plgpu.set_max_registers(REGISTERS, action='increase')
    compute(group)


def launch(name, kernel, out_type, grid, scratch, interpret):
  """The kernel over `grid` (name -> size), two computing warpgroups and one that moves memory.

  `out_type` is an `output` or a list of them.
  """
  run = plgpu.kernel(
    kernel,
    out_type=out_type,
    grid=tuple(grid.values()),
    grid_names=tuple(grid),
    num_threads=COMPUTE + 1,
    thread_name='warpgroup',
    scratch_types=scratch,
    kernel_name=name,
    compiler_params=plgpu.CompilerParams(
      approx_math=True, lowering_semantics=plgpu.LoweringSemantics.Warpgroup
    ),
    interpret=interpret,
  )

  def call(*operands):
    # `plgpu.kernel` forgets what its results vary over.
    axes = jax.tree.map(lambda x: x.manual_axis_type.varying, out_type)
    return jax.tree.map(lambda x, a: varying.over(x, a), run(*operands), axes)

  return call


def contraction(stages, first, steps, shape, operands, turned=(False, False), interpret=None):
  """Sum of a @ b over `steps` stages from `first` on, float32, in a computing warpgroup.

  A stage is handed back one step late, so that the tensor cores have the next product to go on
  with while the last one is awaited.

  Args:
    operands: step, slot -> references a [64, K] and b [K, N], or their transposes where `turned`.
  """

  def slot_of(s):
    return jax.lax.rem(first + s, jnp.int32(stages.count))

  def ready(s):
    plgpu.barrier_wait(stages.full.at[slot_of(s)])
    return zip(operands(s, slot_of(s)), turned)

  def release(s):
    plgpu.barrier_arrive(stages.free.at[slot_of(s)])

  def plain(s, acc):
    a, b = (x[...].T if turn else x[...] for x, turn in ready(s))
    plgpu.commit_smem()  # plain loads stand here for a tensor core's, which need no fence
    release(s)
    return acc + jnp.matmul(a, b, preferred_element_type=jnp.float32)

  def run(acc):
    def multiply(s, _):
      a, b = (x.transpose((1, 0)) if turn else x for x, turn in ready(s))
      plgpu.wgmma(acc, a, b)
      plgpu.wgmma_wait(1)
      pl.when(s > 0)(lambda: release(s - 1))

    jax.lax.fori_loop(0, steps, multiply, None)
    total = acc[...]
    pl.when(steps > 0)(lambda: release(steps - 1))
    return total

  if interpret and any(turned):  # JAX's interpreter transposes no operands
    return jax.lax.fori_loop(0, steps, plain, jnp.zeros(shape, jnp.float32))
  return pl.run_scoped(run, plgpu.ACC(shape, jnp.float32))
