"""Labelled pairs of answers: gold and what a model might write, equal (+) or not (-)."""

from r1jax.rewards.attacks import competition, near_misses

# One gold answer a line, then its answers: `gold || + equal | equal || - different | different`.
_TABLE = r"""
# integers, separators, signs, currency
42 || + 42 | 42. | 42.0 | +42 | $42$ | \boxed{42} | 042 | 42.00 | **42** | \(42\)
  | The answer is 42. || - 24 | 420 | 4.2 | -42 | 42.1 | 42 or 43 | 41, 42 | 4 2 | 42x | 42/2
  | not 42 | 421
-7 || + -7 | −7 | $-7$ | -7.0 | - 7 | x = -7 | \boxed{-7} || - 7 | --7 | -7.5 | 7- | -70
1234 || + 1,234 | 1234 | 1{,}234 | 1\,234 | $1,234 | 1,234.00 | 1 234 || - 1.234 | 123 | 1,23,4
  | 12,34 | 1,234,000 | 1, 234
1000000 || + 1,000,000 | 10^6 | 1e6 | 1 million | 1\times 10^6 | 1000000.0 || - 1000001 | 100000
  | 1,000 | 10^7 | 1 billion | 10,00,00
18 || + $18 | 18 dollars | 18 eggs | \$18 | $18.00 | 9 * 2 = 18 | 18 dollars per day | USD = 18
  | 18\text{ dollars} || - 9 * 2 | 16, 3, 4, 18 | 18 thousand | 18 or 20 | $18k | 1.8 | 16-3-4
  | 18 and 9 | 18% of 50 | 18^2 | 18! | 8 = 18
0 || + 0 | 0.0 | -0 | \boxed{0} | zero = 0 || - 1 | 0.1 | \emptyset | -1 | none
70000 || + 70,000 | $70,000 | 7 \times 10^4 | 70000 dollars | 70 thousand || - 7000 | 70 | 70,00
  | 70.000 | 70k or 7k | 200,000 - 130,000
5 million || + 5,000,000 | 5000000 | 5 million || - 5 | 5 thousand | 50000000
# decimals
0.5 || + .5 | 1/2 | 0.50 | 50% | \frac{1}{2} | \frac12 | 50\% || - 5 | 0.05 | 0.5% | 2 | 0.51
2.5 || + 2.50 | 5/2 | 2 1/2 | 2\frac{1}{2} | 2.5 km | 250% | $2.50 || - 25 | 2.05 | 2,5 | 2/5
  | 2 1/3
3.14 || + 3.14 | 3.140 | 314/100 || - \pi | 3.141 | 3.1 | 22/7
0.001 || + 1/1000 | 10^{-3} | 1e-3 | 0.1\% | .001 || - 0.01 | 10^3 | 1/100
0.3 || + 0.30000000000000004 | 3/10 | 30% || - 0.31 | 1/3 | 0.33333
100 || + 100% | 100 | 10^2 | 1e2 || - 100.001 | 99.9999 | 1% | 1
# fractions, mixed numbers
1/3 || + \frac13 | \frac{1}{3} | \dfrac{1}{3} | 2/6 | 0.33333 | 0.333333 | \tfrac{1}{3} | ⅓
  || - 0.33 | 0.3 | 3 | 3/1 | 1/4 | 0.34 | -1/3
\frac{3}{4} || + 0.75 | 3/4 | 6/8 | 75% | \frac{6}{8} | ¾ || - 4/3 | 3/5 | 34 | 0.7 | \frac{3}{40}
\frac{7}{2} || + 3.5 | 3\frac{1}{2} | 3 1/2 | 7/2 | 3½ | 3 and 1/2 || - 31/2 | 2/7 | 3 | 7
  | 31/2 = 3.5
-\frac{2}{3} || + -2/3 | \frac{-2}{3} | -\dfrac23 | -0.66667 || - 2/3 | -3/2 | -0.6 | -0.67
2\frac{3}{4} || + 11/4 | 2.75 | 2 3/4 || - 6/4 | 23/4 | 2.34 | 3/2
# percent, degrees, units
50\% || + 50% | 0.5 | 50 | 50 percent | 1/2 || - 5% | 500 | 0.05 | 50 or 60 percent
25 || + 25% | 25 percent | 25 \% | 25\text{ percent} || - 0.25% | 2.5% | 0.25
90^\circ || + 90 | 90° | 90^{\circ} | 90 degrees || - 9 | 90 radians | 45° | 100
5 cm || + 5 | 5cm | 5 \text{ cm} | 0.05 m | 50 mm | 5 centimeters | 5\,\text{cm} || - 5 m
  | 5 inches | 50 | 5 kg | 6 cm | 5 cm^2
12 hours || + 12 | 12 hrs | 720 minutes | 12 hour | 0.5 days || - 12 minutes | 24 | 12 days | 720
3 apples || + 3 | 3 apples | 3 apple | 3 red apples || - 4 apples | 3 oranges | 30
  | three thousand
$0.50 || + 50 cents | $.50 | 0.5 | 0.50 dollars || - 50 dollars | $50 | 5 cents | €0.50
10\pi \text{ cm} || + 10\pi | 10 \pi | 10π | 31.4159 | 10*pi | 20\pi/2 || - 10 | 31.4 | 5\pi
  | 10\pi^2
# roots, powers, logarithms, trigonometry
\sqrt{2} || + \sqrt2 | √2 | sqrt(2) | 1.41421 | 2^{1/2} | \frac{2}{\sqrt{2}} || - 1.41 | 2
  | \sqrt{3} | -\sqrt{2} | 1.5
2\sqrt{3} || + \sqrt{12} | 2 \sqrt 3 | 2*sqrt(3) | \sqrt{4}\sqrt{3} | \frac{6}{\sqrt{3}}
  || - \sqrt{6} | 3\sqrt{2} | 2\sqrt{5} | \sqrt{24}
\frac{\sqrt{3}}{2} || + \sqrt{3}/2 | \sqrt{3/4} | \frac{1}{2}\sqrt{3} | sqrt(3)/2
  || - \frac{\sqrt{2}}{2} | \frac{3}{2} | \sqrt{3} | \frac{\sqrt{3}}{4}
1+\sqrt{5} || + \sqrt{5}+1 | 1 + \sqrt 5 || - 1-\sqrt{5} | \sqrt{6} | \sqrt{5} | 5+\sqrt{1}
\pi || + π | pi | 3.14159 | \pi{} || - 3.14 | 22/7 | 3 | 2\pi | \pi^2
1024 || + 2^{10} | 2^10 | 4^5 | 1,024 | 2**10 || - 2^9 | 10^2 | 2*10 | 1042
2^{10} || + 1024 | 4^5 | 2^{10} || - 2^{11} | 20 | 210
\log_2 8 || + 3 | \log_{2}{8} || - 2 | 8 | \log_8 2
\ln 2 || + \ln(2) | \ln{2} || - 2 | \ln 3 | \log_{10} 2
e^2 || + e^{2} | e \cdot e || - 2e | e | e^3
\sin(x) || + \sin x | \sin{x} || - \cos x | \sin 2x | x
120 || + 5! | 120 || - 4! | 5 | 5!!
3i || + i \cdot 3 | 3 i || - 3 | -3i | i
-1 || + e^{i\pi} | i^2 || - i | 1
# polynomials and other expressions
x^2+2x+1 || + (x+1)^2 | 1+2x+x^2 | x^2 + 2*x + 1 | (x+1)(x+1) || - x^2+2x | x^2+1 | (x-1)^2
  | 2x^2+2x+1 | y^2+2y+1
2x+3 || + 3+2x | 2*x+3 | 2(x+1.5) | 2x + 3 || - 2x-3 | 3x+2 | 5x | 2y+3 | 2x
\frac{x}{x+1} || + x/(x+1) | 1-\frac{1}{x+1} | \frac{x}{1+x} || - \frac{x+1}{x} | \frac{1}{x+1}
  | x | \frac{x}{x-1}
x^{10} || + x^10 | x**10 | x^5 x^5 || - x^{11} | 10x | x^1 0 | x
ab || + ba | a b | a \cdot b | a*b || - a+b | a/b | a | abc
\frac{a+b}{2} || + (a+b)/2 | \frac{a}{2}+\frac{b}{2} | \frac{1}{2}(a+b) || - a+b/2 | \frac{a-b}{2}
  | \frac{ab}{2}
n(n+1)/2 || + \frac{n(n+1)}{2} | \frac{n^2+n}{2} || - n^2 | \frac{n(n-1)}{2} | n(n+1)
\sqrt{x^2} || + |x| || - x | -x | x^2
-x || + -x | -1 \cdot x | 0-x || - x | 1/x | x-1
# equations and inequalities
x=5 || + 5 | x = 5 | $x=5$ | 5 = x || - y=5 | x=-5 | x>5 | 2x=5 | x=5 or x=6
y=2x+1 || + y = 2x+1 | 2x+1 | y-2x=1 | 2x-y+1=0 | y=1+2x || - y=2x-1 | y=x+1 | x=2y+1 | y>2x+1
x+y=1 || + y+x=1 | 2x+2y=2 | x+y-1=0 | y=1-x || - x+y=2 | x-y=1 | x+y+1=0
x^2+y^2=4 || + x^2 + y^2 = 4 | y^2+x^2=4 | 4=x^2+y^2 || - x^2+y^2=2 | x^2-y^2=4
x>3 || + (3,\infty) | 3<x | x \gt 3 | (3, \infty) || - x<3 | x \ge 3 | [3,\infty) | 3 | x>4
1 \le x < 4 || + [1,4) | 4 > x \ge 1 | x \in [1,4) | 1\leq x<4 || - (1,4) | [1,4] | 1<x<4 | [1,5)
# intervals
(1,2] || + (1, 2] | \left(1,2\right] | 1<x\le 2 | x \in (1,2] || - [1,2] | (1,2) | (1,3] | [1,2)
[0,1] || + [0, 1] | \left[0,1\right] | 0 \le x \le 1 | [0,\frac{2}{2}] || - (0,1) | [0,1) | [1,0]
  | \{0,1\}
(-\infty,2)\cup(2,\infty) || + (-\infty, 2) \cup (2, \infty) | (2,\infty)\cup(-\infty,2)
  | (-∞,2)∪(2,∞) || - (-\infty,\infty) | (-\infty,2] \cup (2,\infty) | (2,\infty)
[1,3)\cup[5,6] || + [5,6]\cup[1,3) | [1,3) U [5,6] || - [1,3]\cup[5,6] | [1,6]
# sets, lists, points
\{1,2,3\} || + \{3,2,1\} | {1,2,3} | \left\{1,2,3\right\} | 1,2,3 | 3, 1, 2 || - \{1,2\} | (1,2,3)
  | \{1,2,4\} | \{1,2,3,4\} | 6
1,2 || + 2,1 | 1 and 2 | x=1, x=2 | \{1,2\} | x = 1 or x = 2 | 1;2 || - 1 | 1,3 | 1,2,3 | 12 | 1/2
  | 2
(3,4) || + (3, 4) | \left(3,4\right) | (3,\frac{8}{2}) | ( 3 , 4.0 ) || - (4,3) | [3,4] | (3,5)
  | \{3,4\} | 34 | (3,4,0)
(1,-2,0) || + (1, -2, 0) | \langle 1,-2,0\rangle | (1,-2,0.0) || - (1,2,0) | (-2,1,0) | (1,-2)
  | (0,-2,1)
\pm 3 || + 3, -3 | -3, 3 | \pm3 | x = \pm 3 | ±3 | \{-3,3\} || - 3 | -3 | 9 | \pm 9
1\pm\sqrt{2} || + 1+\sqrt{2}, 1-\sqrt{2} | 1 \pm \sqrt 2 || - 1+\sqrt{2} | -1\pm\sqrt{2}
  | 2\pm\sqrt{1}
\emptyset || + \{\} | ∅ | \varnothing || - 0 | \{0\} | 1
(\frac{1}{2},\sqrt{3}) || + (0.5, \sqrt{3}) | (1/2,sqrt(3)) || - (\sqrt{3},\frac12) | (2,\sqrt{3})
# matrices
\begin{pmatrix}1&2\\3&4\end{pmatrix} || + \begin{bmatrix}1&2\\3&4\end{bmatrix}
  | \begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix} | \begin{pmatrix}1&\frac{4}{2}\\3&4\end{pmatrix}
  || - \begin{pmatrix}1&3\\2&4\end{pmatrix} | \begin{pmatrix}1&2\end{pmatrix}
  | \begin{pmatrix}1\\2\\3\\4\end{pmatrix} | 1,2,3,4
\begin{pmatrix}5\\-1\end{pmatrix} || + \begin{bmatrix}5\\-1\end{bmatrix}
  | \begin{pmatrix} 5 \\ -1 \end{pmatrix} || - \begin{pmatrix}-1\\5\end{pmatrix}
  | \begin{pmatrix}5\\1\end{pmatrix} | 4
\{(1,2),(3,4)\} || + (3,4),(1,2) || - (1,2) | \{(2,1),(3,4)\} | \{1,2,3,4\}
(-\infty,-1]\cup[1,\infty) || + x\le -1 \text{ or } x\ge 1 || - x\le -1 | [-1,1]
[2,\infty) || + x \geq 2 | \{x \mid x \ge 2\} | 2 \le x || - (2,\infty) | x \le 2
2516_8 || + 2516_{8} || - 2516 | 2516_7 | 1358
y=\frac{1}{2}x+3 || + y = 0.5x+3 | 2y = x+6 | x-2y+6=0 || - y=2x+3
\sin 30^\circ || + 0.5 | \cos 60^\circ || - \cos 30^\circ | 30
12\text{ cm}^2 || + 12 | 12 cm² | 12 cm^2 || - 12 cm^3 | 12 m^2 | 144
12:30 PM || + 12:30 pm || - 1:30 PM | 12:30 AM
# words
north || + North | north. | \text{north} | "north" | NORTH || - south | north or south | northeast
  | n
yes || + Yes | yes. | YES | The answer is yes. || - no | yes and no | maybe | y e s
Tuesday || + tuesday | Tuesday. | \text{Tuesday} || - Thursday | Tuesday or Wednesday | 2
\text{Evelyn} || + Evelyn | evelyn || - Eve | Evelyn and Bob
3:4 || + 3:4 | 3 : 4 || - 4:3 | 3/5 | 3:5
"""


def handwritten():
  """All hand-written pairs: a list of (gold, answer, whether they are equal)."""
  found = []
  tables = _TABLE + competition.TABLE + near_misses.TABLE
  for line in tables.strip().replace('\n  |', ' |').splitlines():
    if line.startswith('#'):
      continue
    gold, *groups = (part.strip() for part in line.split(' || '))
    for group in groups:
      equal = group.startswith('+')
      found += [(gold, answer.strip(), equal) for answer in group[1:].split(' | ')]
  return found
