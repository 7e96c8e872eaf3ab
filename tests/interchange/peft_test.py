"""Adapters of the library peft compute what peft computes with them, and ours are written alike."""

import json
import pathlib
import shutil

import jax
import ml_dtypes
import numpy as np
import pytest

from r1jax import params as params_lib
from r1jax.cli import commands
from r1jax.interchange import checkpoints, fetched, huggingface, peft, tensors
from r1jax.model import lora, transformer
from tests.interchange import families, parity_test
from tests.model import tiny

FETCHED = fetched.place('smollm2')  # found here: each test has a cache of its own
ORACLES = pathlib.Path(__file__).resolve().parent.parent / 'oracles' / 'peft'
CASES = {'llama': 'llama', 'qwen2_rslora': 'qwen2', 'deepseek_v3': 'deepseek_v3'}
PROMPT = families.prompts()[0]


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path_factory.mktemp('cache')))
  with tiny.mesh():
    yield


def logits(params, cfg):
  """[tokens, vocabulary] of the prompt."""
  token = PROMPT[None]
  arrays = (token, np.ones_like(token), np.arange(token.shape[1], dtype=np.int32)[None])
  return parity_test.forward(params, cfg, *arrays)[1][0]


def opened(adapter):
  """(folder, ModelConfig, weights) of an adapter as a checkpoint."""
  folder = checkpoints.open(adapter)
  cfg = huggingface.read_config(folder, remat=False)
  return folder, cfg, huggingface.load(folder, cfg, cfg.param_dtype)


def place(tmp_path, case):
  """(adapter, base): the base stands in the adapter's parent folder under the name it is given."""
  base, adapter = tmp_path / CASES[case], tmp_path / f'adapter of {case}'
  base.mkdir()
  families.write(base, base.name)
  shutil.copytree(ORACLES / case, adapter)
  return adapter, base


@pytest.mark.parametrize('case', CASES)
def test_logits_and_products_are_those_of_peft(case, tmp_path):
  adapter, base = place(tmp_path, case)
  folder, cfg, params = opened(adapter)
  stored = np.load(adapter / 'computed.npz')
  np.testing.assert_allclose(logits(params, cfg), stored['logits'], rtol=0, atol=2e-4)
  plain = logits(huggingface.load(base, cfg, 'float32'), cfg)
  assert np.abs(plain - stored['logits']).max() > 0.1  # the adapter does something
  found, deltas = huggingface.tensors_of(folder, cfg), set(stored.files) - {'logits'}
  assert deltas
  for name in deltas:
    tensor = found[f'{name}.weight']
    ours = lora.delta(tensor.b, tensor.a, tensor.scale)
    scale = np.abs(stored[name]).max()
    np.testing.assert_allclose(ours, stored[name], rtol=0, atol=1e-5 * scale)
    # Read in pieces it is what it is as a whole.
    np.testing.assert_array_equal(tensor.read(2, 5), tensor.read()[2:5])


TARGETS = {
  'llama': ('attention', 'ffn'),
  'deepseek_v3': ('q_a_proj', 'q_b_proj', 'kv_a_proj_with_mqa', 'o_proj'),
}


@pytest.mark.parametrize('case', TARGETS)
def test_what_we_write_has_pefts_names_and_comes_back_as_it_was(case, tmp_path):
  theirs, base = place(tmp_path, case)
  plain = huggingface.read_config(base, remat=False)
  cfg = transformer.with_adapters(plain, lora.LoraConfig(4, 6.0, TARGETS[case]))
  specs = transformer.specs(cfg)
  whole = lora.attach(huggingface.load(base, plain, 'float32'), specs, jax.random.key(0))
  _, frozen = params_lib.split(specs, whole)
  params = params_lib.join(tiny.fill(params_lib.trained(specs)), frozen)
  ours = tmp_path / 'ours'
  peft.save(ours, params, cfg, base.name)
  written, stored = (tensors.read_header(f / peft.WEIGHTS) for f in (ours, theirs))
  describe = lambda found: {name: (t.shape, t.dtype) for name, t in found.items()}
  assert describe(written) == describe(stored)
  told, asked = (json.loads((f / peft.CONFIG).read_text()) for f in (ours, theirs))
  for key in ('r', 'lora_alpha', 'peft_type', 'task_type', 'bias', 'base_model_name_or_path'):
    assert told[key] == asked[key]
  assert told.keys() <= asked.keys()
  # peft matches a module by its whole name, or by a name's end behind a dot.
  matches = lambda stem, name: stem == name or stem.endswith(f'.{name}')
  for stem in {name.partition('.lora_')[0] for name in stored}:
    module = stem.removeprefix('base_model.model.')
    assert sum(matches(module, name) for name in told['target_modules']) == 1
  _, again, found = opened(ours)
  np.testing.assert_allclose(logits(found, again), logits(params, cfg), rtol=0, atol=1e-4)
  # A merged hub folder is the same model, tensor by tensor.
  huggingface.save(tmp_path / 'merged', params, cfg)
  merged = tensors.read_folder(tmp_path / 'merged')
  for name, tensor in huggingface.tensors_of(checkpoints.open(ours), again).items():
    np.testing.assert_array_equal(merged[name].read(), tensor.read())


def test_a_shared_expert_is_not_written_as_what_peft_takes_for_the_routed_ones():
  both = transformer.with_adapters(tiny.MLA, lora.LoraConfig(4))
  assert 'routed experts' in peft.limits(both)
  for base, targets in ((tiny.MLA, ('attention',)), (tiny.GQA, ('attention', 'ffn'))):
    assert peft.limits(transformer.with_adapters(base, lora.LoraConfig(4, 6.0, targets))) == ''


def test_products_are_merged_in_float32_beside_a_bfloat16_base(tmp_path):
  adapter, base = place(tmp_path, 'llama')
  cfg = huggingface.read_config(base, param_dtype='bfloat16', remat=False)
  cfg = transformer.with_adapters(cfg, lora.LoraConfig(4, 6.0))
  specs = transformer.specs(cfg)
  whole = lora.attach(huggingface.load(base, lora.without(cfg), 'bfloat16'), specs,
                      jax.random.key(0))  # fmt: skip
  # Far below a bfloat16's last digit.
  _, frozen = params_lib.split(specs, whole)
  small = jax.tree.map(lambda x: 5e-3 * x, tiny.fill(params_lib.trained(specs)))
  huggingface.save(tmp_path / 'merged', params_lib.join(small, frozen), cfg)
  merged, given = tensors.read_folder(tmp_path / 'merged'), tensors.read_folder(base)
  name = 'model.layers.0.self_attn.q_proj.weight'
  rounded = given[name].read().astype(ml_dtypes.bfloat16).astype(np.float32)
  assert merged[name].dtype == 'F32' and merged['model.embed_tokens.weight'].dtype == 'BF16'
  moved = merged[name].read() - rounded
  assert (moved != 0).mean() > 0.9
  again = merged[name].read().astype(ml_dtypes.bfloat16).astype(np.float32)
  assert (again == rounded).mean() > 0.9
  assert json.loads((tmp_path / 'merged' / 'config.json').read_text())['torch_dtype'] == 'float32'


def change(adapter, **keys):
  path = adapter / peft.CONFIG
  path.write_text(json.dumps(json.loads(path.read_text()) | keys))


def rewritten(adapter, edit):
  """The weights file with `edit`ed contents: name -> array."""
  found = {n: t.read() for n, t in tensors.read_header(adapter / peft.WEIGHTS).items()}
  edit(found)
  contents = [(n, 'F32', a.shape, lambda a=a: a) for n, a in found.items()]
  tensors.write(adapter / peft.WEIGHTS, contents)


A = 'base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight'
BAD = [
  (lambda f: change(f, use_dora=True), 'use_dora=True is not supported: only plain LoRA is'),
  (lambda f: change(f, bias='lora_only'), "bias='lora_only' is not supported"),
  (lambda f: change(f, modules_to_save=['lm_head']), r"modules_to_save=\['lm_head'\] is not"),
  (lambda f: change(f, alpha_pattern={'q_proj': 3}), 'alpha_pattern=.* is not supported'),
  (lambda f: change(f, of_tomorrow=1), 'of_tomorrow=1 is not supported'),
  (lambda f: change(f, peft_type='IA3'), "peft_type='IA3' is not LORA"),
  (lambda f: change(f, init_lora_weights='pissa'), "init_lora_weights='pissa' changes the base"),
  (lambda f: change(f, lora_alpha='x'), "adapter_config.json: lora_alpha='x' is not a number"),
  (lambda f: change(f, lora_alpha=float('nan')), 'lora_alpha=nan is not a finite number'),
  (lambda f: change(f, lora_alpha=0), 'lora_alpha=0 is not a finite number of at least'),
  (lambda f: change(f, r=8), 'down_proj has rank 4, but adapter_config.json says 8'),
  (lambda f: change(f, r=None), 'has rank 4, but adapter_config.json says 8'),
  (lambda f: change(f, r=0), 'r=0 is not a whole number within 1'),
  (lambda f: change(f, r='4'), "r='4' is not a whole number"),
  (lambda f: change(f, rank_pattern={'q_proj': 3}), 'q_proj has rank 4, but .* says 3'),
  (lambda f: change(f, r=8, rank_pattern={'layers.[0-9].*': 2}), 'has rank 4, but .* says 2 or 8'),
  (lambda f: change(f, rank_pattern={'q_proj': 0}), 'q_proj=0 is not a whole number'),
  (
    lambda f: rewritten(f, lambda t: [t.pop(name) for name in list(t) if 'k_proj' in name]),
    "adapter_model.safetensors: holds nothing for 'k_proj', which target_modules",
  ),
  (
    lambda f: rewritten(
      f, lambda t: [t.pop(n) for n in list(t) if 'layers.1.' in n and 'v_proj' in n]
    ),
    "holds nothing for 'v_proj', .* at model.layers.1.self_attn.v_proj",
  ),
  (
    lambda f: rewritten(f, lambda t: t[A].__setitem__((0, 0), np.nan)),
    'q_proj.lora_A.weight holds NaN or infinity',
  ),
  (lambda f: change(f, base_model_name_or_path=None), 'base_model_name_or_path names no base'),
  (
    lambda f: change(f, base_model_name_or_path='org/Model-1B'),
    "the base 'org/Model-1B' is not here: put its folder beside the adapter, as .*/Model-1B",
  ),
  (lambda f: (f / peft.CONFIG).write_text('{'), 'adapter_config.json: not JSON'),
  (lambda f: (f / peft.WEIGHTS).unlink(), 'adapter_model.safetensors: no such file'),
  (lambda f: rewritten(f, lambda t: t.update(odd=t.pop(A))), 'the model has no place for odd'),
  (lambda f: rewritten(f, lambda t: t.pop(A)), 'q_proj has only one of lora_A and lora_B'),
  (
    lambda f: rewritten(f, lambda t: t.update({A: t[A][:, :-1]})),
    r'q_proj has lora_A \[4, 31\] and lora_B \[32, 4\] beside \[32, 32\]: is this the adapter of',
  ),
]


def test_keys_that_lack_are_pefts_own_and_targets_of_other_families_are_no_fault(tmp_path):
  adapter, _ = place(tmp_path, 'llama')
  name = 'model.layers.0.self_attn.q_proj.weight'
  scale = lambda: huggingface.tensors_of(*opened(adapter)[:2])[name].scale
  targets = json.loads((adapter / peft.CONFIG).read_text())['target_modules']
  change(adapter, lora_alpha=None, target_modules=[*targets, 'query_key_value'])
  assert scale() == 8 / 4
  change(adapter, r=8, rank_pattern={'_proj': 2, r'.*\.layers\..*': 4}, lora_alpha=6)
  assert scale() == 6 / 4


def test_the_command_names_the_folder_that_the_user_knows(tmp_path):
  adapter, base = place(tmp_path, 'llama')
  (adapter / 'tokenizer.json').write_text('{}')
  folder = checkpoints.open(adapter)
  places = {'': adapter, '/config.json': base / 'config.json'}
  places |= {'/tokenizer.json': adapter / 'tokenizer.json'}
  for name, known in places.items():
    told = commands.line(ValueError(f'{folder}{name}: is damaged'))
    assert told == f'{known}: is damaged'


def test_a_damaged_config_is_named_once(tmp_path):
  adapter, _ = place(tmp_path, 'llama')
  (adapter / peft.CONFIG).write_text('{')
  with pytest.raises(ValueError, match='not JSON') as error:
    opened(adapter)
  assert str(error.value).count(str(adapter)) == 1


@pytest.mark.parametrize('damage, why', BAD, ids=[why[:30] for _, why in BAD])
def test_what_is_no_plain_adapter_is_refused_in_one_line(damage, why, tmp_path):
  adapter, _ = place(tmp_path, 'llama')
  damage(adapter)
  with pytest.raises(ValueError, match=why) as error:
    opened(adapter)
  assert '\n' not in str(error.value) and str(adapter) in str(error.value).replace('\\', '')


def test_a_base_is_found_by_its_path_and_known_by_its_digest(tmp_path):
  adapter, base = place(tmp_path, 'llama')
  moved = tmp_path / 'elsewhere' / 'base'
  moved.parent.mkdir()
  base.rename(moved)
  change(adapter, base_model_name_or_path=str(moved))
  first = checkpoints.open(adapter)
  assert checkpoints.open(adapter) == first  # unpacked once
  digest = checkpoints.digest(first)
  assert digest not in (checkpoints.digest(moved), checkpoints.digest(adapter))
  rewritten(adapter, lambda t: t.update({A: t[A] + 1}))
  assert checkpoints.digest(checkpoints.open(adapter)) != digest


@pytest.mark.heavy
def test_on_smollm2_logits_are_those_of_peft(tmp_path):
  if not FETCHED.exists():
    pytest.skip('needs `r1jax fetch smollm2`, a model of 98 MB')
  adapter = tmp_path / 'adapter'
  shutil.copytree(ORACLES / 'smollm2', adapter)
  change(adapter, base_model_name_or_path=str(FETCHED))
  _, cfg, params = opened(adapter)
  stored = pathlib.Path(__file__).with_name('smollm2_reference.json').read_text()
  token = np.array([json.loads(stored)['cases'][0]['prompt']], np.int32)
  arrays = (token, np.ones_like(token), np.arange(token.shape[1], dtype=np.int32)[None])
  found = parity_test.forward(params, cfg, *arrays)[1][0, :, ::96]
  wanted = np.load(adapter / 'computed.npz')['logits']
  np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-4)
