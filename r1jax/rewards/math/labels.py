"""What a value is called before its `=`: `x`, `AB`, `m + n`, `\\angle PQR`, `P(X > 2)`, `f'(2)`.

A label names something whose value only the question knows. What can be computed (`3 + 4`) is none,
nor is one unknown with a number at its side (`2x`, `x^2`, `\\sqrt{x}`): its value is not x.
"""

import re

from r1jax.rewards.math import number_words

# A subscript or primes. Yes: `_1`, `_{\triangle ABC}`, `'`. No: `_`.
_SUBSCRIPT = re.compile(r"_ ?(?:\{[^{}]*\}|\w)|'+")
# Named things, each of which becomes one sign. Yes: `\overline{AB}`, `\vec a`, `S_{\triangle ABC}`.
# No: `\frac{A}{B}`.
_DRAWN = re.compile(
  r'\\(?:overline|widehat|hat|overrightarrow|overleftrightarrow|vec|bar|mathbb|mathbf|mathcal)'
  r'(?: ?\{[^{}]*\}| [A-Za-z])|[A-Z] ?_ ?\{ ?\\[^{}]*\}'
)
# Yes: `Area`, `total cost`. No: `xyz`, `AB`, `sin`.
_WORDS = re.compile(r"(?:[A-Z][a-z]{2,}|[a-z]{4,})(?:[ '][a-z]{1,20}){0,4}\Z")
# Yes: `\angle PQR`, `m\angle 1`, `\triangle ABC`, `[ABC]`. No: `\angle`, `[a, b]`.
_FIGURE = re.compile(
  r'm? ?\\(?:measured)?(?:angle|triangle|odot) ?[A-Z0-9]{1,4}|\[[A-Z]{3,6}\]'
  r'|(?<![A-Za-z\\])[A-Z]{2,4}(?![A-Za-z(])'
)
# What only the question knows. Yes: `E[X]`, `\det(A)`, `\gcd(a, b)`, `\#A`, `\|v\|`, `\sum x_i`,
# `\max_{x} f(x)`, `\deg f`, `(f \circ g)(2)`. No: `\det(2)`, `\gcd(4, 6)`, `\sum_{k=1}^3 k`.
_ASKED = re.compile(
  r'(?:E|\\math[a-z]+ ?\{?[EPV]\}?) ?\[[^\[\]]*[A-Za-z][^\[\]]*\]'
  r'|\\(?:det|dim|#) ?\(?[A-Z]\)?(?![A-Za-z])'
  r'|(?:\\(?:gcd|max|min)|\\?lcm) ?\([a-z](?:, ?[a-z])+\)'
  r'|\\(?:max|min)(?: ?_ ?\{[^{}]*\})? ?[a-z](?:\([a-z]\)|(?![A-Za-z]))|\\deg ?[a-zA-Z](?![A-Za-z])'
  r'|\\\|[^|\\]*\\\||\([a-z] ?\\circ ?[a-z]\)\([^()]*\)'
  r'|\\(?:sum|prod)(?: ?_ ?(?:\{[^{}\d]*\}|[a-z]))? ?[a-z]_\{?[a-z]\}?'
)
# Yes: `\lvert`, `\vert`, `| `. No: `\vertical`.
_BAR = re.compile(r'\\[lr]?vert(?![a-z]) ?|\| ')
# Yes: `\lim_{x \to 0} ` of `\lim_{x \to 0} f(x)`. No: `\lim`.
_LIMIT = re.compile(r'\\lim ?_ ?\{[^{}]*\} ?')
# A function's value. Yes: `f(2)`, `P(X > 2)`, `f^{-1}(3)`, `Var(X)`. No: `\sin(x)`, `(x)`.
_VALUE = re.compile(r'(?<![A-Za-z\\])(?P<name>[A-Za-z]{1,4}|§)(?: ?\^ ?\{?-1\}?)?\([^()]*\)')
# Yes: `\sin A`, `\cos^2 \theta`, `\tan(A + B)`. No: `\sin 30`.
_TRIGONOMETRIC = re.compile(
  r'\\(?:sin|cos|tan|cot|sec|csc)(?: ?\^ ?\{?\d\}?)? ?'
  r'(?:\((?=[^()]*[A-Za-zα-ω§])[^()]*\)|\d*(?:§|\\[a-z]+|[A-Za-z]))'
)
_COMPUTED = frozenset(
  ('sin', 'cos', 'tan', 'log', 'ln', 'exp', 'sqrt', 'max', 'min', 'gcd', 'lcm', 'mod', 'abs', 'C')
)
# Yes: `\frac{§}{n + n}`. No: `\frac{1}{2}`.
_OVER = re.compile(r'\\frac ?\{([^{}]*)\} ?\{([^{}]*)\}')
# Yes: `x`, `\theta`. No: `\cdot`.
_LETTER = re.compile(
  r'\\(?:alpha|beta|gamma|delta|theta|phi|varphi|lambda|mu|sigma|omega|rho|Delta|epsilon)(?![a-z])'
  r'|(?<!\\)(?<![A-Za-z\\])[A-Za-z](?![A-Za-z])|(?<![A-Za-z\\])[a-z]{2}(?![A-Za-z])'
)
# Names with operations between. Yes: `n + n`, `§:§`, `|§|`. No: `2n`, `-n`.
_NAMES = re.compile(r'[(|]*[n§](?:[ +\-:/*^()|n§]|\\cdot ?)*\Z')
# Yes: `^2`, `^{3}`. No: `^{10}`, `^n`.
_SQUARED = re.compile(r'\^ ?(?:\{[2-9]\}|[2-9](?!\d))')
# What relates two sides. Yes: `=`, `<`, `\le`. No: `\left`.
_RELATION = re.compile(r'[=<>]|\\(?:leq?|geq?|neq?|lt|gt|in)(?![a-z])')
# Where a label ends. Yes: `=` of `AB=8`. No: `=` of `a<=8`, `==`.
_EQUALS = re.compile(r'(?<![<>=!])=(?!=)')


def is_label(text, of_gold=False):
  """Whether `text`, cleaned by `notation.clean`, names a value that it does not state.

  A lone variable is left to `shapes.is_name`. In a gold answer (`of_gold`) x, y, z and powers make
  an equation of a curve, which is no label.
  """
  if len(text) > 80:
    return False
  if _WORDS.match(text) and not number_words.names(text):
    return True
  text = _ASKED.sub('§', _LIMIT.sub('', _BAR.sub('|', text)))
  text = _FIGURE.sub('§', _SUBSCRIPT.sub('', _DRAWN.sub('§', text)))
  text = _VALUE.sub(_of_names, _TRIGONOMETRIC.sub('§', text))
  if of_gold and re.search(r'(?<![A-Za-z\\])[xyz](?![A-Za-z])|\^', text):
    return False
  text = _LETTER.sub(lambda m: 'nn' if len(m.group()) == 2 else 'n', text)
  text = _OVER.sub(r'\1/\2', text)
  text = _SQUARED.sub('^', text).strip()
  names = text.count('n') + 2 * text.count('§')
  # `AB^2` and `|x|` are worth another number than what they are made of.
  alone = text.count('n') + text.count('§') == 1 and ('^' in text or '|n' in text)
  return names > 1 and not alone and bool(_NAMES.match(text))


def cut(text, of_gold=False):
  """(label, rest) of cleaned `label = rest`; ('', text) where no label stands there."""
  depth = 0
  for at, sign in enumerate(text):
    depth += (sign in '([{') - (sign in ')]}')
    if sign == '=' and not depth:
      equals, label = _EQUALS.match(text, at), text[:at].strip()
      rest = text[equals.end() :].strip() if equals else ''
      # `AB = 4, CD = 5` has a label for each.
      several = '=' in rest and (',' in rest or ' and ' in rest)
      named = is_label(label, of_gold) or rest.startswith('\\begin') and len(label) == 1
      return (label, rest) if rest and not several and named else ('', text)
  return '', text


def without(gold, answer):
  """Both cleaned texts without a label, where only one has it or both the same.

  An equation stays whole beside another equation.
  """
  (wanted, truth), (given, stated) = cut(gold, of_gold=True), cut(answer)
  if wanted and given:
    same = wanted.replace(' ', '') == given.replace(' ', '')
    return (truth, stated) if same else (gold, answer)
  if wanted:
    return (gold, answer) if _RELATION.search(answer) else (truth, answer)
  return (gold, answer) if _RELATION.search(gold) else (gold, stated)


def _of_names(call):
  """One sign for a function's value; a function that is computed stays."""
  return call.group() if call['name'] in _COMPUTED else '§'
