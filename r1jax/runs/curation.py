"""Stages that make data: what a model's own samples are made into, and the tiny world's pairs."""

import contextlib

import jax

from r1jax import files
from r1jax import params as params_lib
from r1jax.algorithms import filtering
from r1jax.data import examples, source
from r1jax.data.tasks import general_files
from r1jax.rewards import service
from r1jax.runs import model, tables, workdir
from r1jax.sampling import rollout
from r1jax.stages import cold_start as cold_start_stage
from r1jax.stages import rejection as rejection_stage
from r1jax.stages import samples
from r1jax.train import progress

DATA = 'data.array_record'


def cold_start(job, config, mesh):
  """Data of Dev1 from the samples of `job.checkpoint`, R1-Zero."""

  def curate(drawn, sieve, digest):
    languages = [language for language, weight in job.data.languages if weight]
    return cold_start_stage.curate(drawn, job.cold_start, sieve, digest, languages)

  _curate(job, config, mesh, curate)


def rejection(job, config, mesh):
  """Data of Dev3 from the samples of `job.checkpoint`, Dev2, and general data."""
  # The path may name a stage that is left out where no general data is mixed in.
  general = examples.Examples(job.rejection.path) if job.rejection.general else ()

  def curate(drawn, sieve, digest):
    return rejection_stage.curate(drawn, job.rejection, sieve, digest, general)

  _curate(job, config, mesh, curate)


def general_data(job, config, mesh):
  """Pairs, requests and general examples of the tiny world: what the later stages read."""
  with workdir.opened(job.workdir, config) as folder:
    if jax.process_index() == 0:
      general_files.write(folder, job.seed, job.general_data.size)
      files.write_json(folder / workdir.SUMMARY, {'records': job.general_data.size})


def _curate(job, config, mesh, curate):
  """Samples, filters, mixes and writes a data set; says what was dropped and why."""
  cfg, form = model.checked(job, mesh)
  problems, held = source.problems(job.data, job.seed, form)
  # What stands in a held-out question may not be learned.
  texts = [held[i].question for i in range(min(job.samples.heldout, len(held)))]
  blocked = filtering.Heldout(texts, job.filter.ngram)
  sieve = filtering.Sieve(job.filter, blocked, job.samples.most_per_question)
  with workdir.opened(job.workdir, config) as folder:
    _plan(job, cfg, mesh)
    # Sampling goes on with the first part that is not on disk.
    with progress.Status('loading the weights'):
      policy = rollout.Policy(model.weights(job, cfg), cfg, form)
    digest = params_lib.sha256(policy.params)
    total = job.samples.questions * job.sample.group
    with (
      contextlib.closing(service.RewardService(job.reward)) as rewards,
      progress.Status('sampling replies', total) as status,
    ):
      drawn = samples.collect(folder, job, policy, problems, rewards, status.advance)
      data = curate(drawn, sieve, digest)
    figures = {'examples': len(data)} | sieve.figures() | rejection_stage.proportions(data)
    if jax.process_index() == 0:
      examples.write(folder / DATA, data)
      spent = samples.spent(folder, job, policy, problems)
      files.write_json(folder / workdir.SUMMARY, figures | {'model': digest, 'flops': spent})
  tables.show('Kept and dropped', [(name, f'{value:,.4g}') for name, value in figures.items()])


def _plan(job, cfg, mesh):
  """Prints what is about to be sampled."""
  wanted = job.samples
  total = f'{wanted.questions:,} questions x {job.sample.group}, {wanted.batch} at a time'
  tables.show('Plan', [*tables.model_rows(cfg, mesh), ('samples', total)])
