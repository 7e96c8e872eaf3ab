"""Language consistency: the share of the thought's words in the target language (reference §1.4).

The paper leaves its word segmentation undisclosed. Here a word of a space-separated script is a run
of its letters; of Chinese (and of kana), each character is one. Code, LaTeX, tags, numbers and
single letters are not words. A Latin word counts as English unless it carries foreign letters, or
is among the most frequent words of other Latin-script languages and not among the English ones.
"""

import re
import unicodedata

from r1jax.data import template
from r1jax.rewards.verdict import Kind, Verdict

LANGUAGES = ('en', 'zh')
LONGEST_READ = 100_000  # characters of a thought; the share is that of its first part beyond
# What is in no language. Yes: "`code`", `$x^2$`, `\frac{a}{b}`, `https://a.b`, `</b>`. No: `a < b`,
# `$5 and $6` (prices). Spans are bounded, so that a thousand unclosed openings stay cheap.
_IGNORED = re.compile(
  r'```.*?(?:```|\Z)|`[^`\n]*`|\$\$.{0,1000}?\$\$|\$(?=\S)[^$\n]{0,1000}(?<=\S)\$(?!\d)|\\\[.{0,1000}?\\\]'
  r'|\\\(.{0,1000}?\\\)'
  r'|\\begin\{(\w+\*?)\}.{0,1000}?\\end\{\1\}|\\[A-Za-z]+(?:\{[^{}]*\})*|https?://\S+|</?\w+>',
  re.S,
)
_CHINESE = '\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002ebef'
# Yes: `数`. No: `の`, `a`.
_HAN = re.compile(f'[{_CHINESE}]')
_SIGNS = _CHINESE + '\u3041-\u30ff'  # scripts without spaces, one sign a word: Chinese and kana
# A word, or one sign of such a script. Yes: `isn't`, `数`. No: `42`, `_`.
_PIECE = re.compile(f"[{_SIGNS}]|[^\\W\\d_{_SIGNS}]+(?:['’][^\\W\\d_{_SIGNS}]+)*")
# Yes: `数`, `の`. No: `a`, `7`.
_SIGN = re.compile(f'[{_SIGNS}]')
_ENGLISH_WORDS = """
  a about after again all also an and any are as at be because been before but by can could did
  do does each every few first for from get give go had has have he her here him his how i if in
  into is it its just know let like make many me more most much must my need next no not now of
  on one only or other our out over own per same see she should so some such sum than that the
  their them then there these they this those three time to total two up us use very was way we
  well were what when where which while who will with would you your die man den hat war am son
  plan ten come pour sur data case
"""
_ENGLISH = frozenset(_ENGLISH_WORDS.split())
_FOREIGN_WORDS = """
  der die das und ist nicht ein eine einen mit auf für von dem den des sich auch wie wir wenn
  oder aber dann noch nur sind wird werden haben kann muss also weil zwei drei vier gleich zahl
  lösung antwort durch zuerst le la les un une du et est dans pour que qui sur avec pas nous
  vous sont donc mais alors ensuite deux trois quatre réponse nombre cette ce ces il elle fait
  être avoir plus comme première entre chaque el los las una unos y es en para por con no se lo
  como pero más entonces luego dos tres cuatro respuesta número esta este ser tiene tenemos hay
  cada primero también porque cuando si su sus del al gli uno di che non per sono è abbiamo
  quindi allora poi due tre quattro risposta numero questo questa della delle nel ma anche
  quando ogni prima o os as um uma de da em não com então depois temos dois três resposta também
  het een van niet voor met zijn dat wij maar dan twee drie antwoord getal eerst ook wo shi ni
  hao women
"""
_FOREIGN = frozenset(_FOREIGN_WORDS.split())


def check(completion, language='en'):
  """Verdict whose score is the share (0 to 1) of the thought's words that are in `language`.

  CORRECT above one half, WRONG otherwise; UNPARSEABLE 0 without a thought or with no word in it.
  """
  if language not in LANGUAGES:
    raise ValueError(f'language {language!r}; known: {", ".join(LANGUAGES)}')
  thought = template.parse(completion).thought
  if thought is None:
    return Verdict(0.0, Kind.UNPARSEABLE, 'no thought')
  ours, words = count(thought, language)
  if not words:
    return Verdict(0.0, Kind.UNPARSEABLE, 'no word in the thought')
  share = ours / words
  kind = Kind.CORRECT if share > 0.5 else Kind.WRONG
  return Verdict(share, kind, f'{ours} of {words} words are {language}')


def count(text, language):
  """(words in `language`, words) of `text`, code and LaTeX left out."""
  text = unicodedata.normalize('NFC', _IGNORED.sub(' ', text[:LONGEST_READ]))
  pieces = [p for p in _PIECE.findall(text) if len(p) > 1 or _SIGN.match(p)]
  belongs = _is_chinese if language == 'zh' else _is_english
  return sum(map(belongs, pieces)), len(pieces)


def _is_chinese(piece):
  return bool(_HAN.match(piece))


def _is_english(piece):
  word = piece.lower().replace('’', "'")
  if not word.isascii():
    return False
  return word in _ENGLISH or word not in _FOREIGN
