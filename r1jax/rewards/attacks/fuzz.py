"""Random completions: bytes, cut LaTeX, odd Unicode, broken tags, huge ones."""

import random

_PIECES = (
  '<think>', '</think>', '<answer>', '</answer>', '\\boxed{', '}', '{', '\\frac{', '}{', '\\sqrt{',
  '\\sqrt[', '^{', '_{',
  '\\begin{pmatrix}', '\\end{pmatrix}', '\\\\', '&', '\\left(', '\\right]', '\\int_',
  '\\sum_{i=1}^', '\\infty', '\\cup',
  '\\{', '\\}', '$', '$$', '\\[', '\\]', '\\text{', '%', '\\%', '1', '2', '3.5', '1,234', '-', '+',
  '=', '<', '\\le', '/', '*',
  '**', '(', ')', '[', ']', ',', ';', ' ', '\n', 'x', 'y', 'pi', 'sin', 'and', 'or',
  'the answer is', '```python\n', '\n```',
  'print(1)', 'not', '\u0664', '\uff12', '\u00bd', '\u221a', '\u4e09', '\u200b', '\U0001d7d8',
  '\ud7ff', '\x00', 'e', 'i', '!',
)  # fmt: skip
_GOLDS = (
  '7',
  '1/2',
  '\\sqrt{2}',
  '(1,2]',
  '\\{1,2\\}',
  'x^2+1',
  'north',
  '50\\%',
  '5 cm',
  'x=3',
  '\\begin{pmatrix}1\\\\2\\end{pmatrix}',
)


def completions(count, seed):
  """`count` pairs (completion, gold), the same for a `seed`; one in 200 has 100,000 pieces."""
  source = random.Random(seed)
  for number in range(count):
    kind = number % 4
    if number % 200 == 199:
      text = ''.join(source.choices(_PIECES, k=100_000))
    elif kind == 0:
      text = source.randbytes(source.randrange(400)).decode('utf-8', 'replace')
    elif kind == 1:
      text = ''.join(chr(source.randrange(1, 0xD800)) for _ in range(source.randrange(80)))
    else:
      text = ''.join(source.choices(_PIECES, k=source.randrange(1, 30)))
    if source.random() < 0.7:
      text = f'<think>a</think><answer>{text}</answer>'
    yield text, source.choice(_GOLDS)
