"""Stores what the reference implementation computes on the checkpoints of `families`.

Needs torch and transformers (made with 2.13.0 and 5.23.0; 5.24.0 gives the same to 5e-6), which
nothing else in the project does:

    python tests/interchange/make_reference.py      # writes reference.npz beside itself
"""

import pathlib
import sys
import tempfile

import numpy as np
import torch
import transformers
from transformers.models.deepseek_v3 import modeling_deepseek_v3

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent))

from tests.interchange import families  # noqa: E402

NEW_TOKENS = 24


def load(folder):
  """The model in float32; fails where a tensor is missing or left over (but for the MTP layer)."""
  model, info = transformers.AutoModelForCausalLM.from_pretrained(
    folder, dtype=torch.float32, attn_implementation='eager', output_loading_info=True
  )
  left = [key for key in info['unexpected_keys'] if not key.startswith('model.layers.3.')]
  if info['missing_keys'] or left or info['mismatched_keys']:
    raise SystemExit(f'{folder}: {info}')
  return model.eval()


def ahead(model, config, prompt):
  """Logits of the MTP module at all positions but the last: eh_proj([enorm(e), hnorm(h)]), block.

  The library has no such module: its own decoder layer is filled with the tensors of the extra
  layer.
  """
  tensors = {name: torch.from_numpy(value) for name, value in families.weights(config).items()}
  prefix = f'model.layers.{families.LAYERS}.'
  part = {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}

  def norm(name, x):
    layer = modeling_deepseek_v3.DeepseekV3RMSNorm(families.WIDTH, config['rms_norm_eps'])
    layer.weight.data = part[name]
    return layer(x)

  hidden = model.model(prompt).last_hidden_state[:, :-1]
  embedded = part['embed_tokens.weight'][prompt[:, 1:]]
  pair = torch.cat([norm('enorm.weight', embedded), norm('hnorm.weight', hidden)], -1)
  x = pair @ part['eh_proj.weight'].T
  block = modeling_deepseek_v3.DeepseekV3DecoderLayer(model.config, families.LAYERS - 1)
  block.load_state_dict(fused(part, config))
  positions = torch.arange(x.shape[1])[None]
  mask = torch.full((1, 1, x.shape[1], x.shape[1]), -torch.inf).triu(1)
  rotary = model.model.rotary_emb(x, positions)
  x = block.eval()(x, attention_mask=mask, position_ids=positions, position_embeddings=rotary)
  x = x[0] if isinstance(x, tuple) else x
  return norm('shared_head.norm.weight', x) @ part['shared_head.head.weight'].T


def fused(part, config):
  """A layer's tensors with the experts side by side, as the library keeps them in memory."""
  outside = ('enorm', 'hnorm', 'eh_proj', 'shared_head', 'embed_tokens', 'mlp.experts.')
  state = {name: value for name, value in part.items() if not name.startswith(outside)}
  count = range(config['n_routed_experts'])
  both = ('gate_proj', 'up_proj')
  state['mlp.experts.gate_up_proj'] = torch.stack(
    [torch.cat([part[f'mlp.experts.{e}.{name}.weight'] for name in both]) for e in count]
  )
  state['mlp.experts.down_proj'] = torch.stack(
    [part[f'mlp.experts.{e}.down_proj.weight'] for e in count]
  )
  return state


def compute(name, folder):
  """Key -> array of one checkpoint: logits of both prompts, greedy continuations, MTP logits."""
  config, out = families.write(folder, name), {}
  model = load(folder)
  model.generation_config = transformers.GenerationConfig(do_sample=False, pad_token_id=0)
  for i, prompt in enumerate(families.prompts()):
    prompt = torch.from_numpy(prompt).long()[None]
    out[f'{name}/logits/{i}'] = model(prompt).logits[0].numpy()
    greedy = model.generate(prompt, max_new_tokens=NEW_TOKENS, do_sample=False)
    out[f'{name}/greedy/{i}'] = greedy[0, prompt.shape[1] :].numpy().astype(np.int32)
    if config.get('num_nextn_predict_layers'):
      out[f'{name}/ahead/{i}'] = ahead(model, config, prompt)[0].numpy()
  return out


def main():
  """Everything of every checkpoint, into one file."""
  out = {}
  for name in families.CONFIGS:
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
      out |= compute(name, pathlib.Path(folder))
  np.savez_compressed(HERE / 'reference.npz', **out)
  print({key: value.shape for key, value in out.items()})


if __name__ == '__main__':
  main()
