"""Checkpoints come back bit for bit, whatever was killed, torn, or changed in between."""

import json
import os
import pathlib
import random

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from r1jax import sharding
from r1jax.train import checkpoint


def _mesh(*shape):
  count = int(np.prod(shape))
  if len(jax.devices()) < count:
    pytest.skip(f'needs {count} devices (XLA_FLAGS=--xla_force_host_platform_device_count=8)')
  return jax.set_mesh(sharding.make_mesh(shape, jax.devices()[:count]))


@pytest.fixture(autouse=True)
def one_device():
  with _mesh(1, 1, 1, 1):
    yield


def _state(seed=0):
  """Every kind of leaf that a run keeps."""
  rng = np.random.default_rng(seed)
  return {
    'weights': {
      'matrix': sharding.put(rng.normal(size=(8, 16)).astype('f4'), jax.P('fsdp', 'tensor')),
      'half': sharding.put(
        rng.normal(size=(4, 16)).astype(ml_dtypes.bfloat16), jax.P(None, 'tensor')
      ),
    },
    'optimizer': (
      jnp.int32(seed),
      None,
      sharding.put(rng.normal(size=16).astype('f4'), jax.P('fsdp')),
    ),
    'key': jax.random.key(seed),
    'keys': jax.random.split(jax.random.key(seed, impl='rbg'), 4),
    'tokens': rng.integers(0, 1000, (3, 5)),
  }


def _abstract(state):
  def one(x):
    if isinstance(x, np.ndarray):
      return np.empty_like(x)
    if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key):
      return jax.eval_shape(lambda: x)
    return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding)

  return jax.tree.map(one, state)


def _bits(tree):
  def one(x):
    if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key):
      return str(x.dtype), x.shape, np.asarray(jax.random.key_data(x)).tobytes()
    return str(x.dtype), x.shape, np.asarray(x).tobytes()

  return [one(leaf) for leaf in jax.tree.leaves(tree)]


def _save(folder, *steps, **options):
  with checkpoint.Checkpoints(folder, **options) as saved:
    for step in steps:
      saved.save(step, _state(step), {'step': step})


def _largest_file(folder):
  return max((p for p in folder.rglob('*') if p.is_file()), key=lambda p: p.stat().st_size)


def test_a_run_comes_back_bit_for_bit_with_its_host_state(tmp_path):
  host = {'iterator': {'position': 7, 'name': 'gsm8k'}, 'cap': [1, 2.5, None]}
  with checkpoint.Checkpoints(tmp_path) as saved:
    saved.save(12, _state(3), host)
    step, arrays, found = saved.latest(_abstract(_state(0)))
  assert (step, found) == (12, host)
  assert _bits(arrays) == _bits(_state(3))
  assert jax.tree.structure(arrays) == jax.tree.structure(_state(3))
  assert isinstance(arrays['tokens'], np.ndarray)
  assert jax.random.bits(arrays['key']) == jax.random.bits(jax.random.key(3))


@pytest.mark.parametrize('dtype', ['f8', 'f4', 'f2', 'i8', 'i4', 'i1', 'u4', 'u1', '?'])
def test_every_dtype_survives_with_its_extreme_values(tmp_path, dtype):
  raw = np.random.default_rng(0).integers(0, 256, 64, np.uint8)
  host = (raw & 1).astype('?') if dtype == '?' else raw.view(dtype)  # NaNs with payloads too
  state = {'host': host}
  if host.dtype.itemsize < 8:
    state['device'] = sharding.put(host, jax.P(None))
  with checkpoint.Checkpoints(tmp_path) as saved:
    saved.save(1, state, {})
    assert _bits(saved.latest(_abstract(state))[1]) == _bits(state)


def test_bfloat16_survives_in_all_of_its_bit_patterns(tmp_path):
  values = np.arange(2**16, dtype=np.uint16).view(ml_dtypes.bfloat16)
  state = {'x': sharding.put(values, jax.P(None))}
  with checkpoint.Checkpoints(tmp_path) as saved:
    saved.save(1, state, {})
    restored = saved.latest(_abstract(state))[1]['x']
  assert np.asarray(restored).view(np.uint16).tolist() == list(range(2**16))


def test_arrays_may_be_donated_and_buffers_overwritten_once_save_returns(tmp_path):
  state, expected = _state(5), _bits(_state(5))
  change = jax.jit(lambda w: jax.tree.map(lambda x: x * 0 - 1, w), donate_argnums=0)
  with checkpoint.Checkpoints(tmp_path) as saved:
    saved.save(1, state, {})
    jax.block_until_ready(change(state['weights']))
    state['tokens'][:] = -1
    assert _bits(saved.latest(_abstract(_state()))[1]) == expected


@pytest.mark.parametrize(
  'before, after', [((1, 2, 1, 4), (2, 2, 1, 2)), ((1, 2, 1, 4), (1, 1, 1, 1))]
)
def test_a_checkpoint_restores_onto_another_mesh_and_device_count(tmp_path, before, after):
  with _mesh(*before):
    _save(tmp_path, 4)
  with _mesh(*after), checkpoint.Checkpoints(tmp_path) as saved:
    wanted = _abstract(_state())
    _, arrays, _ = saved.latest(wanted)
    assert _bits(arrays) == _bits(_state(4))
    for leaf, form in zip(jax.tree.leaves(arrays), jax.tree.leaves(wanted)):
      assert isinstance(form, np.ndarray) or leaf.sharding.mesh == jax.sharding.get_mesh()
    assert arrays['weights']['matrix'].sharding == wanted['weights']['matrix'].sharding


def test_a_tree_from_eval_shape_lands_on_the_mesh_that_is_set(tmp_path):
  state = {k: v for k, v in _state().items() if k != 'tokens'}
  with _mesh(1, 2, 1, 2), checkpoint.Checkpoints(tmp_path) as saved:
    state = {'matrix': _state()['weights']['matrix'], 'key': jax.random.key(0), 'n': jnp.int32(2)}
    saved.save(1, state, {})
    _, arrays, _ = saved.latest(jax.eval_shape(lambda: state))
    assert _bits(arrays) == _bits(state)
    assert arrays['matrix'].sharding == state['matrix'].sharding
    assert arrays['n'].sharding.mesh == jax.sharding.get_mesh()


def test_the_tree_may_depend_on_what_the_host_state_says(tmp_path):
  with checkpoint.Checkpoints(tmp_path) as saved:
    saved.save(1, {'x': np.ones(3), 'rollout': np.ones((2, 7))}, {'rollout': [2, 7]})
    tree = lambda host: {'x': np.ones(3), 'rollout': np.empty(host['rollout'])}
    assert saved.latest(tree)[1]['rollout'].shape == (2, 7)


def test_only_the_newest_are_kept_and_due_counts_steps(tmp_path):
  _save(tmp_path, 1, 2, 3, 4, keep=3)
  with checkpoint.Checkpoints(tmp_path, keep=3, every=5) as saved:
    assert saved.steps() == [2, 3, 4]
    assert [n for n in range(1, 12) if saved.due(n)] == [5, 10]
  assert sorted(p.name for p in tmp_path.iterdir()) == [f'step_0000000{n}' for n in (2, 3, 4)]


def test_reading_a_folder_leaves_the_save_of_another_process_alone(tmp_path):
  _save(tmp_path, 1)
  (tmp_path / 'step_00000002.tmp' / 'arrays').mkdir(parents=True)
  with checkpoint.Checkpoints(tmp_path) as reader:
    assert reader.latest(_abstract(_state()))[0] == 1
  assert (tmp_path / 'step_00000002.tmp' / 'arrays').exists()


def test_an_empty_folder_has_nothing_to_resume(tmp_path):
  with checkpoint.Checkpoints(tmp_path / 'new') as saved:
    assert saved.latest(_abstract(_state())) is None


def _flip(path):
  data = bytearray(path.read_bytes())
  data[len(data) // 2] ^= 1
  path.write_bytes(data)


DAMAGE = {
  'a flipped bit in the weights': lambda folder: _flip(_largest_file(folder / 'arrays')),
  'half of the weights': lambda folder: os.truncate(_largest_file(folder / 'arrays'), 40),
  'no weights': lambda folder: _largest_file(folder / 'arrays').unlink(),
  'a flipped bit in the manifest': lambda folder: _flip(folder / 'manifest.json'),
  'half a manifest': lambda folder: os.truncate(folder / 'manifest.json', 100),
  'an empty manifest': lambda folder: os.truncate(folder / 'manifest.json', 0),
  'no manifest': lambda folder: (folder / 'manifest.json').unlink(),
  'a flipped bit in the host state': lambda folder: _flip(folder / 'host.json'),
  'no host state': lambda folder: (folder / 'host.json').unlink(),
}


@pytest.mark.parametrize('what', DAMAGE)
def test_a_damaged_newest_checkpoint_is_passed_over_and_said_on_one_line(tmp_path, what):
  _save(tmp_path, 1, 2)
  DAMAGE[what](tmp_path / 'step_00000002')
  said = []
  with checkpoint.Checkpoints(tmp_path, notify=said.append) as saved:
    step, arrays, host = saved.latest(_abstract(_state()))
  assert (step, host) == (1, {'step': 1})
  assert _bits(arrays) == _bits(_state(1))
  assert len(said) == 1 and '\n' not in said[0]
  assert 'step_00000002 is damaged' in said[0] and 'step 1' in said[0]


def test_a_file_flipped_at_any_place_is_noticed(tmp_path):
  _save(tmp_path, 1, 2)
  rng = random.Random(0)
  files = [p for p in (tmp_path / 'step_00000002').rglob('*') if p.is_file() and p.stat().st_size]
  with checkpoint.Checkpoints(tmp_path, notify=lambda text: None) as saved:
    for path in files:
      intact = path.read_bytes()
      changed = bytearray(intact)
      changed[rng.randrange(len(intact))] ^= 1 << rng.randrange(8)
      path.write_bytes(changed)
      assert saved.latest(_abstract(_state()))[0] == 1, path
      path.write_bytes(intact)
    assert saved.latest(_abstract(_state()))[0] == 2


def test_when_every_checkpoint_is_damaged_the_error_names_path_and_reason(tmp_path):
  _save(tmp_path, 1, 2)
  os.truncate(tmp_path / 'step_00000001' / 'manifest.json', 10)
  (tmp_path / 'step_00000002' / 'host.json').unlink()
  with (
    checkpoint.Checkpoints(tmp_path) as saved,
    pytest.raises(checkpoint.CheckpointError) as error,
  ):
    saved.latest(_abstract(_state()))
  for part in ('step_00000002', 'host.json', 'step_00000001', 'manifest.json', 'no older'):
    assert part in str(error.value)
  assert '\n' not in str(error.value)


def test_a_damaged_checkpoint_takes_no_place_among_those_kept(tmp_path):
  _save(tmp_path, 1, 2)
  (tmp_path / 'step_00000002' / 'host.json').unlink()
  with checkpoint.Checkpoints(tmp_path, notify=lambda text: None) as saved:
    saved.latest(_abstract(_state()))
    saved.save(3, _state(3), {})
    saved.wait()
    assert saved.steps() == [1, 3]


def test_a_run_that_passed_over_a_damaged_checkpoint_saves_that_step_again(tmp_path):
  _save(tmp_path, 1, 2, 3, keep=3)
  for step in (2, 3):
    os.truncate(tmp_path / f'step_0000000{step}' / 'manifest.json', 10)
  with checkpoint.Checkpoints(tmp_path, keep=3, notify=lambda text: None) as saved:
    assert saved.latest(_abstract(_state()))[0] == 1
    saved.save(2, _state(9), {})
    assert saved.latest(_abstract(_state()))[0] == 2
    assert saved.steps() == [1, 2]
  with checkpoint.Checkpoints(tmp_path) as saved:
    assert _bits(saved.latest(_abstract(_state()))[1]) == _bits(_state(9))


@pytest.mark.parametrize(
  'change, message',
  [
    (
      lambda s: s['weights'].update(matrix=jnp.zeros((8, 32))),
      "'weights.matrix' is float32[8,16] there and float32[8,32]",
    ),
    (
      lambda s: s['weights'].update(half=jnp.zeros((4, 16))),
      "'weights.half' is bfloat16[4,16] there and float32",
    ),
    (
      lambda s: s['weights'].update(new=jnp.zeros(2)),
      "'weights.new' is absent there and float32[2]",
    ),
    (lambda s: s['weights'].pop('half'), "'weights.half' is bfloat16[4,16] there and absent"),
    (
      lambda s: s.update(key=jax.random.key(0, impl='rbg')),
      "'key' is key<fry>[] there and key<rbg>[]",
    ),
  ],
)
def test_another_models_checkpoint_is_refused_with_the_leaf_and_both_shapes(
  tmp_path, change, message
):
  _save(tmp_path, 1)
  other = _state()
  change(other)
  with (
    checkpoint.Checkpoints(tmp_path) as saved,
    pytest.raises(checkpoint.CheckpointError) as error,
  ):
    saved.latest(_abstract(other))
  assert message in str(error.value)


def test_a_folder_that_cannot_be_made_is_one_clear_error(tmp_path):
  (tmp_path / 'file').write_text('')
  with pytest.raises(checkpoint.CheckpointError, match='file/run: cannot be written'):
    checkpoint.Checkpoints(tmp_path / 'file' / 'run')


def test_a_save_that_fails_behind_the_scenes_is_raised_at_the_next_call(tmp_path, monkeypatch):
  def full(*_):
    raise OSError(28, 'No space left on device')

  saved = checkpoint.Checkpoints(tmp_path)
  saved.save(1, _state(), {})
  saved.wait()
  monkeypatch.setattr(checkpoint, '_write_manifest', full)
  saved.save(2, _state(), {})
  with pytest.raises(checkpoint.CheckpointError, match='No space left'):
    saved.wait()
  monkeypatch.undo()
  assert saved.steps() == [1]
  saved.save(2, _state(), {})  # and the run may go on where it catches the error
  saved.close()
  assert saved.steps() == [1, 2]


def test_host_state_that_is_not_json_is_refused_before_anything_is_written(tmp_path):
  with checkpoint.Checkpoints(tmp_path) as saved:
    with pytest.raises(TypeError, match='not JSON'):
      saved.save(1, _state(), {'array': np.ones(2)})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('leaf', [3, 0.5, 'text', np.float32(1)])
def test_a_leaf_that_is_no_array_is_refused_with_its_name(tmp_path, leaf):
  with checkpoint.Checkpoints(tmp_path) as saved, pytest.raises(TypeError, match="'a.b' is "):
    saved.save(1, {'a': {'b': leaf}}, {})


@pytest.mark.parametrize('settings', [{'keep': 1}, {'every': 0}])
def test_settings_that_cannot_be_safe_are_refused(tmp_path, settings):
  with pytest.raises(ValueError, match='must be at least'):
    checkpoint.Checkpoints(tmp_path, **settings)


@pytest.mark.parametrize(
  'call', ['_write_manifest', '_sync', '_move_aside', 'os.rename', 'shutil.rmtree']
)
def test_dying_inside_any_stage_of_a_save_keeps_an_intact_checkpoint(tmp_path, monkeypatch, call):
  """A stage that raises leaves on disk what a kill there would."""
  _save(tmp_path, 1, 2)
  saved = checkpoint.Checkpoints(tmp_path, notify=pytest.fail)

  def die(*_, **__):
    raise RuntimeError('killed here')

  owner, _, name = call.rpartition('.')
  monkeypatch.setattr(getattr(checkpoint, owner) if owner else checkpoint, name, die)
  saved.save(2 if call == '_move_aside' else 3, _state(3), {'step': 3})
  with pytest.raises(checkpoint.CheckpointError, match='killed here'):
    saved.wait()
  monkeypatch.undo()
  with checkpoint.Checkpoints(tmp_path, notify=pytest.fail) as again:
    step, arrays, host = again.latest(_abstract(_state()))
    assert _bits(arrays) == _bits(_state(host['step']))
    assert step >= 2
    again.save(9, _state(9), {'step': 9})
    again.wait()
    assert not list(tmp_path.glob('*.tmp')) and again.steps()[-1] == 9


def test_the_manifest_lists_every_file(tmp_path):
  _save(tmp_path, 1)
  folder = pathlib.Path(tmp_path) / 'step_00000001'
  listed = set(json.loads((folder / 'manifest.json').read_text().split('\n')[0])['files'])
  found = {p.relative_to(folder).as_posix() for p in folder.rglob('*') if p.is_file()}
  assert found == listed | {'manifest.json'}


def test_a_checkpoint_whose_folder_was_renamed_is_not_believed(tmp_path):
  state = _state()
  with checkpoint.Checkpoints(tmp_path) as saved:
    saved.save(3, state, {'step': 3})
    saved.save(4, state, {'step': 4})
  (tmp_path / 'step_00000004').rename(tmp_path / 'step_00000006')
  told = []
  with checkpoint.Checkpoints(tmp_path, notify=told.append) as saved:
    step, _, host = saved.latest(_abstract(state))
  assert (step, host) == (3, {'step': 3})
  (line,) = told
  assert 'step_00000006 is damaged (it holds step 4: the folder was renamed)' in line
