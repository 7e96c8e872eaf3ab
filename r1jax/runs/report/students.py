"""What the report says of the students: distillation, and RL against it (reference §1.8, §1.10)."""

from r1jax import files
from r1jax import params as params_lib
from r1jax.evaluation import intervals, report_card
from r1jax.interchange import huggingface
from r1jax.model import transformer
from r1jax.runs.report import published

TITLES = {
  'base_qwen': 'Qwen2 student',
  'distill_qwen': 'Distill-Qwen2',
  'rl_qwen': 'Zero-Qwen2',
  'matched_qwen': 'Distill-Qwen2, RL’s operations',
  'base_llama': 'Llama student',
  'distill_llama': 'Distill-Llama',
}
HOW = {
  'base_qwen': 'pre-trained',
  'distill_qwen': 'SFT on the curated samples',
  'rl_qwen': 'RL from the same base, rule rewards',
  'matched_qwen': 'SFT on the curated samples',
  'base_llama': 'pre-trained',
  'distill_llama': 'SFT on the curated samples',
}
ROLES = {'base': 'base', 'rl': 'RL', 'distill': 'distilled', 'teacher': 'teacher, Dev2'}
TEACHER = 'dev2'  # the curated samples are its own
# Student -> (its base, the paper's student that is nearest: the smallest of its family).
_STUDENTS = {
  'distill_qwen': ('base_qwen', 'R1-Distill-Qwen-1.5B'),
  'distill_llama': ('base_llama', 'R1-Distill-Llama-8B'),
}
_LATEST_FIRST = ('r1', 'dev3', 'dev2', 'dev1', 'r1_zero', 'base')
# Role in the comparison -> stage.
_STAGE_OF = {'base': 'base_qwen', 'rl': 'rl_qwen', 'distill': 'matched_qwen', 'teacher': TEACHER}


def distilled(inputs, cards):
  """Teacher and students, a row each; {} where there are no students.

  Args:
    inputs: stage -> its folder.
    cards: model -> report card.

  Returns:
    {'teacher': ..., 'students': {name: ...}} as JSON holds it. Each has `family`, `parameters`,
    `accuracy`; a student also `base` (accuracy before), `examples`, `updates`, `flops`, its
    `shares` of the accuracy of its teacher and of the pipeline's last model, the paper's scores.
  """
  names = [name for name in _STUDENTS if name in inputs]
  # With a teacher from elsewhere there is no card of it to compare with.
  if not names or TEACHER not in inputs:
    return {}
  students = {}
  for name in names:
    base, nearest = _STUDENTS[name]
    summary = _summary(inputs[name])
    students[name] = _model(inputs[name], cards[name]) | {
      'base': cards[base]['accuracy'] if base in cards else None,
      **{key: summary[key] for key in ('examples', 'updates', 'flops')},
      'shares': {one: share(cards[name], cards[one]) for one in (TEACHER, last(cards))},
      'paper': {'student': nearest, 'scores': published.STUDENTS[nearest]},
    }
  return {'teacher': _model(inputs[TEACHER], cards[TEACHER]), 'students': students}


def compared(inputs, cards):
  """RL against distillation on one base: {'rows': {role: ...}, 'change': ...}, or {}.

  `flops` are the counted operations of the student's training, `with_teacher` those and its
  teacher's sampling; `change` is the paired difference of the distilled student to the other.
  """
  # All four models and the spent operations of two, or nothing can be said.
  there = set(_STAGE_OF.values()) <= set(cards) and 'rejection' in inputs
  if not there or not {_STAGE_OF['rl'], _STAGE_OF['distill']} <= set(inputs):
    return {}
  rows = {role: {'accuracy': cards[name]['accuracy']} for role, name in _STAGE_OF.items()}
  for role in ('rl', 'distill'):
    course = files.read_metrics(inputs[_STAGE_OF[role]] / 'metrics.jsonl')
    spent = sum(row.get('compute/flops', 0.0) for row in course)
    rows[role] |= {'flops': spent, 'with_teacher': spent, 'paper': published.RL_VS_DISTILL[role]}
  # RL needs no teacher; the distilled student's had to draw its samples first.
  rows['distill']['with_teacher'] += _summary(inputs['rejection'])['flops']
  rates = [cards[_STAGE_OF[role]]['rates'] for role in ('rl', 'distill')]
  return {'rows': rows, 'change': report_card.difference(*rates).as_json()}


def share(card, other):
  """Accuracy of one card as a share of another's on the same questions: {mean, ci95}, or None."""
  # Only questions that were marked for both.
  both = zip(card['rates'], other['rates'], strict=True)
  pairs = [pair for pair in both if None not in pair]
  ratio = intervals.ratio(*zip(*pairs)) if pairs else None
  return {'mean': ratio[0], 'ci95': list(ratio[1:])} if ratio else None


def last(cards):
  """Name of the pipeline's last model that is there; '' where none is."""
  return next((name for name in _LATEST_FIRST if name in cards), '')


def _model(folder, card):
  """Architecture, size and accuracy of a model."""
  cfg = huggingface.read_config(folder / 'model')
  specs = transformer.specs(cfg)
  return {
    'family': files.read_json(folder / 'model' / 'config.json')['model_type'],
    # Without the multi-token module, as sizes of models are told.
    'parameters': params_lib.count(specs) - params_lib.count(specs.get('mtp', {})),
    'accuracy': card['accuracy'],
  }


def _summary(folder):
  return files.read_json(folder / 'summary.json')
