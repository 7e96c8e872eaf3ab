"""Architecture, tokenizer and weights of a job, and the folder that its model is saved to."""

import jax

from r1jax import files
from r1jax import params as params_lib
from r1jax.data import prompts, source, tokenizer
from r1jax.interchange import checkpoints, huggingface
from r1jax.model import transformer


def architecture(job):
  """(ModelConfig, tokenizer) of the checkpoint, or of the config with the shipped tokenizer.

  Raises:
    ValueError: there is no such checkpoint, or the config's vocabulary has no tokenizer.
  """
  folder = checkpoints.open(job.checkpoint or 'tiny')
  if job.model is None:
    cfg = huggingface.read_config(folder, **job.runtime.of_model())
    huggingface.check(folder, cfg)
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
  return prompts.Form(tok, job.data.prompt, folder, job.data.system, source.shots(job.data))


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
  """The checkpoint's weights, or random ones, on the mesh that is set."""
  if job.checkpoint:
    return huggingface.load(checkpoints.open(job.checkpoint), cfg, cfg.param_dtype)
  specs = transformer.specs(cfg)
  make = jax.jit(lambda key: params_lib.init(specs, key, cfg.init_std, cfg.param_dtype))
  return make(jax.random.fold_in(jax.random.key(job.seed), 0xB0DE))


def save(folder, params, cfg, how):
  """Writes a policy as a hub folder: weights, config.json, tokenizer, and how it is asked.

  `how` is the `prompts.Form` that it learned with: its chat template and all ids that end a reply.

  Every process calls it; the first one writes what is not sharded.
  """
  huggingface.save(folder, params, cfg)
  if jax.process_index() == 0:
    how.tokenizer.save(folder)
    (folder / 'chat_template.jinja').write_text(how.source)
    if len(how.end_ids) > 1:
      files.write_json(folder / 'generation_config.json', {'eos_token_id': how.end_ids})
