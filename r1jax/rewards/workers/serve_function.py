"""A reward worker that calls a function of the user's: lists in, a number or `Verdict` each out.

The user's file is executed here and nowhere else: what it imports, prints, leaks or kills stays in
this process. Only memory that it may write is limited, as libraries such as torch reserve many
times the addresses that they use.
"""

import collections.abc
import functools
import importlib.util
import inspect
import math
import pathlib
import resource
import sys
import traceback

from r1jax.rewards.verdict import Kind, Verdict
from r1jax.rewards.workers import protocol

_LONGEST = 300  # characters that are told of an error
_BY_NAME = {
  inspect.Parameter.POSITIONAL_OR_KEYWORD,
  inspect.Parameter.KEYWORD_ONLY,
  inspect.Parameter.VAR_KEYWORD,
}
# Lists by the name that a function may ask for; the second names are those of TRL's functions.
_SAME = {'completions': 'texts', 'prompts': 'questions'}

_AROUND = ': write a function around it, such as def score(texts): ...'


class _RefusedError(Exception):
  """What is wrong with a function or with what it returned; a whole sentence."""


def check(path, name, lists):
  """The rows of `function` `name` of the file `path` for all completions.

  Args:
    path: a Python file.
    name: a function in it.
    lists: name -> list with an entry per completion: texts, questions, answers, and the extra
      columns of the questions' rows. Empty, it only loads the file.

  Returns:
    [score, kind, why] per completion; one such row where the file cannot be loaded.
  """
  try:
    function = _function(path, name)
    if not lists:
      _check_kind(function)
      _check_takes(function)
  except (Exception, SystemExit) as error:  # of somebody's code anything may come
    return _failed(_told(error, path))
  if not lists:
    return _row(Verdict(1.0, Kind.CORRECT))
  return _judged(function, path, lists)


def _judged(function, path, lists):
  """Rows of one call; of a call that raises, those of a call per completion."""
  count = len(lists['texts'])
  try:
    return _rows(_called(function, lists), count)
  except _RefusedError as error:
    return [_failed(str(error))] * count
  except (Exception, SystemExit) as error:
    if count == 1:
      return [_failed(_told(error, path))]
  # One odd text must not cost the others their rewards.
  alone = lambda i: {name: [values[i]] for name, values in lists.items()}
  return [row for i in range(count) for row in _judged(function, path, alone(i))]


@functools.cache
def _module(path):
  """The module of a file, executed once."""
  # Its folder first, as for a script: it may import its neighbours.
  sys.path.insert(0, str(pathlib.Path(path).parent))
  name = f'own_reward_{pathlib.Path(path).stem}'
  spec = importlib.util.spec_from_file_location(name, path)
  module = importlib.util.module_from_spec(spec)
  # Dataclasses and pickles look their module up by its name.
  sys.modules[name] = module
  spec.loader.exec_module(module)
  return module


def _function(path, name):
  function = getattr(_module(path), name, None)
  if callable(function):
    return function
  functions = [one for one, value in vars(_module(path)).items() if inspect.isfunction(value)]
  there = sorted(one for one in functions if one[0] != '_')
  raise _RefusedError(f'it has no function {name}; there are {", ".join(there) or "none"}')


def _check_kind(function):
  """Refuses, when a run begins, what returns no list of numbers whatever it is called with."""
  for one, decorated in _within(function):
    why = _other_kind(one)
    # A decorator may drive a coroutine, list a generator, or ask a class's object.
    if why and (not decorated or _hands_on(function, one)):
      raise _RefusedError(why)


def _within(function, decorated=False):
  """Yields a function and those that it calls, and of each whether a decorator is around it."""
  yield function, decorated
  if isinstance(function, functools.partial):
    yield from _within(function.func, decorated)
  if inspect.isfunction(type(function).__call__):
    yield from _within(type(function).__call__, decorated)
  if hasattr(function, '__wrapped__'):
    yield from _within(function.__wrapped__, True)


def _other_kind(function):
  """Why a function returns no list of numbers, as it is of another kind; '' for a plain one."""
  if inspect.isclass(function):
    return 'it is a class: give a function, which returns the numbers'
  if inspect.iscoroutinefunction(function):
    return 'it is async: give a plain function, which returns the numbers'
  if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
    return 'it is a generator: give a function that returns a list of numbers'
  return ''


def _hands_on(function, inner):
  """Whether a decorated function gives what `inner` gives as it is: called without completions.

  A coroutine or a generator that nobody drives runs nothing of the user's.
  """
  try:
    parameters = inspect.signature(function).parameters.values()
    columns = [one.name for one in parameters if one.default is one.empty]
    names = ['texts', 'questions', 'answers', *columns]
    returned = _called(function, {name: [] for name in names})
  except (Exception, SystemExit):  # nothing is known then until there are completions
    return False
  if inspect.iscoroutine(returned):
    returned.close()  # else Python warns that nobody awaited it
  if inspect.isclass(inner):
    return isinstance(returned, inner)
  kinds = (inspect.isawaitable, inspect.isgenerator, inspect.isasyncgen)
  return any(is_kind(returned) for is_kind in kinds)


def _check_takes(function):
  """Refuses, when a run begins, what could not be called with lists by their names."""
  *_, (inner, _) = _within(function)
  name = getattr(inner, '__qualname__', type(inner).__name__)
  compiled = not (inspect.isfunction(inner) or inspect.ismethod(inner))
  try:
    parameters = list(inspect.signature(function).parameters.values())
  except ValueError as error:
    raise _RefusedError(f'{name} is compiled and does not say its parameters{_AROUND}') from error
  needed = [one for one in parameters if one.default is one.empty]
  if any(one.kind == one.POSITIONAL_ONLY for one in needed):
    raise _RefusedError(
      f'{name} is compiled and takes nothing by its name{_AROUND}'
      if compiled
      else f'its lists are given by their names: remove the / from the parameters of {name}'
    )
  if not _BY_NAME & {one.kind for one in parameters}:
    raise _RefusedError('it takes no list by its name, such as texts, questions or answers')


def _called(function, lists):
  """What a function returns, called with those of the lists that its parameters name."""
  wanted = inspect.signature(function).parameters
  known = lists | {other: lists[own] for other, own in _SAME.items()}
  given, rest = {}, False
  for name, parameter in wanted.items():
    if parameter.kind == parameter.VAR_KEYWORD:
      rest = True
    elif parameter.kind in (parameter.VAR_POSITIONAL, parameter.POSITIONAL_ONLY):
      continue  # these have a default, see `_check_takes`
    elif name in known:
      given[name] = known[name]
    elif parameter.default is parameter.empty:
      raise _RefusedError(
        f'its parameter {name!r} is none of the lists there are: {", ".join(lists)}'
      )
  if rest:
    # By all their names: a function may ask a dict for either.
    given = known | given
  if not given:
    raise _RefusedError(f'it takes none of the lists there are: {", ".join(lists)}')
  return function(**given)


def _rows(returned, count):
  """Rows of what a function returned for `count` completions."""
  if not _is_list(returned):
    raise _RefusedError(
      f'it returned {_shown(returned)}, expected a list of {count} numbers in the order of texts'
    )
  if len(returned) != count:
    raise _RefusedError(f'it returned {len(returned)} values for {count} completions')
  return [_row(_verdict(one)) for one in returned]


def _is_list(returned):
  """Whether it has entries in an order: a list, a tuple, an array, but no text, set or dict."""
  if isinstance(returned, (str, bytes, collections.abc.Set, collections.abc.Mapping)):
    return False
  # An array without axes has a `__len__` that raises.
  return hasattr(returned, '__len__') and getattr(returned, 'ndim', 1) > 0


def _verdict(one):
  """The Verdict of one value that a function returned."""
  if isinstance(one, Verdict):
    score, kind, why = one.score, one.kind, str(one.why)
  else:
    score, kind, why = one, None, ''
  # Texts such as '1' have no place among numbers; those of NumPy and torch have `__float__`.
  if isinstance(score, (str, bytes)) or not hasattr(score, '__float__'):
    raised = f'it gave {_shown(score)} for a completion, expected a number or a Verdict'
    return Verdict(0.0, Kind.VERIFIER_ERROR, raised)
  score = float(score)
  if not math.isfinite(score):
    return Verdict(0.0, Kind.VERIFIER_ERROR, f'it gave {score} for a completion')
  return Verdict(score, kind or (Kind.CORRECT if score >= 0.5 else Kind.WRONG), why)


def _row(verdict):
  return [verdict.score, str(verdict.kind), verdict.why[:_LONGEST]]


def _failed(why):
  return _row(Verdict(0.0, Kind.VERIFIER_ERROR, why))


def _told(error, path):
  """One line of what was raised, with the line of the user's file where there is one."""
  if isinstance(error, _RefusedError):
    return str(error)
  text = ' '.join(str(error).split()) or 'no reason given'
  if isinstance(error, MemoryError):
    text = f'over the memory limit, reward.function_gib ({text})'
  # The innermost line of the user's own file is the one to look at.
  lines = [one.lineno for one in traceback.extract_tb(error.__traceback__) if one.filename == path]
  where = f' (line {lines[-1]})' if lines else ''
  return f'it raised {type(error).__name__}: {text}'[:_LONGEST] + where


def _shown(value):
  return f'{type(value).__name__} {value!r:.40}'


def _answer(request):
  try:
    _, arguments = request()
    return check(*arguments)
  except Exception as error:  # a gold that cannot be unpickled, say: our failure
    return _failed(f'{type(error).__name__}: {error}')


def main(memory_bytes, parent):
  """Serves requests until the input ends."""
  protocol.serve(_answer, parent, resource.RLIMIT_DATA, memory_bytes)


if __name__ == '__main__':
  main(int(sys.argv[1]), int(sys.argv[2]))
