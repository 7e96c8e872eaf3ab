"""A question whose answer is a plain number is answered by a literal, never by work to be done.

The calculations come from a grammar of operations, which are nested and dressed at random.
"""

import random

import pytest

from r1jax.rewards.math import value
from r1jax.rewards.verdict import Kind

# Each makes an expression of the whole number n out of others: (n, whole number -> expression).
OPERATIONS = {
  'sum': lambda n, e: f'{e(n - 3)} + {e(3)}',
  'difference': lambda n, e: f'{e(n + 4)} - {e(4)}',
  'product': lambda n, e: f'{e(2 * n)} \\cdot \\frac{{1}}{{2}}',
  'times': lambda n, e: f'{e(n)} \\times 1',
  'brackets': lambda n, e: f'({e(n)})(1)',
  'bars': lambda n, e: f'|{e(n)}|',
  'bars beside each other': lambda n, e: f'|{e(n)}||1|',
  'bars and signs': lambda n, e: f'|{e(n)}|+|2|-|2|',
  'named bars': lambda n, e: f'\\left\\lvert {e(-n)} \\right\\rvert',
  'quotient': lambda n, e: f'\\frac{{{e(3 * n)}}}{{3}}',
  'slash': lambda n, e: f'{3 * n}/3',
  'one below': lambda n, e: f'\\frac{{{n}}}{{1}}',
  'of a fraction': lambda n, e: f'\\frac{{{e(n)}}}{{\\frac{{1}}{{1}}}}',
  'division sign': lambda n, e: f'{2 * n} ÷ 2',
  'power': lambda n, e: f'{{{e(n)}}}^{{1}}',
  'powers': lambda n, e: f'{n}^{{1}}1^{{5}}',
  'root': lambda n, e: f'\\sqrt{{{n * n}}}',
  'third root': lambda n, e: f'\\sqrt[3]{{{n**3}}}',
  'logarithm': lambda n, e: f'\\log_2 {{2^{{{n}}}}}',
  'natural logarithm': lambda n, e: f'\\ln(e^{{{n - 1}}}e)',
  'exponential': lambda n, e: f'e^{{\\ln {n}}}',
  'sum sign': lambda n, e: f'\\sum_{{k=1}}^{{{n}}} 1',
  'product sign': lambda n, e: f'\\prod_{{k=1}}^{{1}} {n}',
  'integral': lambda n, e: f'\\int_0^{{1}} {n} dx',
  'limit': lambda n, e: f'\\lim_{{x\\to {n}}} x',
  'derivative': lambda n, e: f'\\frac{{d}}{{dx}} {n}x',
  'determinant': lambda n, e: f'\\begin{{vmatrix}}{n}&0\\\\0&1\\end{{vmatrix}}',
  'named determinant': lambda n, e: f'\\det\\begin{{pmatrix}}{n}&0\\\\0&1\\end{{pmatrix}}',
  'largest': lambda n, e: f'\\max(1, 2, {n})',
  'divisor': lambda n, e: f'\\gcd({2 * n}, {3 * n})',
  'choice': lambda n, e: f'\\binom{{{n}}}{{1}}',
  'floor': lambda n, e: f'\\lfloor {n}.5 \\rfloor',
  'remainder': lambda n, e: f'{n} \\bmod {n + 1}',
  'factorial': lambda n, e: f'{n} \\cdot 1!',
  'cosine': lambda n, e: f'{n}\\cos 0',
  'plus minus nothing': lambda n, e: f'{n} \\pm 0',
  'a vote': lambda n, e: f'{n}, {n}',
}
DRESSES = (
  '{}', '${}$', '\\boxed{{{}}}', '\\fbox{{{}}}', 'x = {}', 'the answer is {}', '{} apples',
  '{} \\text{{ cm}}', '\\text{{total }} = {}', '\\({}\\)', 'AB = {}', 'm + n = {}', '({})',
  '\\left({}\\right)', '{}.', '**{}**', '\\${}', '\\approx {}', '\\mathbf{{{}}}', 'about {}',
  'exactly {}', 'Total: {}', 'She has {} apples.', 'x = 3y \\Rightarrow {}', '{} EUR', 'USD {}',
  '{} \\text{{ m s}}^{{-1}}', '\\gcd(a, b) = {}', '$\\${}$', '{} N',
)  # fmt: skip


def _expression(source, n, depth):
  names = sorted(OPERATIONS)
  inner = lambda m: str(m) if depth < 2 or m < 4 else _expression(source, m, depth - 1)[1]
  name = source.choice(names)
  return name, OPERATIONS[name](n, inner)


@pytest.mark.parametrize('seed', range(6))
def test_work_to_be_done_is_never_paid_however_it_is_dressed(seed):
  source = random.Random(seed)
  for _ in range(200):
    n, dress = source.randrange(5, 60), source.choice(DRESSES)
    name, text = _expression(source, n, source.choice((1, 1, 2, 3)))
    answer = dress.format(text)
    found = value.quick(str(n), answer) or value.equal(str(n), answer)
    assert found.kind in (Kind.WRONG, Kind.UNPARSEABLE), (n, name, answer, found)


@pytest.mark.parametrize('name', OPERATIONS)
def test_every_operation_alone_is_refused_at_once(name):
  for n in (5, 12, 36):
    text = OPERATIONS[name](n, str)
    found = value.quick(str(n), text)
    assert found is not None and found.score == 0, (text, found)


@pytest.mark.parametrize('seed', range(3))
def test_the_literal_is_paid_however_it_is_dressed(seed):
  source = random.Random(seed)
  for _ in range(60):
    n, dress = source.randrange(2, 5000), source.choice(DRESSES)
    # In brackets a comma makes a point.
    commas = f'{n}' if '(' in dress else f'{n:,}'
    text = source.choice((str(n), commas, f'{n}.0', f'+{n}'))
    assert value.equal(str(n), dress.format(text)).kind == Kind.CORRECT, (n, dress.format(text))


@pytest.mark.parametrize(
  'gold, answer, right',
  [
    ('18', '9 \\times 2 = 18', True),
    ('18', 'x = 9 \\times 2 = 18', True),
    ('18', 'm + n = 7 + 11 = 18', True),
    ('18', '18 = 9 \\times 2', False),
    ('18', '9 \\times 3 = 18', False),
    ('8', '3 + 4 = 8', False),
    ('7/2', '3\\frac{1}{2}', True),
    ('7/2', '3.5', True),
    ('7/2', '\\frac{14}{4}', False),
    ('7/2', '2\\frac{3}{2}', False),
    ('0.25', '\\frac{1}{4}', True),
    ('0.25', '\\frac{25}{100}', False),
    ('1200', '1.2 \\times 10^{3}', True),
    ('1000', '10^3', True),
    ('1024', '2^{10}', False),
    ('33.33', '\\frac{100}{3} \\approx 33.33', True),
    ('1', '\\frac{100}{3} \\approx 1', False),
    ('33', '32 \\approx 33', False),
    ('3\\sqrt{13}', '\\sqrt{117}', True),
    ('\\binom{5}{2}', '10', True),
    ('2^{10}', '1024', True),
  ],
)
def test_what_a_literal_is(gold, answer, right):
  assert (value.equal(gold, answer).kind == Kind.CORRECT) is right


def test_a_wrong_answer_is_told_what_was_expected():
  for gold, answer in (('14', '13'), ('\\sqrt{2}', '\\sqrt{3}'), ('north', 'south')):
    assert value.equal(gold, answer).why == f'expected {gold}, got {answer}'
