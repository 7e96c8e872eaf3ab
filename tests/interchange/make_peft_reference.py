"""Stores adapters that the library peft made, and what its models compute with them.

Needs torch, transformers and peft (made with 2.13.0, 5.24.0 and 0.21.2), which nothing else in the
project does:

    python tests/interchange/make_peft_reference.py              # writes tests/oracles/peft
    python tests/interchange/make_peft_reference.py BASE ADAPTER # logits of a folder that we wrote
"""

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
  config = peft.LoraConfig(task_type='CAUSAL_LM', init_lora_weights=False, **asked)
  torch.manual_seed(0)
  model = peft.get_peft_model(base, config).eval()
  with torch.no_grad():
    for name, value in model.named_parameters():
      if 'lora_' in name:
        value.copy_(0.3 * torch.randn(value.shape))
  out = ORACLES / case
  model.save_pretrained(out)
  (out / 'README.md').unlink(missing_ok=True)
  text = (out / 'adapter_config.json').read_text()
  (out / 'adapter_config.json').write_text(text.replace(folder, family))
  found = {'logits': logits(model)}
  for name, module in model.named_modules():
    if name.endswith(DELTAS) and hasattr(module, 'get_delta_weight'):
      found[name.removeprefix('base_model.model.')] = module.get_delta_weight('default').detach()
  np.savez_compressed(out / 'computed.npz', **found)
  print(out, {name: value.shape for name, value in found.items()})


def main():
  if len(sys.argv) == 3:
    model = peft.PeftModel.from_pretrained(load(sys.argv[1]), sys.argv[2]).eval()
    np.save(pathlib.Path(sys.argv[2]) / 'logits.npy', logits(model))
    return
  for case in CASES:
    make(case)


if __name__ == '__main__':
  main()
