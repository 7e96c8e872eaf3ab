"""Architecture, tokenizer and weights of a job, and the folder that its model is saved to."""

import pathlib

import jax

from r1jax import files, keys
from r1jax import params as params_lib
from r1jax.data import prompts, source, tokenizer
from r1jax.interchange import checkpoints, huggingface
from r1jax.model import lora, transformer
from r1jax.train import state


def architecture(job):
  """(ModelConfig, tokenizer) of the checkpoint, or of the config with the shipped tokenizer.

  Raises:
    ValueError: there is no such checkpoint, its model has no part that `job.lora` names, or the
      config's vocabulary has no tokenizer.
  """
  folder = checkpoints.open(job.checkpoint or 'tiny')
  if job.model is None:
    cfg = huggingface.read_config(folder, **job.runtime.of_model())
    huggingface.check(folder, cfg)
    cfg = transformer.with_adapters(cfg, job.lora)
    return cfg, checkpoints.tokenizer_of(folder, cfg)
  tok = tokenizer.load(folder)
  if job.model.vocab != tok.vocab_size:
    raise ValueError(
      f'config.model.vocab={job.model.vocab} has no tokenizer: without config.checkpoint the '
      f'shipped one of {tok.vocab_size} pieces is used; give a checkpoint, or that vocabulary'
    )
  return job.model, tok


def form(job, tok):
  """The `prompts.Form` by which the job's questions are put to its model.

  Raises:
    ValueError: `data.prompt`, `data.system` and `data.few_shot` do not go with the checkpoint.
  """
  folder = checkpoints.open(job.checkpoint) if job.checkpoint else None
  shots = source.shots(job.data.few_shot, job.data.named())
  return prompts.Form(tok, job.data.prompt, folder, job.data.system, shots)


def checked(job, mesh):
  """(ModelConfig, `prompts.Form`) of a job that fits the mesh and the model's context."""
  cfg, tok = architecture(job)
  cfg.check_mesh(dict(mesh.shape))
  check_context(cfg, job.data.max_prompt + job.sample.max_new)
  return cfg, form(job, tok)


def check_context(cfg, needed):
  """Raises ValueError where `needed` tokens are more than the model's context."""
  if needed > cfg.max_length:
    raise ValueError(
      f'prompt and reply take up to {needed} tokens, more than the context of the model, '
      f'{cfg.max_length}; lower data.max_prompt or sample.max_new'
    )


def weights(job, cfg):
  """The checkpoint's weights, with new adapters if asked, or random ones, on the mesh set."""
  specs = transformer.specs(cfg)
  if job.checkpoint:
    folder = checkpoints.open(job.checkpoint)
    base = huggingface.load(folder, lora.without(cfg), cfg.param_dtype)
    return lora.attach(base, specs, keys.named(job.seed, 'lora')) if cfg.lora.rank else base
  # The number is older than `keys.named` and stays: a seed goes on meaning the same weights.
  make = jax.jit(lambda key: params_lib.init(specs, key, cfg.init_std, cfg.param_dtype))
  return make(jax.random.fold_in(jax.random.key(job.seed), 0xB0DE))


def check_base(job):
  """Raises ValueError where adapters would be trained beside random weights; a plan may do so."""
  if job.lora.rank and not job.checkpoint:
    raise ValueError(
      f'config.lora.rank={job.lora.rank} trains adapters beside the weights of a base: give '
      'config.checkpoint'
    )


def base(job):
  """What adapters are trained beside, for `FrozenBase.beside`; '' where all weights are trained."""
  if not job.lora.rank:
    return ''
  return state.describe_base(job.checkpoint, checkpoints.digest(checkpoints.open(job.checkpoint)))


def named(checkpoint):
  """A checkpoint as somebody in another folder finds it: a path in full, a name as it is."""
  path = pathlib.Path(checkpoint)
  return str(path.resolve()) if path.exists() else checkpoint


def save(folder, params, cfg, how):
  """Writes a policy as a hub folder: weights, config.json, tokenizer, and how it is asked.

  `how` is the `prompts.Form` that it learned with: its chat template and all ids that end a reply.
  Adapters are merged into what is written.

  Every process calls it; the first one writes what is not sharded.
  """
  huggingface.save(folder, params, cfg)
  if jax.process_index() == 0:
    how.tokenizer.save(folder)
    (folder / 'chat_template.jinja').write_text(how.chat.source)
    if len(how.end_ids) > 1:
      files.write_json(folder / 'generation_config.json', {'eos_token_id': how.end_ids})
