"""One expression of an answer as SymPy reads it, by math-verify's LaTeX parser; never by `eval`."""

import dataclasses
import functools
import re

import math_verify
import sympy

LONGEST_FORMULA = 500  # characters of one expression; reading time grows faster than length
_LATEX = (
  math_verify.LatexExtractionConfig(
    normalization_config=dataclasses.replace(
      math_verify.LatexExtractionConfig().normalization_config, units=False
    )
  ),
)
_NAMES = re.compile(
  r'(?<![\\A-Za-z])(arcsin|arccos|arctan|sin|cos|tan|ln|log|exp|pi|infty|theta|infinity|oo|inf)(?![A-Za-z])'
)
_ASCII = {'infinity': '\\infty ', 'oo': '\\infty ', 'inf': '\\infty '}
_ROOT = re.compile(r'\\?sqrt ?\(([^()]*(?:\([^()]*\)[^()]*)*)\)')
_ROOT_BARE = re.compile(r'(?:\\sqrt|(?<!\\)\bsqrt) ?(\d+(?:\.\d+)?|[a-z])')
_TWO_NUMBERS = re.compile(r'(?<!_)(?<!_\d)[\d.] +[\d.]')
_FRAC_BARE = re.compile(r'\\frac ?(\\(?:pi|theta|alpha|beta)|[\da-z])(?=[\\\d{a-z ])')
_FRAC_OVER = re.compile(r'(\\frac ?\{[^{}]*\}) ?(\\(?:pi|theta|alpha|beta)|[\da-z])(?![a-z])')
_OF_LETTER = re.compile(r'(\\(?:sin|cos|tan|cot|sec|csc|ln|log)) ?([a-z]|\\theta ?|\\pi ?)(?= ?/)')
_DEGREES = re.compile(r'(\d+(?:\.\d+)?) ?(?:\^ ?\{?\\circ\}?|°)')
_TOO_LARGE = re.compile(
  r'\^ ?\{[^{}]*\^ ?\{[^{}]*\^|\^ ?\{? ?-?\d{5,}|\d{7,} ?!|! ?! ?!'
  r'|\^ ?\{?[^{}]*\d{2,}[^{}]*\^ ?\{?\d{2,}'
)


class UnreadableError(ValueError):
  """An expression that states no value this module can read."""


@functools.lru_cache(maxsize=256)
def read(text):
  """The SymPy expression of one leaf."""
  if len(text) > LONGEST_FORMULA:
    raise UnreadableError(
      f'a formula of {len(text)} characters; at most {LONGEST_FORMULA} are read'
    )
  if _TOO_LARGE.search(text):
    raise UnreadableError('a number too large to compare')
  if _TWO_NUMBERS.search(text):
    raise UnreadableError('two numbers side by side')
  found = _parsed(to_latex(text))
  if not found:
    raise UnreadableError(f'not a formula: {text[:60]!r}')
  formula = found[0]
  if not isinstance(formula, sympy.Expr) or isinstance(formula, sympy.MatrixBase):
    raise UnreadableError(f'not one expression: {text[:60]!r}')
  exact = {f: sympy.Rational(str(f)) for f in formula.atoms(sympy.Float)}
  # The parser guesses from the text whether names are real; here they are always alike.
  exact |= {n: sympy.I if n.name == 'i' else sympy.Symbol(n.name) for n in formula.free_symbols}
  return _tried(lambda: formula.xreplace(exact).doit())


def _parsed(latex):
  return _tried(
    lambda: math_verify.parse(
      f'${latex}$', _LATEX, fallback_mode='no_fallback', parsing_timeout=None
    )
  )


def _tried(step):
  # SymPy raises many types on odd input; they all say that this text states no value.
  try:
    return step()
  except MemoryError:
    raise
  except Exception as error:
    raise UnreadableError(f'{type(error).__name__}: {error}') from error


def to_latex(text):
  """LaTeX of a leaf that may be written in the ASCII of programs: `sqrt(2)`, `x**10`, `2*pi`."""
  text = text.replace('**', '^').replace('\\log_e', '\\ln').replace('\\log_{e}', '\\ln')
  text = _DEGREES.sub(r'(\1\\cdot \\pi/180)', text)
  text = _FRAC_BARE.sub(r'\\frac{\1}', text)
  text = _FRAC_OVER.sub(r'\1{\2}', text)
  text = _OF_LETTER.sub(r'\1(\2)', text)
  text = re.sub(r'\\sqrt ?\[(\d+)\] ?(\w)', r'\\sqrt[\1]{\2}', text)
  text = _ROOT.sub(r'\\sqrt{\1}', _ROOT.sub(r'\\sqrt{\1}', text))
  text = _ROOT_BARE.sub(r'\\sqrt{\1}', text)
  text = _NAMES.sub(lambda m: _ASCII.get(m.group(1), f'\\{m.group(1)} '), text)
  text = re.sub(r'\^ ?\(([^()]*)\)', r'^{\1}', text)
  text = re.sub(r'\^ ?(-?\d+)', r'^{\1}', text)
  return text.replace('*', '\\cdot ')
