"""The examination of a run by all rules."""

from r1jax.runs.doctor import machine, policy, replies, signal
from r1jax.runs.doctor.finding import Evidence, Finding

# In the order in which they are told: what keeps a run from learning comes first.
RULES = (*signal.RULES, *policy.RULES, *replies.RULES, *machine.RULES)


def examine(evidence):
  """`Finding`s of an `Evidence`, the gravest first; [] for a run that is well."""
  findings = [rule(evidence) for rule in RULES]
  # Without any reward there is no second reason to look for.
  if findings[0]:
    return findings[:1] + [one for one in findings[-len(machine.RULES) :] if one]
  return [one for one in findings if one]


def of(run):
  """The `Finding`s of a `show.reading.Run`."""
  newest = run.latest('step')
  last = tuple(newest.rows()) if newest else ()
  updates = max(run.step, *(run.checkpoints or (0,)), newest.step if newest else 0)
  findings = examine(Evidence(tuple(run.rows), run.config, last, run.checkpoints, updates))
  if run.stopped and not run.alive:
    do = 'mend that; the same command goes on from the newest checkpoint'
    findings.insert(0, Finding('it ended before its end', run.stopped, do))
  return findings
