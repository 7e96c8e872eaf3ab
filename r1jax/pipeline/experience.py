"""Experience of one RL iteration: questions, sampled completions, their verdicts and rewards."""

import collections
import dataclasses

import numpy as np

from r1jax.algorithms import grpo
from r1jax.evaluation import heldout, reading
from r1jax.rewards import service
from r1jax.sampling import rollout

_READ = 512  # completions of a rollout whose words are counted


@dataclasses.dataclass(frozen=True)
class Experience:
  """P groups of G completions with their scores.

  Attributes:
    problems: P problems; `rollout` holds the completions, `texts` their text.
    scores: the reward service's result of each completion, B of them.
    reward_PG, valid_PG: total reward, and whether the verifiers did their work.
    dropped, unfilled: groups thrown away as unanimous, and unanimous ones kept for want of better.
    version: updates of the weights that sampled all of it.
  """

  problems: tuple
  rollout: rollout.Rollout
  texts: tuple
  scores: tuple
  reward_PG: np.ndarray
  valid_PG: np.ndarray
  dropped: int = 0
  unfilled: int = 0
  version: int = 0

  def take(self, groups):
    """The experience of some of the groups."""
    rows = [p * self.rollout.group + g for p in groups for g in range(self.rollout.group)]
    return dataclasses.replace(
      self,
      problems=tuple(self.problems[p] for p in groups),
      rollout=self.rollout.take(groups),
      texts=tuple(self.texts[b] for b in rows),
      scores=tuple(self.scores[b] for b in rows),
      reward_PG=self.reward_PG[groups],
      valid_PG=self.valid_PG[groups],
    )


def sample_once(policy, scfg, problems, limits, key, rewards):
  """One rollout over `problems`, each chunk scored while the next one is sampled."""
  prompts = [rollout.encode_prompt(policy.tokenizer, p.question) for p in problems]
  parts, texts, handles = [], [], []
  for part in rollout.run(policy, scfg, prompts, limits, key):
    first = sum(len(p.prompts) for p in parts)
    parts.append(part)
    new = [policy.tokenizer.decode(part.completion(b)) for b in range(len(part.length_B))]
    texts += new
    handles.append(rewards.submit(_items(new, problems[first:], part, scfg.group)))
  scores = tuple(score for handle in handles for score in handle.result())
  shape = (len(problems), scfg.group)
  reward = np.array([s.total for s in scores]).reshape(shape)
  valid = np.array([s.scored for s in scores], bool).reshape(shape)
  reward = np.where(valid, reward, 0.0)
  return Experience(tuple(problems), rollout.join(parts), tuple(texts), scores, reward, valid)


def collect(next_problems, sample_problems, gcfg, dynamic, max_refills):
  """A rollout; with `dynamic`, unanimous groups are replaced by those of further questions (DAPO).

  Args:
    next_problems: () -> the next P problems of the stream.
    sample_problems: (problems, round) -> Experience.
    gcfg: `GrpoConfig`.
    max_refills: further rounds before unanimous groups fill the rest; they are counted.
  """
  first = sample_problems(next_problems(), 0)
  if not dynamic:
    return first
  wanted, rounds, kept, spare, dropped = len(first.problems), [first], [], [], 0
  for number in range(max_refills + 1):
    found = rounds[-1]
    same_P = grpo.unanimous_groups(found.reward_PG, found.valid_PG)
    kept += [(number, p) for p in np.flatnonzero(~same_P)]
    spare += [(number, p) for p in np.flatnonzero(same_P)]
    if len(kept) >= wanted or number == max_refills:
      break
    rounds.append(sample_problems(next_problems(), number + 1))
  chosen = (kept + spare)[:wanted]
  unfilled = max(wanted - len(kept), 0)
  dropped = sum(len(r.problems) for r in rounds) - wanted
  parts = [
    r.take([p for n, p in chosen if n == number])
    for number, r in enumerate(rounds)
    if any(n == number for n, _ in chosen)
  ]
  return _join(parts, dropped, unfilled)


def figures(found, cap):
  """Metrics of an experience by name: rewards, verdicts, lengths, manner, dropped groups."""
  scores, out = [s for s in found.scores if s.scored], found.rollout
  named = collections.defaultdict(list)
  kinds = collections.Counter()
  for score in found.scores:
    for name, verdict in score.verdicts.items():
      if verdict.scored:
        named[f'reward/{name}'].append(verdict.score)
    if 'accuracy' in score.verdicts:
      kinds[score.verdicts['accuracy'].kind] += 1
  ruled = [b for b, s in enumerate(found.scores) if 'accuracy' in s.verdicts]
  correct = np.array([found.scores[b].verdicts['accuracy'].score for b in ruled])
  manner = heldout.by_manner([found.texts[b] for b in ruled], correct) if ruled else {}
  some = ruled[:: max(1, len(ruled) // _READ)]
  targets = [found.problems[b // out.group].language for b in some]
  manner |= reading.figures([found.texts[b] for b in some], targets)
  total = max(len(ruled), 1)
  return (
    {name: float(np.mean(values)) for name, values in named.items()}
    | {f'rollout/{name}': value for name, value in manner.items()}
    | {f'verdict/{kind}': count / total for kind, count in sorted(kinds.items())}
    | {
      'reward/total': float(np.mean([s.total for s in scores])) if scores else 0.0,
      'rollout/length': float(out.length_B.mean()),
      'rollout/truncated': float(1 - out.stopped_B.mean()),
      'rollout/cap': float(cap),
      'rollout/unanimous': float(grpo.unanimous_groups(found.reward_PG, found.valid_PG).mean()),
      'rollout/dropped_groups': float(found.dropped),
      'rollout/unfilled_groups': float(found.unfilled),
    }
  )


def shaped(found, cap, gcfg):
  """reward_PG with the soft overlong penalty of this update's cap, counted in tokens."""
  if not gcfg.overlong_buffer:
    return found.reward_PG
  gcfg = dataclasses.replace(gcfg, max_length=cap)
  length_PG = found.rollout.length_B.reshape(found.reward_PG.shape)
  return found.reward_PG + grpo.overlong_penalty(length_PG, gcfg)


def _items(texts, problems, part, group):
  return [
    service.Item(text, asked.answer, asked.question, asked.language)
    for b, text in enumerate(texts)
    for asked in [problems[b // group]]
  ]


def _join(parts, dropped, unfilled):
  return Experience(
    problems=tuple(p for part in parts for p in part.problems),
    rollout=rollout.join([part.rollout for part in parts]),
    texts=tuple(t for part in parts for t in part.texts),
    scores=tuple(s for part in parts for s in part.scores),
    reward_PG=np.concatenate([part.reward_PG for part in parts]),
    valid_PG=np.concatenate([part.valid_PG for part in parts]),
    dropped=dropped,
    unfilled=unfilled,
  )
