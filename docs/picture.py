"""Draws the README's picture from a finished run: python docs/picture.py RUN [--output=FILE.png].

Two panels: accuracy and format with the held-out results before and after, and length; below them
what the base and the trained model say to the first held-out question that the base gets wrong.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import textwrap

from matplotlib import figure

from r1jax.data.tasks import tiny_world
from r1jax.rewards import accuracy
from r1jax.train import metrics

FOLDER = pathlib.Path(__file__).resolve().parent
BLUE, ORANGE, GREY = '#1f5fa8', '#c8641e', '0.45'
_TRIED = 16  # held-out questions asked until the base gets one wrong


def course(rows, name):
  """(updates, values) of a metric where rows of `metrics.read` have it."""
  found = [(row['step'], row[name]) for row in rows if row.get(name) is not None]
  return [step for step, _ in found], [value for _, value in found]


def shares(axis, rows, summary):
  """Accuracy and format over the updates; dots are held-out pass@1 with 95 % intervals."""
  for name, label, color in (
    ('reward/format', 'format', ORANGE),
    ('reward/accuracy', 'accuracy', BLUE),
  ):
    steps, values = course(rows, name)
    axis.plot(steps, values, color=color, linewidth=1.6)
    axis.annotate(label, (steps[2], values[2]), (0, 12), textcoords='offset points', color=color)
  for step, when in ((0, 'before'), (rows[-1]['step'], 'after')):
    mean, (low, high) = summary[when]['pass@1'], summary[when]['ci95']
    bars = [[mean - low], [high - mean]]
    axis.errorbar([step], [mean], yerr=bars, fmt='o', color=BLUE, capsize=3, clip_on=False)
  axis.set_ylim(0, 1.02)
  axis.set_title('Share of replies', loc='left', fontsize=10)


def lengths(axis, rows):
  """Mean tokens per reply over the updates."""
  axis.plot(*course(rows, 'rollout/length'), color=BLUE, linewidth=1.6)
  axis.set_ylim(bottom=0)
  axis.set_title('Tokens per reply', loc='left', fontsize=10)


def ask(checkpoint, question):
  """What a model replies, as `r1jax.chat` prints it."""
  command = [sys.executable, '-m', 'r1jax.chat', f'--checkpoint={checkpoint}']
  command += [f'--prompt={question}', '--max_tokens=96', '--seed=0']
  done = subprocess.run(command, capture_output=True, text=True, check=True)
  return ' '.join(done.stdout.split())


def transcript(run):
  """(question, reply of the base, reply of the run's model); the first the base gets wrong."""
  base = json.loads((run / 'config.json').read_text())['checkpoint']
  world = tiny_world.WorldConfig(levels=(1, 3))
  for problem in tiny_world.World(0, _TRIED, world, tiny_world.HELDOUT):
    before = ask(base, problem.question)
    if not accuracy.check(before, problem.answer).score:
      return problem.question, before, ask(run, problem.question)
  raise ValueError(f'the base answers all of {_TRIED} questions')


def draw(run):
  """The picture, a matplotlib Figure."""
  rows = metrics.read(run / 'metrics.jsonl')
  summary = json.loads((run / 'summary.json').read_text())
  drawing = figure.Figure(figsize=(8.4, 4.4))
  axes = drawing.subplots(1, 2)
  drawing.subplots_adjust(left=0.06, right=0.98, top=0.92, bottom=0.45, wspace=0.16)
  shares(axes[0], rows, summary)
  lengths(axes[1], rows)
  for axis in axes:
    axis.spines[['top', 'right']].set_visible(False)
    axis.grid(axis='y', color='0.9')
    axis.set_xlabel('policy updates', fontsize=9)
    axis.tick_params(labelsize=8)
  question, before, after = transcript(run)
  text = dict(family='monospace', fontsize=8.5, va='top', linespacing=1.4)
  said = (('question', question, '0.1'), ('base', before, ORANGE), ('after RL', after, BLUE))
  place = 0.29
  for who, words, color in said:
    lines = textwrap.wrap(words, 84)
    drawing.text(0.03, place, who, color=GREY, **text)
    drawing.text(0.13, place, '\n'.join(lines), color=color, **text)
    place -= 0.045 * len(lines) + 0.035
  return drawing


def main():
  """Draws the picture of a run's folder."""
  flags = argparse.ArgumentParser(description=__doc__.split('\n')[0])
  flags.add_argument('run', type=pathlib.Path)
  flags.add_argument('--output', type=pathlib.Path, default=FOLDER / 'pictures' / 'r1_zero.png')
  given = flags.parse_args()
  given.output.parent.mkdir(exist_ok=True)
  draw(given.run).savefig(given.output, dpi=150)


if __name__ == '__main__':
  main()
