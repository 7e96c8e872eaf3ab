"""Stores adapters that the library peft made, and what its models compute with them.

Needs torch, transformers and peft (made with 2.13.0, 5.24.0 and 0.21.2), which nothing else in the
project does:

    python tests/interchange/make_peft_reference.py              # writes tests/oracles/peft
    python tests/interchange/make_peft_reference.py MODEL.gguf   # its smollm2 (r1jax fetch)
    python tests/interchange/make_peft_reference.py BASE ADAPTER # logits of a folder that we wrote
"""

import json
import pathlib
import sys
import tempfile

import numpy as np
import peft
import torch
import transformers

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent))

from tests.interchange import families  # noqa: E402

ORACLES = HERE.parent / 'oracles' / 'peft'
# Case -> (family, what peft is asked for).
CASES = {
  'llama': ('llama', dict(r=4, lora_alpha=6, target_modules='all-linear')),
  'qwen2_rslora': (
    'qwen2',
    dict(
      r=4, lora_alpha=6, use_rslora=True, target_modules=['q_proj', 'v_proj', 'down_proj'],
      rank_pattern={'v_proj': 2},
    ),
  ),
  'deepseek_v3': (
    'deepseek_v3',
    dict(
      r=4, lora_alpha=6,
      target_modules=['q_a_proj', 'q_b_proj', 'kv_a_proj_with_mqa', 'o_proj'],
    ),
  ),
}  # fmt: skip
# Modules whose product is stored: all rotary orders are among them.
DELTAS = ('layers.1.self_attn.q_proj', 'layers.1.self_attn.q_b_proj', 'layers.0.self_attn.o_proj')


def load(folder):
  """The base in float32."""
  return transformers.AutoModelForCausalLM.from_pretrained(
    folder, dtype=torch.float32, attn_implementation='eager'
  ).eval()


def logits(model):
  """Float32 logits of the longer prompt, [tokens, vocabulary]."""
  with torch.no_grad():
    return model(torch.from_numpy(families.prompts()[0]).long()[None]).logits[0].numpy()


def make(case):
  """Writes one adapter, its logits and some of its products."""
  family, asked = CASES[case]
  with tempfile.TemporaryDirectory() as folder:
    families.write(pathlib.Path(folder), family)
    base = load(folder)
  model, out = adapted(base, case, **asked), ORACLES / case
  named(out, folder, family)
  found = {'logits': logits(model)}
  for name, module in model.named_modules():
    if name.endswith(DELTAS) and hasattr(module, 'get_delta_weight'):
      found[name.removeprefix('base_model.model.')] = module.get_delta_weight('default').detach()
  np.savez_compressed(out / 'computed.npz', **found)
  print(out, {name: value.shape for name, value in found.items()})


def adapted(base, case, size=0.3, **asked):
  """The base with random adapters of that size, saved as a case's folder."""
  config = peft.LoraConfig(task_type='CAUSAL_LM', init_lora_weights=False, **asked)
  torch.manual_seed(0)
  model = peft.get_peft_model(base, config).eval()
  with torch.no_grad():
    for name, value in model.named_parameters():
      if 'lora_' in name:
        value.copy_(size * torch.randn(value.shape))
  model.save_pretrained(ORACLES / case)
  (ORACLES / case / 'README.md').unlink(missing_ok=True)
  return model


def of_smollm2(file):
  """An adapter of three layers of SmolLM2, and some logits behind the prompt of its reference."""
  stored = json.loads((HERE / 'smollm2_reference.json').read_text())
  path = pathlib.Path(file)
  base = transformers.AutoModelForCausalLM.from_pretrained(
    path.parent, gguf_file=path.name, dtype=torch.float32
  ).eval()
  asked = dict(target_modules=['q_proj', 'v_proj'], layers_to_transform=[0, 15, 29])
  # Products of a tenth of the weights' size, as training leaves them.
  model = adapted(base, 'smollm2', size=0.03, r=2, **asked)
  named(ORACLES / 'smollm2', str(path.parent), 'smollm2')
  with torch.no_grad():
    found = model(torch.tensor([stored['cases'][0]['prompt']])).logits[0, :, ::96].numpy()
  np.savez_compressed(ORACLES / 'smollm2' / 'computed.npz', logits=found)


def named(folder, old, new):
  """Replaces the base's name in an adapter's config."""
  text = (folder / 'adapter_config.json').read_text()
  (folder / 'adapter_config.json').write_text(text.replace(old, new))


def main():
  if len(sys.argv) == 2:
    of_smollm2(sys.argv[1])
    return
  if len(sys.argv) == 3:
    model = peft.PeftModel.from_pretrained(load(sys.argv[1]), sys.argv[2]).eval()
    np.save(pathlib.Path(sys.argv[2]) / 'logits.npy', logits(model))
    return
  for case in CASES:
    make(case)


if __name__ == '__main__':
  main()
