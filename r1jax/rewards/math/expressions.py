"""One expression of an answer as SymPy reads it, by math-verify's LaTeX parser; never by `eval`.

Units are read before; the parser would drop what it takes for one, so here it leaves them in.
"""

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
# Names without backslash. Yes: `pi` of `2pi`, `sin`. No: `\pi`, `pin`.
_NAMES = re.compile(
  r'(?<![\\A-Za-z])(arcsin|arccos|arctan|sin|cos|tan|ln|log|exp|pi|infty|theta|infinity|oo|inf)(?![A-Za-z])'
)
# Yes: `30^\circ`, `30°`. No: `x^\circ`.
_DEGREES = re.compile(r'(\d+(?:\.\d+)?) ?(?:\^ ?\{?\\circ\}?|°)')
# Yes: `\circ`, `°`. No: `\circle`.
_DEGREE_SIGN = re.compile(r'\\circ(?![a-z])|°')
_ASCII = {'infinity': '\\infty ', 'oo': '\\infty ', 'inf': '\\infty '}
# Roots without braces. Yes: `sqrt(2)`, `\sqrt((x+1)/2)`. No: `\sqrt{2}`.
_ROOT = re.compile(r'\\?sqrt ?\(([^()]*(?:\([^()]*\)[^()]*)*)\)')
# Yes: `\sqrt 2`, `sqrt x`. No: `\sqrt{2}`, `\sqrt[3]5`.
_ROOT_BARE = re.compile(r'(?:\\sqrt|(?<!\\)\bsqrt) ?(\d+(?:\.\d+)?|[a-z])')
# Yes: `\sqrt[3]5`. No: `\sqrt[n]5`, `\sqrt[3]{5}`.
_ROOT_OF = re.compile(r'\\sqrt ?\[(\d+)\] ?(\w)')
# Yes: `4 2`. No: `x_1 2`, `4x 2`.
_TWO_NUMBERS = re.compile(r'(?<!_)(?<!_\d)[\d.] +[\d.]')
# A power before another factor. Yes: `^6 ` of `2^6 3^5`. No: `^{-1} ` of `\tan^{-1} 2`.
_FACTORS = re.compile(r'(?<=[\d)])(\^ ?(?:\{-?\d+\}|\d+)) +(?=\d)')
# Fractions without braces. Yes: `\frac1` of `\frac12`. No: `\frac{1}{2}`.
_FRAC_BARE = re.compile(r'\\frac ?(\\(?:pi|theta|alpha|beta)|[\da-z])(?=[\\\d{a-z ])')
# Yes: `\frac{1}2`, `\frac{1}\pi`. No: `\frac{1}{2}`, `\frac{1}ab`.
_FRAC_OVER = re.compile(r'(\\frac ?\{[^{}]*\}) ?(\\(?:pi|theta|alpha|beta)|[\da-z])(?![a-z])')
# Functions that would take a division in. Yes: `\sin x` of `\sin x/2`. No: `\sin(x)/2`.
_OF_LETTER = re.compile(r'(\\(?:sin|cos|tan|cot|sec|csc|ln|log)) ?([a-z]|\\theta ?|\\pi ?)(?= ?/)')
# What would fill the memory. Yes: `9^{9^{9^9}}`, `2^{99999}`, `5!!!`, `9^99^99`. No: `2^{100}`.
_TOO_LARGE = re.compile(
  r'\^ ?\{[^{}]*\^ ?\{[^{}]*\^|\^ ?\{? ?-?\d{5,}|\d{7,} ?!|! ?! ?!'
  r'|\^ ?\{?[^{}]*\d{2,}[^{}]*\^ ?\{?\d{2,}'
)
# Exponents in ASCII. Yes: `^(x+1)`. No: `^{x+1}`.
_RAISED_GROUP = re.compile(r'\^ ?\(([^()]*)\)')
# Yes: `^10`, `^-1`. No: `^{10}`, `^x`.
_RAISED_NUMBER = re.compile(r'\^ ?(-?\d+)')


class UnreadableError(ValueError):
  """An expression that states no value this module can read."""


@functools.lru_cache(maxsize=256)
def read(text):
  """The SymPy expression of one leaf; UnreadableError where it is none.

  The parser guesses from the text whether names are real; here they are always alike.
  """
  if len(text) > LONGEST_FORMULA:
    raise UnreadableError(
      f'a formula of {len(text)} characters; at most {LONGEST_FORMULA} are read'
    )
  if _TOO_LARGE.search(text):
    raise UnreadableError('a number too large to compare')
  if '\\pi' in text and _DEGREE_SIGN.search(_DEGREES.sub('', text)):
    raise UnreadableError('radians and degrees at once')
  text = _FACTORS.sub(r'\1 \\cdot ', text)
  if _TWO_NUMBERS.search(text):
    raise UnreadableError('two numbers side by side')
  formulas = _parsed(to_latex(text))
  if not formulas:
    raise UnreadableError(f'not a formula: {text[:60]!r}')
  formula = formulas[0]
  if not isinstance(formula, sympy.Expr) or isinstance(formula, sympy.MatrixBase):
    raise UnreadableError(f'not one expression: {text[:60]!r}')
  exact = {f: sympy.Rational(str(f)) for f in formula.atoms(sympy.Float)}
  alike = lambda name: sympy.I if name == 'i' else sympy.Symbol(name)
  exact |= {symbol: alike(symbol.name) for symbol in formula.free_symbols}
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
  text = _ROOT_OF.sub(r'\\sqrt[\1]{\2}', text)
  text = _ROOT.sub(r'\\sqrt{\1}', _ROOT.sub(r'\\sqrt{\1}', text))
  text = _ROOT_BARE.sub(r'\\sqrt{\1}', text)
  text = _NAMES.sub(lambda m: _ASCII.get(m.group(1), f'\\{m.group(1)} '), text)
  text = _RAISED_GROUP.sub(r'^{\1}', text)
  text = _RAISED_NUMBER.sub(r'^{\1}', text)
  return text.replace('*', '\\cdot ')
