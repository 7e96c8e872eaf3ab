"""The model of the best examination on the way, beside that of the last update."""

import jax

from r1jax import files
from r1jax.train import checkpoint

FOLDER = 'model-best'


def check(job, examiner):
  """Raises ValueError where `loop.keep_best` has nothing to go by.

  Args:
    job: `config.Job`.
    examiner: of the run; None where no policy is examined.
  """
  if job.loop.keep_best and not (examiner and job.evaluation.every):
    raise ValueError(
      'config.loop.keep_best=True has no examinations on the way to go by: give '
      '--config.evaluation.every=N (updates), in a stage that examines its policy'
    )


def write(run, stage, best):
  """Writes the model of the best checkpoint and says which folder holds which.

  Where that is the checkpoint of the last update, it is `model/` already.

  Args:
    run: `train.Run` whose `model/` is written.
    stage: its stage, which has ended; its state is given up.
    best: `loop.Best`.
  """
  say = print if jax.process_index() == 0 else lambda line: None
  asked = min(run.job.evaluation.few, len(run.examiner.problems))
  score = f'pass@1 {best.value:.3f} of {asked} held-out questions'
  if best.step == stage.total:
    say(f'model/ is of the last update, {stage.total}, which is the best on the way too: {score}')
    return
  # Before the other is read: both at once may not fit.
  stage.state = None
  with checkpoint.Checkpoints(run.folder / 'checkpoints', notify=say) as saved:
    arrays, _ = saved.load(best.step, stage.abstract)
  # RL saves more than its state.
  stage.state = arrays['state'] if isinstance(arrays, dict) else arrays
  run.save(run.folder / FOLDER, stage)
  if jax.process_index() == 0:
    record = {'step': best.step, 'pass@1': best.value, 'questions': asked}
    files.write_json(run.folder / FOLDER / 'best.json', record)
  say(
    f'model/ is of the last update, {stage.total}; {FOLDER}/ is of update {best.step}, the best on '
    f'the way: {score}'
  )
