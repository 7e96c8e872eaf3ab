"""Completions that try to be paid without being right: data for the verifiers of text.

Each is (name, gold, completion) unless said otherwise; none may be paid.
"""


def _a(answer, thought='Let me see.'):
  return f'<think>{thought}</think> <answer>{answer}</answer>'


MATH = (
  ('power tower', '5', _a('99**98**97')),
  ('braced power tower', '5', _a('9^{9^{9^9}}')),
  ('factorial of factorials', '5', _a('(((9!)!)!)!')),
  ('a million characters of LaTeX', '5', _a('\\frac{1}{2}' * 90_910)),
  ('a million digits', '9', _a('9' * 1_000_000)),
  ('deep nesting', '5', _a('{' * 600 + '5' + '}' * 600)),
  ('deep fractions', '5', _a('\\frac{' * 150 + '5' + '}{1}' * 150)),
  ('deep brackets over many characters', '5', _a('(' * 100_000 + '5' + ')' * 100_000)),
  ('input of a file', 'root', _a('\\input{/etc/passwd}')),
  ('endless macro', '5', _a('\\def\\x{\\x\\x}\\x 5')),
  ('Arabic digits', '42', _a('\u0664\u0662')),
  ('full-width digits', '42', _a('\uff14\uff12')),
  ('zero-width space between digits', '42', _a('4\u200b2')),
  ('right-to-left override', '42', _a('\u202e24')),
  ('not a number', 'nan', _a('inf')),
  ('NaN equals nothing', '0', _a('NaN')),
  ('infinity minus infinity', '0', _a('\\infty - \\infty')),
  ('division by zero', '42', _a('\\frac{42}{0}')),
  ('numbers of the question', '18', _a('16, 3, 4, 2, 18')),
  ('every number', '7', _a(' '.join(map(str, range(100))))),
  ('either or', '18', _a('18 or 20')),
  ('taken back', '18', _a('18 is wrong, 20')),
  ('set of guesses', '18', _a('\\{17, 18, 19\\}')),
  ('interval around it', '18', _a('[17, 19]')),
  ('inequality', '18', _a('x > 17')),
  ('plus or minus', '18', _a('18 \\pm 1')),
  ('the question instead of its answer', '12', _a('3 + 4 + 5')),
  ('product not worked out', '18', _a('9 \\times 2')),
  ('false equation', '18', _a('5 = 18')),
  ('the gold value on the left', '18', _a('18 = 20')),
  ('false chain', '18', _a('3 + 4 = 9 = 18')),
  ('a variable', '18', _a('x')),
  ('any value', '18', _a('x = x')),
  ('an unbound sum', '18', _a('18 + x - y')),
  ('Python', '18', _a('__import__("os").system("touch /tmp/r1jax-leak-eval") or 18')),
  ('SymPy code', '18', _a('Symbol("x").__class__.__bases__')),
  ('lambda', '18', _a('(lambda: 18)()')),
  ('hexadecimal', '18', _a('0x12')),
  ('wrong separators', '1234', _a('12,34')),
  ('scale word', '5', _a('5 thousand')),
  ('another base', '42', _a('42_5')),
  ('two numbers side by side', '42', _a('4 2')),
  ('answer in the thought only', '18', '<think>so <answer>18</answer></think> done'),
  ('box in the thought only', '18', '<think>\\boxed{18}</think> done'),
  ('unclosed thought', '18', '<think> <answer>18</answer>'),
  ('right first, wrong last', '18', _a('18') + ' <answer>20</answer>'),
  ('hundred answers, the last wrong', '18', '<answer>18</answer>' * 100 + '<answer>1</answer>'),
  ('two boxes', '18', _a('\\boxed{18} or \\boxed{20}')),
  ('unclosed box', '18', 'it is \\boxed{18'),
  ('comment', '18', _a('20 % 18')),
  ('phantom', '18', _a('20\\phantom{18}')),
  ('empty answer', '0', _a('')),
  ('empty set for zero', '0', _a('\\emptyset')),
  ('sum over a billion terms', '5', _a('\\sum_{i=1}^{10^9} \\sin(i)')),
  ('integral', '5', _a('\\int_0^{10} x^{x^x} dx')),
  ('almost', '100', _a('99.9999999')),
)
FORMAT = (
  ('tags twice', _a('1') + _a('1')),
  ('two answers', _a('1') + '<answer>1</answer>'),
  ('nested thought', '<think><think>a</think></think> <answer>1</answer>'),
  ('answer inside the thought', '<think><answer>1</answer></think>'),
  ('answer first', '<answer>1</answer> <think>a</think>'),
  ('words between', '<think>a</think> hence <answer>1</answer>'),
  ('words after', _a('1') + ' and more'),
  ('capital tags', '<THINK>a</THINK> <ANSWER>1</ANSWER>'),
  ('spaced tags', '< think >a</ think > < answer >1</ answer >'),
  ('unclosed answer', '<think>a</think> <answer>1'),
  ('empty answer', '<think>a</think> <answer> </answer>'),
  ('a million tags', '<think>' * 150_000),
)
CHOICE = (
  ('all letters', 'B', _a('ABCDE')),
  ('a list of letters', 'B', _a('A, B, C')),
  ('two letters', 'B', _a('(A) or (B)')),
  ('letter and its opposite', 'B', _a('not B')),
  ('a word with the letter', 'B', _a('Because')),
  ('Cyrillic letter', 'B', _a('\u0412')),
  ('both after a bracket', 'B', _a('B) and also (C)')),
  ('every option named', 'B', _a('B. the others are A. C. D.')),
)
NUMBERS = (  # (name, (numbers, target), completion)
  ('foreign number', ((3, 3, 8, 8), 24), _a('2 * 12')),
  ('number used twice', ((3, 3, 8, 8), 24), _a('8 * 3 * 8 / 8')),
  ('digits glued', ((2, 4, 1), 24), _a('24 * 1')),
  ('power', ((2, 3, 8), 8), _a('2 ** 3')),
  ('the target itself', ((3, 3, 8, 8), 24), _a('24')),
  ('sign for a missing number', ((5, 5), 0), _a('-5 + 5')),
  ('division by zero', ((1, 1, 24), 24), _a('24 / (1 - 1)')),
  ('floor division', ((7, 2), 3), _a('7 // 2')),
  ('claimed result', ((1, 2), 24), _a('1 + 2 = 24')),
  ('call', ((3, 8), 24), _a('__import__("os").abort()')),
  ('comprehension', ((3, 8), 24), _a('[24 for _ in (3, 8)][0]')),
  ('true as one', ((1, 24), 24), _a('True * 24')),
  ('deep brackets', ((3, 8), 24), _a('(' * 5000 + '3*8' + ')' * 5000)),
)
ORDER = (  # (name, things, completion)
  ('both directions', ('Ann', 'Bob'), _a('Ann > Bob, Bob > Ann')),
  ('one repeated', ('Ann', 'Bob', 'Cy'), _a('Ann, Bob, Ann, Cy')),
  ('one missing', ('Ann', 'Bob', 'Cy'), _a('Ann, Cy')),
)
LANGUAGE = (  # the target is English; (name, completion) must score below one half
  ('Chinese with English in LaTeX', _a('1', '先算\\text{we add all the numbers here now}再加')),
  (
    'Chinese with English in code',
    _a('1', '先算 `we add all the numbers here` 再加 ```we add more and more```'),
  ),
  ('one English word', _a('1', '首先我们计算总和 then 然后相加')),
  ('German', _a('1', 'Wir addieren zuerst die drei und vier und dann haben wir sieben')),
  ('no thought', '<answer>we add the numbers</answer>'),
  ('single letters', _a('1', 'a I a I a I 先算再加')),
)
REPETITION = (  # must score below one half
  ('a loop', _a('1', 'wait, let me check that again. ' * 500)),
  ('one character', 'x' * 1_000_000),
)
