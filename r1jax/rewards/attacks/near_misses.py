"""Labelled pairs where the wrong answers lie close to the right one, or pretend to be it."""

# The format is that of `pairs`.
TABLE = r"""
42 || - 4₂ | 42% of 100 | 42 - 0.5 | 42e1 | 4.2e2 | 42e | 42π | \frac{42}{2} | 42_8
  | 42\frac{0}{1}1 | 42 minus 1 | 42.000000001 | 41.9999999999 | 42 or more | at least 42
  | at most 42 | less than 42 | < 42 | 42+ | 42 to 43 | 42-43 | \{42, 43\} | (42, 0) | 42 = 43
  | 43 = 42 | x = 42, y = 1 | 42;43 | 42/1/2 | 42\\43 | 42 & 43 | 42\pm 0.1 | \sqrt{42}
  | 42^\circ + 1 | \log 42 | 42^{-1} | -(-(-42)) | 42**2 | 42//2 | forty three | IV | none of 42
  | the answer is not 42 | 0x2A | 0b101010 | 42 mod 43 = 0 | "43" | 42j | true | [] | {}
  | \text{42 or 24} | Answer: 24 | 42!!! | 420/100 | \overline{42} | \hat{42} | \not{42}
  | \cancel{42} | \sout{42} 24 | 42 \to 43 | 42 \Rightarrow 43 | 24 (not 42) | 42? 43? | 42...
  | 42, ... | \lim 42 | f(42) | 42 \mid 84 | |42|-84 | \neg 42 | $42$ $43$ | 42\% of 84
42 || + \boxed{\boxed{42}} | \displaystyle 42 | \left(42\right) | (42) | 42 \, | \mathrm{42}
  | {42} | \text{The answer is } 42 | The final answer is $\boxed{42}$ | forty-two | \ 42 | \;42\;
  | x=42 | n = 42 | N=42 | f(3)=42 | 42 sheep | 42 m | 84/2 | \frac{84}{2}
-3 || - 3 | |−3| | 3- | (3) | \pm 3 | -3 or 3 | 3 below zero | -30 | -0.3 | --3 | 1/-3 | -3i | -3x
-3 || + -3 | −3 | -3.0 | (-3) | $-3$ | \boxed{-3} | x=-3 | -\frac{6}{2} | -\frac{3}{1}
1/2 || + .5 | 0.5 | \frac{1}{2} | \frac12 | \tfrac12 | 50\% | 2/4 | 1/2 | one half = 1/2 | 1 / 2
  | \frac{-1}{-2} | 2^{-1} || - 1/3 | 2/1 | 1,2 | 0.05 | 12 | 1 2 | 1/2x | 0.49999 | 0.50001 | 1:3
  | -1/2 | 1/2/1/2 | 1/2 or 1/3
\frac{22}{7} || + 3\frac{1}{7} | 22/7 || - \pi | 3.14 | 7/22
1/3 || - 0.33334 | 0.333 | 0.3334 | 33% | 0.33332 | 33.33%
2/3 || + 0.66667 | 0.66666 | 0.666667 | \frac{4}{6} | 66.6667% | 0.666... || - 0.6667 | 0.67 | 66%
  | 0.66668 | 2.3
0.\overline{6} || + 2/3 | 0.66667 | \frac23 || - 3/5 | 0.6 | 1/3
0.1\overline{6} || + 1/6 | \frac{1}{6} | 0.16667 | 0.1666... || - 1/16 | 0.16 | 4/25 | 16/99
3.\overline{27} || + \frac{36}{11} | 36/11 || - 3.27 | \frac{327}{100}
\sqrt{2} || - 1.41421357 | 1.4143 | 1.414 | \sqrt{2}+10^{-6} | \sqrt{2.0001} | 2^{0.4999}
  | \sqrt{20} | \sqrt 3 | 1.41422
\pi || - 3.14160 | 355/113 | \pi r^2 | pie
(1,2) || + (1, 2) | x=1, y=2 | (1.0, 2) || - (2,1) | [1,2] | [1,2) | (1,2] | \{1,2\} | 1.2 | (1;3)
  | (1,2,3) | ((1,2),3) | (1,2),(3,4) | 12 | (1)(2) | -(1,2) | 2(1,2)
[1,2] || + 1\le x\le 2 | [1, 2] | [1.0, 2.0] || - (1,2) | \{1,2\} | 1<x<2 | [2,1] | [1,2]\cup[3,4]
  | [1,2] or [3,4] | [[1,2]]1
\{1,2\} || + 1,2 | 2,1 | {1,2} || - (1,2) | [1,2] | \{1\} | \{1,2,2,3\} | \{12\} | 1..2
\{a, b\} || + \{b, a\} | a, b || - \{a\} | ab | (a,b) | \{a,c\}
\mathbb{R} \setminus \{2\} || + (-\infty,2)\cup(2,\infty) | \mathbb{R}\setminus\{2\} | x \neq 2
  || - \mathbb{R} | \{2\} | (-\infty,2) | \mathbb{R} \setminus \{3\}
\mathbb{R} || + (-\infty,\infty) | \mathbb{R} || - \mathbb{Q} | (0,\infty) | \emptyset | R^2
(-5,\infty) || + x > -5 | (-5, \infty) || - [-5,\infty) | (5,\infty) | x>5 | (-\infty,-5) | -5
[0,2\pi) || + 0 \le x < 2\pi | [0, 2\pi) || - [0,2\pi] | (0,2\pi) | [0,\pi) | [0,6.28)
[\frac{1}{2}, \frac{3}{4}] || + [0.5, 0.75] | \frac12 \le x \le \frac34 || - (0.5,0.75)
  | [\frac34,\frac12]
x^2+y^2 || + y^2+x^2 || - (x+y)^2 | x^2-y^2 | x^2y^2 | x+y | x^2+y^3 | x^2+y^2+10^{-30}x
  | x^2+y^2=0
\frac{x^2-1}{x-1} || + x+1 || - x-1 | x^2-1 | 1
x^2 || - |x|x | x^{2.0000001} | x^3 | 2x | x | x^2+\frac{1}{10^{20}} | x^2+0\cdot y+1 | x^{-2}
\sin x || - \sin(x+10^{-12}) | x | \cos x | -\sin x | \sin y | \arcsin x | sin
2^n || + 2^{n} | 2 \cdot 2^{n-1} | 4^{n/2} || - 2n | n^2 | 2^{n+1} | 2^m | (-2)^n
n! || + n \cdot (n-1)! || - n | n^n | (n-1)! | (n+1)!
(-1)^n || - 1 | -1 | (-1)^{n+1} | 1^n
x=3 || - x=3 or x=4 | x \approx 4 | x\ge3 | x=3y | 3x=1 | z=4 | x=\{3,4\} | x \neq 3 | x=3^2
y=2x || + 2x | y = 2x | 2x-y=0 | x = y/2 || - y=x^2 | y=2 | x=2y | y \ge 2x | 2y=x | y=2x+0.001
  | y=-2x
x^2-4=0 || + x^2=4 | 4-x^2=0 || - x^2+4=0 | x=2 | x-4=0
\begin{pmatrix}1&0\\0&1\end{pmatrix} || + \begin{bmatrix}1&0\\0&1\end{bmatrix}
  | \begin{pmatrix}1.0&0\\0&\frac{2}{2}\end{pmatrix} || - I | 1
  | \begin{pmatrix}0&1\\1&0\end{pmatrix} | \begin{pmatrix}1&0&0\\0&1&0\\0&0&1\end{pmatrix}
  | \begin{pmatrix}1&0\\0&-1\end{pmatrix} | (1,0,0,1) | \begin{pmatrix}1&0\\0\end{pmatrix}
\begin{vmatrix}1&2\\3&4\end{vmatrix} || + -2 || - 2 | \begin{pmatrix}1&2\\3&4\end{pmatrix} | 10
2+3i || - 2-3i | 2+3 | 5 | 3+2i | 2+3j | 2 | 13 | \sqrt{13} | 2+3x | -2-3i | (2,3)
\sqrt{-4} || + 2i || - 2 | -2 | 4i | -2i
90 || - 90^\circ C = 32 | 1.5708 | \frac{\pi}{2} | 90 or 270 | 0.9 | 9.0
\frac{\pi}{2} || - 90 | 1.57 | \pi | \frac{2}{\pi}
30^\circ || + 30 | 30 degrees | 30° || - 0.5 | 30\pi | 300^\circ | 330^\circ | -30^\circ | 3^\circ
  | 60
$5 || + 5 | $5.00 | 5 dollars | \$5 | 500 cents || - 5 cents | €5 | 5 euros | $50 | $0.5
  | 5 pounds | 5 thousand dollars
5\% || + 5 | 0.05 | 5% | \frac{1}{20} | 5 percent || - 0.5 | 50% | 0.05% | 20 | 5/10
  | 5 per thousand | 95%
0.05 || + 5\% | 5 \times 10^{-2} | 1/20 || - 0.5% | 5 | 50% | 0.005
5 m || + 5 | 500 cm | 5 meters | 5m | 0.005 km || - 5 cm | 5 km | 5 m^2 | 5 mm | 5 minutes | 50
  | 5 miles | 0.5 m
10 km/h || + 10 | 10 km/h | 10 km per hour | 10 kmh | 10 kilometers per hour || - 10 mph | 10 m/s
  | 10 km | 10 h | 100
2 hours || + 120 minutes | 2 | 2 hrs | 7200 seconds || - 2 minutes | 2 days | 20
  | 2 hours 30 minutes | 120 | 2:30
1 hour 30 minutes || + 1 hour 30 minutes || - 1 hour | 30 minutes | 1.3 hours
5\text{ ft }6\text{ in} || + 5 ft 6 in || - 5 ft | 6 in | 5.6 ft
12:00 || + 12:00 || - 12 | 0:12 | 24:00 | 1:00 | 12:01 | 6:00
2:5 || + 4:10 | 2:5 | \frac{2}{5} || - 5:2 | 2:3 | 25 | 2.5 | 2 | 2:5:1 | 7 | 5/2
1:2:3 || + 2:4:6 | 1:2:3 || - 3:2:1 | 1:2 | 1:2:4 | 6 | 1/6
10^{100} || + 10^{100} | 1e100 || - 10^{99} | 100^{10} | 10^{101} | 100 | 1000
10^{-5} || + 0.00001 | 1e-5 || - 0 | 10^5 | 0.0001
999999999999999999 || + 999,999,999,999,999,999 || - 1000000000000000000 | 10^{18}
  | 999999999999999998
0.1 || - 0.10000000001 | 0.1000001 | 0.09999 | 1/9
1e3 || + 1000 | 1,000 | 10^3 || - 100 | 1e4 | 13
1,000.5 || + 1000.5 | 2001/2 || - 1.0005 | 10005 | 1000
\binom{5}{2} || + 10 | \frac{5!}{2!3!} || - \frac{5}{2} | 20 | \binom{2}{5} | 2.5
C(5,2) || + C(5,2) || - C(2,5) | 5
\log_3 81 || + 4 || - 3 | 27 | 5
\ln e^3 || + 3 || - e^3 | 1
\log 100 || + 2 || - 10 | 100 | 4.605
\tan 45^\circ || + 1 || - 45 | 0 | \tan 45
\cos\pi || + -1 || - 1 | 0
\sin\frac{\pi}{2} || + 1 || - 0 | 90
\gcd(12,18) || + 6 || - 12 | 36
20\sqrt{3} - 10 || + 10(2\sqrt{3}-1) | -10+20\sqrt{3} || - 10\sqrt{3} | 20\sqrt{3}+10 | 24.6
\sqrt{a^2+b^2} || + (a^2+b^2)^{1/2} | \sqrt{b^2+a^2} || - a+b | a^2+b^2 | \sqrt{a^2-b^2}
\frac{-b\pm\sqrt{b^2-4ac}}{2a} || + \frac{-b+\sqrt{b^2-4ac}}{2a}, \frac{-b-\sqrt{b^2-4ac}}{2a}
  || - \frac{b\pm\sqrt{b^2-4ac}}{2a} | \frac{-b+\sqrt{b^2-4ac}}{2a}
\pm 1 \pm i || + 1+i, 1-i, -1+i, -1-i || - 1+i | \pm 1 | 1 \pm i
\frac{1}{3}\pi r^2 h || + \frac{\pi r^2 h}{3} || - \pi r^2 h | \frac{1}{3}\pi r^2
  | \frac{1}{3} \pi r h^2
3x^2+C || + x^2\cdot 3+C | C+3x^2 || - 3x^2 | x^3+C | 3x+C
-\frac{1}{2}(x+3)(x-4) || + \frac{(x+3)(4-x)}{2} || - \frac12(x+3)(x-4) | (x+3)(x-4)
\frac{9}{4},-1 || + -1,\frac{9}{4} || - 1,\frac94 | \frac94 | -1
\text{(A)} || + (A) | A || - (B) | A, B | an apple | AA | E
\text{C} || - c or d | (D) | \text{c, d} | 100 | cat
B || + (B) | b | \text{B} || - D | 8 | (B, C) | beta
\text{increasing} || + increasing || - decreasing | not increasing | increasing or decreasing
  | constant
New York || + new york | New York. || - York | New Jersey | New
March 14 || - March 15 | 14 | 3.14 | March
\text{Monday} || - Tuesday | Mon or Tue | M
3, 5, 7 || + \{3,5,7\} | 7, 5, 3 | 3,5,7 || - 357 | 3,5 | 3,5,7,9 | (3,7,5) or 3 | 15 | 3,5,8
12, 16, 20 || + 12,16,20 || - 121620 | 12, 16 | 12,16,21
2^5 \cdot 3 || + 96 | 32\cdot 3 || - 2^5 | 2\cdot 3^5 | 6^5 | 95
2^3\cdot 3^2 || + 72 || - 3^3\cdot 2^2 | 6^5 | 36
(3x+1)(x-2) || + 3x^2-5x-2 || - 3x^2+5x-2 | 3x^2-2 | (3x-1)(x+2)
\frac{2}{x+1}+\frac{3}{x-1} || + \frac{5x+1}{x^2-1} || - \frac{5}{2x} | \frac{5}{x^2-1}
a^3b^2 || + b^2a^3 | a^3 b^2 || - a^2b^3 | ab^6 | (ab)^5 | a^3+b^2
100_2 || + 100_2 | 100_{2} || - 4_2 | 100_3 | 100
110110_2 || + 110110_{2} || - 54_2 | 110111_2 | 110110
10,\!000 || + 10000 | 10,000 | 10^4 || - 1000 | 10
\frac{\sqrt[3]{4}}{2} || + 2^{-1/3} | \frac{1}{\sqrt[3]{2}} || - \sqrt{2} | \frac{\sqrt{4}}{2}
  | \sqrt[3]{2}
\left\{\frac{1}{2}, -\frac{3}{4}\right\} || + \{-0.75, 0.5\} | -3/4, 1/2 || - \{\frac12,\frac34\}
  | (\frac12,-\frac34)
\left(-\infty, -\frac{1}{2}\right) \cup \left(-\frac{1}{2}, \infty\right)
  || + (-\infty,-0.5)\cup(-0.5,\infty) || - (-\infty,-0.5] \cup (-0.5,\infty) | (-\infty,\infty)
\frac{270}{7}\text{ degrees} || + \frac{270}{7} | 270/7 | 38\frac{4}{7} || - 38.6 | 39
  | \frac{7}{270}
15\mbox{ cm}^2 || + 15 | 15 cm^2 | 15\text{ cm}^2 || - 15 cm | 1.5 | 225
\sqrt{51} || + 51^{1/2} || - 51 | 7.14 | \sqrt{15}
6 - 5i || + 6-5i || - 6+5i | 5-6i | 1
\frac{1}{4}\left(e^2+1\right) || + \frac{e^2+1}{4} | \frac{e^2}{4}+\frac14 || - \frac{e^2}{4}
  | \frac{e+1}{4}
\frac{11}{36} || + 11/36 | \dfrac{11}{36} | 0.305556 || - 11/63 | 0.3 | 25/36
144 || + 12^2 | 144 \text{ ways} | 144.0 | 1.44 \times 10^2 || - 12 | 1440 | 144/2 | 441
\text{(E)} || + E | (E) | \textbf{(E)} || - (D) | E or D | e^1 2
\sqrt{10} \text{ units} || + \sqrt{10} | 3.16228 || - 10 | \sqrt{5} | 3.16
4x^2 - 9 || + (2x-3)(2x+3) | 4x^{2}-9 || - (2x-3)^2 | 4x^2+9 | 4x-9
(a+b)^3 || + a^3+3a^2b+3ab^2+b^3 | (b+a)^3 || - a^3+b^3 | (a-b)^3
-\frac{5}{4} || + -1.25 | -1\frac14 | \frac{-5}{4} || - 1.25 | -4/5 | -0.8
\left[ -\frac{1}{2}, 1 \right) || + [-0.5,1) | -1/2 \le x < 1 || - (-0.5,1) | [-0.5,1] | [1/2,1)
2^{1/3} || + \sqrt[3]{2} || - \sqrt{2} | 2/3 | 1.26
(2, 12) || + (2,12) | x=2,y=12 || - (12,2) | 24 | 2, 21
\frac{\pi^2}{6} || + \pi^2/6 | \sum_{n=1}^{\infty} \frac{1}{n^2} | 1.644934 || - \pi/6 | 1.64
  | \pi^2/8
y = 3 || + 3 | y=3.0 || - x=3 | y=-3 | y>3
x = -\frac{1}{2}, x = 3 || + 3, -\frac{1}{2} | x=3 or x=-1/2 || - 3 | 1/2, -3
12\% || + 0.12 | 12 | 3/25 || - 1.2% | 0.012 | 12/10
8:15 \text{ a.m.} || + 8:15 a.m. | 8:15 AM | 8:15 am || - 8:15 p.m. | 8:51 am | 18:15
$3.50 || + 3.5 | 3.50 | \$3.50 | 350 cents || - 3.05 | 35 | 350 dollars
1.2 \times 10^{-3} || + 0.0012 | 1.2e-3 | 0.12\% || - 0.012 | 1.2 \times 10^3 | 1200
5 \text{ feet} || + 5 ft | 60 inches | 5 feet | 5' = 5 || - 5 inches | 6 feet | 50 ft
3 \text{ cm} || + 3 cm | 30 mm | 3cm || - 3 mm | 3 cm^3 | 3 km
64\pi || + 64\pi \text{ sq. cm} | 64π | 64 * pi || - 64 | 8\pi | 64\pi^2 | 64+\pi
\frac{1}{1+x^2} || + (1+x^2)^{-1} | \frac{1}{x^2+1} || - \frac{1}{1-x^2} | 1+x^2 | \arctan x
\cos(2x) || + \cos^2 x-\sin^2 x | 1-2\sin^2 x | 2\cos^2 x-1 || - \cos^2 x | 2\cos x | \sin 2x
\ln\frac{3}{2} || + \ln 3-\ln 2 | \ln 1.5 || - \ln 3/\ln 2 | \frac{\ln 3}{2} | 0.4
\log_5 2 || + \frac{\log 2}{\log 5} || - \log_2 5 | 0.43
x^{-2} || + \frac{1}{x^2} || - -x^2 | x^2 | \frac{1}{2x}
\frac{3x}{4y} || + \frac{3}{4}\cdot\frac{x}{y} | 3x/(4y) || - \frac{4x}{3y} | \frac{3xy}{4}
  | 3x/4y+1
\triangle ABC || + \triangle ABC || - \triangle ABD
\angle A || - \angle B
60^\circ, 120^\circ || + 120°, 60° | 60, 120 || - 60 | 180 | 60,110
\vec{a}+\vec{b} || + \vec{b}+\vec{a} || - \vec{a}-\vec{b} | \vec{a}
k \ge 4 || + [4,\infty) | k \geq 4 | k\geqslant 4 | 4 \le k || - k>4 | k \le 4 | 4
0 < m < 1 || + (0,1) | 0<m<1 | m\in(0,1) || - [0,1] | m<1 | 0<m
x \le -2 \text{ or } x \ge 2 || + (-\infty,-2]\cup[2,\infty) || - [-2,2] | x\ge 2
1 + 2i, 1 - 2i || + 1 \pm 2i | 1-2i, 1+2i || - 1+2i | 2\pm i
\{x \mid x > 1\} || + x>1 | (1,\infty) || - x<1 | [1,\infty)
\{(1,2)\} || + (1,2) | \{(1,2)\} || - (2,1) | \{1,2\}
3,\!500 || + 3500 | 3,500 || - 350 | 3.5
1/4 || + 25\% | 0.25 | \frac14 || - 0.4 | 4 | 1/3
13 \frac{1}{3} || + 40/3 | \frac{40}{3} | 13.3333333 || - 13.3 | 13 | 131/3
six || + 6 | six | Six || - 7 | sixty | 5
\text{no solution} || + no solution | No solution. || - 0 | one solution
\text{even} || + even | Even | it is even || - odd
42 || + 42 is the answer. | Therefore, the answer is 42. | **Answer:** 42 | Answer: $42$ | = 42
  | **42 dollars** | \underline{42} | $\mathbf{42}$ | \textcolor{red}{42} | 42\% = 42%
  | \boxed{42}$ | \(\boxed{42}\) | \[ 42 \] | 42\, | `42` | 42\text{ cm} | 42 \mathrm{~cm}
  | 42~\text{cm} | total = 42 | There are 42 apples | It is 42 || - The answer is not 42
  | 42 is wrong | There are 24 apples | total = 24 | 42 \mathrm{~or~} 43
"""
