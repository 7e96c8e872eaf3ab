"""Cold start: R1-Zero's own good replies in a readable form, the data of Dev1 (reference §1.5).

The paper samples R1-Zero at temperature 1, keeps what is correct and readable, and has DeepSeek-V3
and people rewrite it. Here the thought stays as it is and a rule writes the summary; examples
written by hand stand beside them.
"""

import dataclasses
import re

from r1jax import ranges
from r1jax.data import examples, template
from r1jax.data.tasks import handwritten

# In the question's language: a summary in another one would teach Dev1 to mix them.
_SUMMARY = {'en': 'the answer is {}', 'zh': '答案是 {}'}


@dataclasses.dataclass(frozen=True)
class ColdStartConfig:
  """The mixture.

  Attributes:
    examples: most samples that are kept, the first ones; the paper says "thousands".
    handwritten: times each example written by hand stands in the data set; 0 leaves them out.
  """

  examples: ranges.Count = 4096
  handwritten: ranges.Size = 1

  def __post_init__(self):
    ranges.check(self)


def curate(samples, cfg, sieve, model, languages):
  """The data set, the examples written by hand last.

  Args:
    samples: `samples.Sample`s of R1-Zero.
    cfg: `ColdStartConfig`.
    sieve: `filtering.Sieve`, which counts what is dropped.
    model: digest of R1-Zero's weights, for the provenance.
    languages: those that questions are asked in; examples in another one are left out.

  Returns:
    list of `examples.Example`.
  """
  chosen = []
  for one in samples:
    if len(chosen) == cfg.examples:
      break  # what is not read is not sampled
    if sieve.keep(one.candidate):
      chosen.append(_example(one, model))
  for number, one in enumerate(handwritten.EXAMPLES):
    if not cfg.handwritten or one.language not in languages:
      continue
    # What was written by hand may hit a held-out question too, and is dropped like all else.
    if sieve.heldout.contains(one.question):
      sieve.dropped['contaminated handwritten'] += 1
      continue
    text = reply(one.thought, one.answer, one.language)
    source = {'source': 'handwritten', 'number': number}
    made = examples.Example(one.question, text, one.language, 'handwritten', source)
    # Repeated, as a few would drown among thousands of sampled ones.
    chosen += [made] * cfg.handwritten
  return chosen


def reply(thought, answer, language):
  """The readable form: the reasoning inside the thought, then a summary that states the answer."""
  t = template
  summary = _SUMMARY[language].format(answer)
  return f'{t.THINK} {_tidy(thought)} {t.END_THINK} {t.ANSWER} {summary} {t.END_ANSWER}'


def _example(one, model):
  asked = one.candidate
  # Only the thought stays in the model's own words.
  thought = template.parse(asked.reply).thought
  return examples.Example(
    asked.question,
    reply(thought, one.answer, asked.language),
    asked.language,
    one.domain,
    {
      'source': 'r1_zero',
      'model': model,
      'question': one.index,
      'sample': one.number,
      'original': asked.reply,
    },
  )


def _tidy(thought):
  """One space between words, one blank line between paragraphs, none at the ends."""
  # Cuts 'a\n \nb' in two, leaves 'a\nb' whole.
  parts = re.split(r'\n\s*\n', thought.strip())
  return '\n\n'.join(' '.join(part.split()) for part in parts)
