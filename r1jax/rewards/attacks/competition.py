"""Labelled pairs in the manner of competition questions, gold answers written as usual there."""

# The format is that of `pairs`.
TABLE = r"""
\frac{\sqrt{3}}{2} || + \frac{\sqrt 3}{2} | \dfrac{\sqrt{3}}{2} | \frac{\sqrt3}2
  | \sqrt{\frac{3}{4}} | \cos 30^\circ | \sin\frac{\pi}{3} | \frac{3}{2\sqrt{3}}
  | $\boxed{\frac{\sqrt{3}}{2}}$ | 0.8660254038 || - \frac{\sqrt{3}}{3} | -\frac{\sqrt{3}}{2}
  | \frac{2}{\sqrt{3}} | 0.87 | \sin 30^\circ | \frac{\sqrt{3}}{2}i | \sqrt{\frac{3}{2}}
\left( 3, \frac{\pi}{2} \right) || + (3,\frac{\pi}{2}) | (3, \pi/2) | (3,\frac\pi2)
  | \left(3,\frac{1}{2}\pi\right) | (3, 0.5\pi) || - (\frac{\pi}{2}, 3) | (3, \pi)
  | (3,-\frac{\pi}{2}) | (3,\frac{\pi}{3}) | (-3,\frac{\pi}{2}) | 3, | (3, 90)
\text{(B)} || + B | (B) | \text{B} | b | \boxed{\text{(B)}} | The answer is (B) | \textbf{(B)}
  || - A | (C) | \text{(D)} | A or B | BB | 2
10^{\circ} || + 10^\circ | 10 | 10° | 10 degrees | 10^{\circ}{} | \boxed{10^\circ} || - 100^\circ
  | 1^\circ | 10 radians | 10^0 | -10^\circ | 190^\circ
\$18.90 || + 18.90 | \$18.9 | $18.90 | 18.9 dollars | 18.90\text{ dollars} | \text{\$18.90}
  || - \$18.09 | 1890 | \$18.91 | 18 | \$189.0 | €18.90
x \in [-2,7] || + [-2,7] | -2 \le x \le 7 | [-2, 7] | x\in\left[-2,7\right] | -2\leq x\leq 7
  | 7 \ge x \ge -2 || - (-2,7) | [-2,7) | (-2,7] | [2,7] | -2 < x < 7 | [-7,2]
  | x \in (-\infty,-2]\cup[7,\infty)
p - q || + p-q | -q+p | -(q-p) | p + (-q) || - q-p | p+q | p | pq | p-2q
\begin{pmatrix} -7 \\ 16 \\ 5 \end{pmatrix} || + \begin{pmatrix}-7\\16\\5\end{pmatrix}
  | \begin{bmatrix} -7 \\ 16 \\ 5 \end{bmatrix}
  | \left(\begin{array}{c}-7\\16\\5\end{array}\right)
  || - \begin{pmatrix} 7 \\ 16 \\ 5 \end{pmatrix} | \begin{pmatrix} 5 \\ 16 \\ -7 \end{pmatrix}
  | \begin{pmatrix} -7 \\ 16 \end{pmatrix} | \begin{pmatrix} -7 \\ 16 \\ 6 \end{pmatrix} | 14
6+9i || + 9i+6 | 6 + 9i | 6+9 i | 3(2+3i) | 6+9\cdot i || - 6-9i | 9+6i | 6+9 | 15 | -6+9i | 6+9j
  | 15i
073 || + 73 | 073 | \boxed{073} | 73.0 || - 37 | 730 | 703 | 7.3 | -73
0 || + 000 | 0\% || - O | 00.1 | o | 8
005 || + 5 | 005 | 05 || - 50 | 500 | 6
\frac{3}{56} || + 3/56 | \dfrac{3}{56} | \frac{6}{112} || - \frac{3}{65} | 0.05 | \frac{56}{3}
  | \frac{3}{5}6
\frac 34 || + \frac{3}{4} | 0.75 | 3/4 || - \frac 43 | 34
\frac{243}{625} || + 0.3888 | 243/625 | \frac{486}{1250} || - 0.389 | 0.388 | \frac{625}{243}
2\sqrt{113} || + \sqrt{452} | 2\sqrt{113} | 2 \cdot \sqrt{113} || - \sqrt{226} | \sqrt{113}
  | 2\sqrt{131} | 4\sqrt{113}
3\sqrt{13} || + \sqrt{117} | 3\sqrt{13} \text{ cm} | 3\sqrt{13}. || - \sqrt{39} | 13\sqrt{3}
  | 3\sqrt[3]{13}
-\sqrt{3} || + −\sqrt{3} | -\sqrt3 | -3^{1/2} | -\frac{3}{\sqrt{3}} | -1.7320508 || - \sqrt{3}
  | \sqrt{-3} | -3 | -1.7
\sqrt[3]{5} || + 5^{1/3} | 5^{\frac{1}{3}} | \sqrt[3]5 || - \sqrt{5} | 3\sqrt{5} | 5/3
  | \sqrt[5]{3}
\frac{1+\sqrt{5}}{2} || + \frac{\sqrt{5}+1}{2} | (1+\sqrt{5})/2 | \frac{1}{2}+\frac{\sqrt{5}}{2}
  | 0.5+0.5\sqrt{5} || - \frac{1-\sqrt{5}}{2} | 1+\frac{\sqrt{5}}{2} | 1.618 | 1+\sqrt{5}/2
  | \frac{1+\sqrt{3}}{2}
\frac{2+\sqrt{6}}{4} || + \frac{1}{2}+\frac{\sqrt{6}}{4} | \frac{\sqrt{6}+2}{4}
  || - \frac{1+\sqrt{6}}{2} | \frac{2-\sqrt{6}}{4} | \frac{\sqrt{6}}{4}
\dfrac{a}{\sqrt{b}} || + \boxed{\frac{a}{\sqrt{b}}} | a/\sqrt{b} | \frac{a\sqrt{b}}{b} | ab^{-1/2}
  || - \frac{\sqrt{a}}{b} | \frac{a}{b} | a\sqrt{b} | \sqrt{\frac{a}{b}}
17 || + \boxed{17} | $\boxed{17}$ | \fbox{17} | \boxed{\text{17}} | \(\boxed{17}\) | \[17\]
  | x = \boxed{17} | {17} | \text{Answer: } 17 | \mathbf{17} | So the answer is 17
  | Final answer: 17 | 17 \text{ units} | \boxed{x=17} | 17 people | about = 17
  || - \boxed{17}\boxed{18} | 71 | 1 7 | 17\frac{1}{2} | 17.5 | 17i | 17x | 17, 18 | -17 | 17^2
  | 17! | \sqrt{17} | 1/17 | 17/1000 | 17:1 | 0.17 | 17,000 | between 16 and 18 | 16 < x < 18
  | not 17 | 18 - 1 = 16 | 17 to 19 | approximately 16 | 17 and a half | $17$ and $18$ | x \ne 17
  | \ge 17 | >17 | ≠17 | ~17?
1,234,567 || + 1234567 | 1 234 567 | 1{,}234{,}567 | 1\,234\,567 | $1,234,567$ | \$1,234,567
  | 1,234,567.00 | 1.234567 \times 10^6 | 1234567 \text{ people} || - 1.234.567,8 | 1,234 | 123456
  | 1234568 | 12,34,567.5 | 1,234,56 | 1, 234, 567 | 1234.567 | 1.234567
11,111,111,100 || + 11111111100 | 11{,}111{,}111{,}100 | 11 111 111 100 || - 1111111110
  | 111111111000 | 11,111,111,101
123456789012345678901234567890 || + 123,456,789,012,345,678,901,234,567,890
  | 123456789012345678901234567890 || - 123456789012345678901234567891 | 1.2345678901234568e29
  | 12345678901234567890123456789
2^{100} || + 1267650600228229401496703205376 | 4^{50} | 2^{50} \cdot 2^{50} | 1024^{10}
  || - 2^{101} | 1267650600228229401496703205377 | 200 | 100^2
602000000000000000000000 || + 6.02 \times 10^{23} | 6.02e23 | 6.02*10^23 | 6.02 \cdot 10^{23}
  | 6.02×10^{23} || - 6.02 \times 10^{22} | 6.02 \times 10^{-23} | 6.02 | 6.03 \times 10^{23}
0.00052 || + 5.2 \times 10^{-4} | 5.2e-4 | 0.00052 | 52/100000 | 5.2\times10^{-4}
  || - 5.2 \times 10^{4} | 0.0052 | 5.2 \times 10^{-5} | 0.0005
4.5 \times 10^{6} || + 4,500,000 | 4.5e6 | 45 \times 10^5 | 4.5 million | 4500000
  || - 4.5 \times 10^5 | 450000 | 4.5 | 4.5 billion | 4.5^6
$1,250.50 || + 1250.50 | 1250.5 | \$1250.50 | 1,250.50 dollars | $1250.50 || - 1250 | 125050
  | $1,250.05 | 1,250.5 cents
£20 || + 20 | 20 pounds | £20.00 || - €20 | 2000 | £2
$-5 || + -5 | -$5 | -\$5 | -5 dollars || - 5 | $5 | --5
75 cents || + 75 | $0.75 | 0.75 dollars | 75¢ || - $75 | 7.5 | $7.50 | 75 dollars
12.5\% || + 12.5% | 0.125 | 1/8 | 12.5 | 12.5 percent | \frac{1}{8} | 12.50\% | 12\frac{1}{2}\%
  || - 125% | 1.25% | 12% | 0.0125 | 8% | 87.5%
33\frac{1}{3}\% || + 33 1/3% | \frac{1}{3} | 33.333333% | \frac{100}{3}\% || - 33% | 33.3 | 3%
  | 66\frac{2}{3}\% | 33
150\% || + 1.5 | 150 | 3/2 | 150 percent || - 15% | 50% | 1.5% | 0.15
0.5\% || + 0.005 | 1/200 | 0.5 percent | 0.50\% || - 50% | 5% | 0.05 | 0.05%
3\frac{1}{7} || + 22/7 | 3 1/7 | \frac{22}{7} | 3 \frac{1}{7} | 3.142857 || - 3.14 | \pi | 3/7
  | 31/7 | 3\frac{7}{1} | \frac{21}{7}
-1\frac{1}{2} || + -1.5 | -3/2 | -1 1/2 | -\frac{3}{2} || - -1/2 | 1.5 | -0.5 | -\frac{1}{2}
5 1/2 || + 5.5 | 11/2 | 5\frac12 | 5 and 1/2 | 5½ || - 51/2 | 5.2 | 5 | 2.5 | 5, 1/2
0.\overline{3} || + 1/3 | \frac{1}{3} | 0.\overline{3} | 0.333333 | 0.\bar{3} | 0.3333... || - 0.3
  | 3 | 0.33 | 0.\overline{6} | 0.\overline{03}
0.\overline{142857} || + 1/7 | \frac{1}{7} || - 0.142857142858 | 1/6 | 0.14
1.41 || + 141/100 | 1.410 || - \sqrt{2} | 1.414 | 1.4 | 1.14
0.1 || + 1/10 | .1 | 10^{-1} | 10% | 0.10 || - 0.01 | 1.0 | 0.11 | 10
99.9 || + 99.90 | 999/10 || - 100 | 99.8 | 99 | 99.99
-0.25 || + -1/4 | -.25 | −0.25 | -\frac{1}{4} | –0.25 || - 0.25 | -0.2 | -25 | -4
-12 || + −12 | –12 | - 12 | $-12$ | \boxed{-12} | {-12} | -12.0 | −12.00 || - 12 | 1-2 | -1.2
  | -21 | --12 | 12- | +12 | \pm 12
(-\infty, 0] \cup [4, \infty) || + (-\infty,0]\cup[4,\infty) | [4,\infty)\cup(-\infty,0]
  | x \le 0 or x \ge 4 | (-∞, 0] ∪ [4, ∞) | x\leq 0 \text{ or } x\geq 4
  | (-\infty, 0] \cup [4, +\infty) || - (-\infty,0)\cup(4,\infty) | [0,4] | (-\infty,4]
  | (-\infty,0]\cup(4,\infty) | (-\infty, 0] | \mathbb{R}
(-\infty, \infty) || + (-\infty,\infty) | \mathbb{R} | (-\infty,+\infty) | all real numbers
  | x \in \mathbb{R} || - [0,\infty) | \emptyset | (-\infty, 0) | \mathbb{Z} | (0,1)
(0, \frac{1}{2}) || + (0,0.5) | (0,1/2) | \left(0, \frac12\right) || - [0,\frac12] | (\frac12, 0)
  | (0,2) | (0, \frac{1}{3}) | (0,\frac{1}{2}]
[-1, 1) || + -1 \le x < 1 | [-1,1) | \left[-1,1\right) | x \in [-1, 1) || - (-1,1] | [-1,1]
  | (-1,1) | -1 < x < 1 | [1,-1)
(2,\infty) || + x>2 | 2<x | (2, \infty) | (2, +\infty) | x > 2 | (2,∞) || - [2,\infty) | x \geq 2
  | x<2 | (-\infty,2) | (2,100) | 2 | (-2,\infty)
(-3,5)\setminus\{0\} || + (-3,0)\cup(0,5) || - (-3,5) | [-3,5]
t \le -5 || + (-\infty,-5] | t \leq -5 | -5 \ge t | x \le -5 || - t < -5 | t \ge -5 | (-\infty,-5)
  | t \le 5 | -5
\{-1, 0, 1\} || + {-1,0,1} | \{0,1,-1\} | -1, 0, 1 | \left\{-1,0,1\right\} | \{ -1 , 1 , 0 \}
  || - \{0,1\} | \{-1,1\} | [-1,1] | \{-1,0,1,2\} | (-1,0,1) | \{1\}
\{2, 3, 5, 7\} || + {2, 3, 5, 7} | 7,5,3,2 | 2, 3, 5, and 7 | \{7,2,5,3\} || - 2357 | \{2,3,5\}
  | \{2,3,5,9\} | 17 | 2, 3, 5, 7, 11
3 or 5 || + 3, 5 | 5 or 3 | x=3 or x=5 | 3 and 5 | \{3,5\} | 3 \text{ or } 5 | x = 3, 5 | 5, 3
  || - 3 | 5 | 8 | 35 | 3 or 6 | (3,5) or 7 | 3.5 | 15 | 3, 5, 7 | 4 \pm 2
-1, 4 || + 4, -1 | -1 and 4 | x = -1 or x = 4 | x=4,-1 | x = -1, x = 4 | 4,−1 || - 1, 4 | -1 | 3
  | 1,-4 | -1, 4, 0 | -14
(2, -1) || + (2,-1) | x=2, y=-1 | \left(2,-1\right) | (x,y)=(2,-1) | (2.0, -1) | (\frac{4}{2},-1)
  || - (-1,2) | (2,1) | [2,-1] | \{2,-1\} | (2,-1,0) | x=-1, y=2 | 1 | (2, -1), (1,1)
(1,2,3,4) || + (1, 2, 3, 4) || - (4,3,2,1) | \{1,2,3,4\} | (1,2,3) | (1,2,3,5) | 1234
(0,0),(1,1) || + (1,1),(0,0) | (0,0) and (1,1) | \{(0,0),(1,1)\} | (0, 0), (1, 1) || - (0,0)
  | (0,1),(1,0) | (0,0,1,1) | (0,0),(1,2)
x = 2, y = 3 || + (2,3) | y=3, x=2 | x=2, y=3 | x=2 \text{ and } y=3 || - (3,2) | x=3, y=2 | 5
  | x=2
\{\} || + \emptyset | \varnothing | { } | ∅ || - \{0\} | 0 | \{\emptyset\}
\begin{pmatrix} 2 & 0 \\ 0 & 1/2 \end{pmatrix} || + \begin{pmatrix}2&0\\0&\frac{1}{2}\end{pmatrix}
  | \begin{bmatrix}2&0\\0&0.5\end{bmatrix} | \left[\begin{matrix}2&0\\0&\frac12\end{matrix}\right]
  || - \begin{pmatrix}0&2\\\frac12&0\end{pmatrix} | \begin{pmatrix}2&0\\0&2\end{pmatrix}
  | \begin{vmatrix}2&0\\0&1/2\end{vmatrix} | 1 | \begin{pmatrix}2&0\end{pmatrix}
\begin{pmatrix} a & b \\ c & d \end{pmatrix} || + \begin{bmatrix}a&b\\c&d\end{bmatrix}
  || - \begin{pmatrix} a & c \\ b & d \end{pmatrix} | \begin{pmatrix} d & b \\ c & a \end{pmatrix}
  | ad-bc
\begin{pmatrix} \sqrt{2}/2 & 1 \\ 1 & \sqrt{2}/2 \end{pmatrix}
  || + \begin{pmatrix} \frac{1}{\sqrt{2}} & 1 \\ 1 & \frac{1}{\sqrt{2}} \end{pmatrix}
  || - \begin{pmatrix} \frac{1}{\sqrt{2}} & 1 \\ 1 & -\frac{1}{\sqrt{2}} \end{pmatrix}
x=3 || + 3 | x = 3 | 3=x | x=3.0 | x = \frac{6}{2} | $x=3$ | \boxed{x=3} || - x=-3 | x=4 | y=4
  | x>3 | x=3,4 | x^2=9 | x \ne 3 | x=30
y = -\frac{3}{4}x + 2 || + y=2-\frac{3}{4}x | 4y=-3x+8 | 3x+4y=8 | y = -0.75x+2 | -\frac{3}{4}x+2
  | 3x+4y-8=0 || - y=\frac{3}{4}x+2 | y=-\frac{4}{3}x+2 | 3x-4y=8 | y=-\frac{3}{4}x-2
  | x=-\frac{3}{4}y+2
(x-1)^2+(y+2)^2=9 || + (y+2)^2+(x-1)^2=9 | x^2-2x+y^2+4y=4 | x^2+y^2-2x+4y-4=0
  | (x-1)^2 + (y+2)^2 = 3^2 || - (x+1)^2+(y-2)^2=9 | (x-1)^2+(y+2)^2=3 | (x-1)^2+(y+2)^2
  | (x-1)^2-(y+2)^2=9
f(x)=x^2-1 || + x^2-1 | y=x^2-1 | f(x) = (x-1)(x+1) | f(x)=x^2-1. || - f(x)=x^2+1 | f(x)=x^2 | x^2
  | f(x)=1-x^2
\frac{x^2}{4}+\frac{y^2}{9}=1 || + 9x^2+4y^2=36 | \frac{y^2}{9}+\frac{x^2}{4}=1 || - 4x^2+9y^2=36
  | \frac{x^2}{9}+\frac{y^2}{4}=1 | \frac{x^2}{4}-\frac{y^2}{9}=1
a_n = 3n-1 || + a_n=3n-1 | 3n-1 | a_n = 3(n-1)+2 | a_{n}=3n-1 || - a_n=3n+1 | 3n | a_n = 3^n-1
  | n-1
(x+2)(x-5) || + (x-5)(x+2) | x^2-3x-10 | -(x+2)(5-x) || - (x-2)(x+5) | x^2+3x-10 | (x+2)(x+5)
  | x^2-10
\frac{1}{x} || + x^{-1} | 1/x | \frac{x}{x^2} || - x | -\frac{1}{x} | \frac{1}{x^2} | \frac{1}{y}
  | 1
\frac{a^2-b^2}{a-b} || + a+b | b+a || - a-b | a^2-b^2 | ab
e^{2x} || + (e^x)^2 | \exp(2x) | e^{x}e^{x} | e^{2 x} || - e^{x^2} | 2e^x | e^{x} | e^{-2x} | e^2x
\ln(x+1) || + \ln(1+x) | \log_e(x+1) | \ln (x+1) || - \ln x + 1 | \ln(x)+\ln(1) | \ln(x-1)
  | \log_{10}(x+1)
\sin^2 x || + 1-\cos^2 x | (\sin x)^2 | \sin^2(x) | \frac{1-\cos 2x}{2} || - \sin x^2 | \cos^2 x
  | \sin 2x | 2\sin x
2\sin x\cos x || + \sin 2x | \sin(2x) | 2\cos x\sin x || - \cos 2x | \sin x\cos x | 2\sin x
  | \sin^2 x
\tan x || + \frac{\sin x}{\cos x} | \sin x/\cos x | \frac{1}{\cot x} || - \cot x | \sec x | \tan y
  | \arctan x
\sec^2 x || + 1+\tan^2 x | \frac{1}{\cos^2 x} || - \sec x | \tan^2 x | \csc^2 x
x^3-3x+2 || + (x-1)^2(x+2) | 2-3x+x^3 | x(x^2-3)+2 || - (x+1)^2(x-2) | x^3-3x-2 | x^3+2
\frac{n!}{k!(n-k)!} || + \binom{n}{k} | \binom{n}{n-k} || - \binom{k}{n} | \frac{n!}{k!} | n!
\binom{10}{3} || + 120 | \frac{10!}{3!7!} | \binom{10}{7} || - 720 | 30 | \binom{10}{4} | 1000
7! || + 5040 | 5,040 | 7 \cdot 6! || - 7 | 720 | 6! | 49
\log_{10} 1000 || + 3 | \log_{10}{1000} || - 2 | 10 | 4
\log_2 3 || + \frac{\ln 3}{\ln 2} | \frac{\log 3}{\log 2} | \log_{2}(3) || - \log_3 2 | 1.5
  | \frac{\ln 2}{\ln 3} | 1.58
\frac{\pi}{6} || + \pi/6 | \frac{1}{6}\pi | \frac{2\pi}{12} | 0.5235988 | \arcsin\frac{1}{2}
  || - 30 | \frac{\pi}{3} | \frac{6}{\pi} | 0.52 | \pi
4\pi || + 4π | 4 \pi | \pi \cdot 4 | 4\pi \text{ square units} | 12.56637 | 4pi || - 4 | 12.57
  | 4\pi^2 | 2\pi | 40\pi | 12.56 | 4+\pi
25\pi \text{ cm}^2 || + 25\pi | 25\pi cm^2 | 25 π | 78.539816 || - 25 | 5\pi | 25\pi^2 | 78.5
  | 50\pi
e || + 2.71828 | e | e^1 | \exp(1) || - 2.7 | \pi | 1 | 2.72 | e^{-1}
\arctan 2 || + \tan^{-1} 2 | \arctan(2) || - \tan 2 | \arctan \frac12 | \frac{1}{\tan 2}
|x-3| || + |3-x| | \left|x-3\right| | \lvert x-3 \rvert | \sqrt{(x-3)^2} || - x-3 | 3-x | |x+3|
  | |x|-3
\lfloor x \rfloor || + \lfloor x \rfloor || - \lceil x \rceil | x | x-1
i || + i | \sqrt{-1} | 1i | 0+i | e^{i\pi/2} || - -i | 1 | -1 | 1+i
-4i || + -4 i | 0-4i | −4i | 4i^3 || - 4i | -4 | 4 | -i
\frac{1+i}{2} || + 0.5+0.5i | \frac{1}{2}+\frac{1}{2}i | \frac{1}{2}+\frac{i}{2} | \frac{1}{1-i}
  || - \frac{1-i}{2} | 1+\frac{i}{2} | \frac{i}{2} | 1/2
3-4i, -3+4i || + -3+4i, 3-4i | \pm(3-4i) || - 3-4i | 3+4i,-3-4i | -3-4i, 3+4i
\frac{1}{2}+\frac{\sqrt{3}}{2}i || + \frac{1+i\sqrt{3}}{2} | e^{i\pi/3} | \frac{1+\sqrt{3}i}{2}
  | \cos 60^\circ + i\sin 60^\circ || - \frac{1}{2}-\frac{\sqrt{3}}{2}i
  | \frac{\sqrt{3}}{2}+\frac{1}{2}i | e^{-i\pi/3} | 1
2-3i || + 2 - 3i | -3i+2 | 2+(-3)i || - 2+3i | -2+3i | 3-2i | 2-3 | -1
60 mph || + 60 | 60 miles per hour | 60mph | 60\text{ mph} || - 60 km/h | 60 feet per second | 6
  | 600 | 66 mph
2.5 kg || + 2500 g | 2.5 | 2.5kg | 2500 grams | 5/2 kg | 2.5 kilograms || - 2.5 g | 250 g | 25 kg
  | 2.5 m
3 \text{ hours} || + 180 minutes | 3 hours | 3 h | 3 | 3\,\text{hours} | 10800 seconds
  || - 3 minutes | 3 days | 180 | 30 minutes
45 \text{ minutes} || + 45 min | 45 | 0.75 hours | 3/4 hour | 45\text{ mins} || - 45 hours | 0.75
  | 4.5 minutes | 45 seconds
10 \text{ m/s} || + 10 | 10 m/s | 10\,\text{m/s} | 10 meters per second || - 10 km/h | 100 m/s | 1
  | 10 m
100 \text{ square feet} || + 100 | 100 sq ft | 100 ft^2 | 100\text{ ft}^2 | 100 square feet
  || - 10 square feet | 100 square meters | 1000 | 10^1
27 \text{ in}^3 || + 27 | 27 cubic inches | 27\text{ in}^3 || - 27 cm^3 | 3 | 9 in^3 | 27 ft^3
1.5 \text{ liters} || + 1500 ml | 1.5 L | 1.5 | 1.5 liters || - 1.5 ml | 150 ml | 15 | 1500 l
98.6^\circ F || + 98.6 | 98.6°F | 98.6 degrees || - 98.6°C | 9.86 | 37
\frac{1}{2} \text{ mile} || + 0.5 miles | 1/2 | 0.5 | 1/2 mile || - 1 mile | 2 miles | 0.5 km
  | 5 miles
x > -2 || + (-2,\infty) | -2 < x | x>-2 | x\gt -2 || - x<-2 | x \ge -2 | x>2 | -2 | (-\infty,-2)
-3 < x < 5 || + (-3,5) | 5 > x > -3 | x \in (-3,5) | -3<x<5 | x>-3 and x<5 || - [-3,5]
  | -3 \le x \le 5 | (-5,3) | x<5 | -3<x
x < -1 \text{ or } x > 3 || + (-\infty,-1)\cup(3,\infty) | x>3 or x<-1 | x<-1, x>3 || - -1<x<3
  | x<-1 | (-\infty,-1]\cup[3,\infty) | x > -1 or x < 3
a \neq 0 || + a \ne 0 | a≠0 || - a=0 | 0 | a>0 | b \ne 1
3:45 PM || + 3:45 pm | 3:45 p.m. | 3:45PM | \text{3:45 PM} || - 3:45 AM | 4:35 PM | 3:54 PM
  | 15:54
10:30 || + 10:30 || - 10:03 | 11:30 | 1030.5 | 10.3
January 5 || + January 5 | january 5 | January 5. || - January 15 | 5 | February 5 | January
Saturday || + saturday | Saturday. | \text{Saturday} | \boxed{\text{Saturday}} || - Sunday
  | Saturday or Sunday | Sat, Sun | Satur | 6
\text{east} || + east | East | \text{East} | "east" || - west | northeast | eastern | e
\text{odd} || + odd | Odd | \text{odd}. || - even | odd or even | odd and even | 1
\text{Yes} || + yes | Yes. | $\text{Yes}$ || - No | \text{No} | Yes and No | not yes | y
\text{hyperbola} || + hyperbola | Hyperbola | \text{hyperbola} || - parabola | ellipse
  | hyperbola or ellipse
\text{Navin} || + Navin | navin || - Kevin | Navin, Kevin | Nav
true || + True | true. || - false | not true | 1
2:3 || + 2:3 | 2 : 3 | 2\colon 3 || - 3:2 | 2:5 | 23 | 2.3
5:12:13 || + 5:12:13 || - 5:13:12 | 12:5:13 | 5:12
\frac{5}{3} \text{ hours} || + 100 minutes | 5/3 | \frac{5}{3} | 1\frac{2}{3} hours || - 5 hours
  | 1.6 | 3/5
\pm\sqrt{7} || + \sqrt{7}, -\sqrt{7} | ±\sqrt{7} | x=\pm\sqrt{7} | -\sqrt{7},\sqrt{7}
  | \{\sqrt{7},-\sqrt{7}\} || - \sqrt{7} | -\sqrt{7} | \pm 7 | 7 | \pm\sqrt{6}
\frac{-1\pm\sqrt{5}}{2} || + \frac{-1+\sqrt{5}}{2}, \frac{-1-\sqrt{5}}{2}
  | x=\frac{-1\pm\sqrt{5}}{2} | -\frac{1}{2}\pm\frac{\sqrt{5}}{2} || - \frac{1\pm\sqrt{5}}{2}
  | \frac{-1+\sqrt{5}}{2} | \frac{-1\pm\sqrt{3}}{2}
\frac{1}{2}, -3 || + -3, \frac{1}{2} | x=\frac12 or x=-3 | 0.5 and -3 | -3, 1/2
  || - \frac{1}{2}, 3 | -3 | 1/2 | -\frac{1}{2}, 3
2 + \sqrt{3} || + \sqrt{3}+2 | \frac{1}{2-\sqrt{3}} | 3.732050808 || - 2-\sqrt{3} | 2\sqrt{3}
  | 3.73 | \sqrt{5}
\frac{\sqrt{2}+\sqrt{6}}{4} || + \cos 15^\circ | \sin 75^\circ | \frac{\sqrt{6}+\sqrt{2}}{4}
  | \cos\frac{\pi}{12} || - \frac{\sqrt{6}-\sqrt{2}}{4} | \sin 15^\circ | \frac{\sqrt{8}}{4}
  | 0.97
\sqrt{5+2\sqrt{6}} || + \sqrt{2}+\sqrt{3} || - \sqrt{2}-\sqrt{3} | \sqrt{5} | \sqrt{5-2\sqrt{6}}
80 || + 80 | \boxed{80}. | 80\% || - 8 | 800 | 80\frac12 | 08
1\frac{4}{5} || + 9/5 | 1.8 | 1 4/5 || - 4/5 | 14/5 | 1.45 | 5/4
3^{20} || + 3486784401 | 9^{10} || - 3^{21} | 60 | 3^2 | 3486784402
10! || + 3628800 | 3,628,800 || - 10 | 9! | 362880
\frac{10!}{2^5} || + 113400 || - 10! | 3628800 | 113401
2x^2 || + 2x^{2} | 2\cdot x^2 | x^2+x^2 | 2x^2. | 2 x^2 || - (2x)^2 | 4x^2 | 2x | x^2 | 2^2 x
5x-7y+11z+4=0 || + 5x - 7y + 11z + 4 = 0 | -5x+7y-11z-4=0 | 10x-14y+22z+8=0 || - 5x+7y+11z+4=0
  | 5x-7y+11z=4 | 5x-7y+11z+4=1
\frac{3}{2}\ln 2 || + 1.5\ln 2 | \frac{\ln 8}{2} | \ln(2\sqrt{2}) || - \ln 3 | \frac{2}{3}\ln 2
  | \ln 2
\infty || + \infty | ∞ | +\infty | infinity || - -\infty | 0 | 10^{100} | \text{does not exist}
-\infty || + -\infty | −∞ || - \infty | 0
\text{undefined} || + undefined | Undefined || - 0 | \infty | defined
\text{DNE} || + DNE || - 0 | \infty
\frac{a}{b} || + a/b | \dfrac{a}{b} | \frac{2a}{2b} || - \frac{b}{a} | ab | a-b | \frac{a}{c}
\alpha+\beta || + \beta+\alpha | \alpha + \beta || - \alpha-\beta | \alpha\beta | \alpha
2\theta || + 2 \theta | \theta+\theta | 2θ || - \theta | \theta^2 | 2
x_1+x_2 || + x_{1}+x_{2} | x_2+x_1 || - x_1-x_2 | x_1x_2 | x_1
\sum_{k=1}^{n} k || + \frac{n(n+1)}{2} || - n^2 | n | \frac{n(n-1)}{2}
4,6,14,15 || + 4, 6, 14, 15 | 15,14,6,4 || - 4,6,14 | 4,6,14,16 | 461415
\text{A, C} || + A, C | A,C | C, A || - A | B, C | A, B, C | AC or B
r^2\cos 2\theta=1 || + r^2 \cos 2\theta = 1 || - r^2\sin 2\theta=1
0.002 || + .002 | 2\times10^{-3} | 0.2% | 1/500 || - 0.02 | 2 | 0.0021 | 0.2
1e-7 || + 0.0000001 | 10^{-7} | 1\times 10^{-7} || - 0 | 1e7 | 1e-8
1.0001 || + 1.0001 || - 1 | 1.0 | 1.00011
0.6667 || + 0.6667 || - 0.6666 | 0.66 | 0.7
3.1416 || + 3.1416 | 3.14160 || - 3.14 | 3.1415
x^2 \ge 0 || + x^2 \geq 0 || - x^2 > 0 | x^2 \le 0
\frac{17}{50} || + .34 | 0.34 | 34\% | 17/50 || - 0.35 | 3.4 | 17.50
-\frac{35}{9} || + \frac{-35}{9} | \frac{35}{-9} | -35/9 | -3\frac{8}{9} || - \frac{35}{9} | -3.9
  | -\frac{9}{35} | 3\frac{8}{9}
\frac{15}{2} || + 7.5 | 7\frac{1}{2} | 15/2 | 7 1/2 || - 7.05 | 7 | 15 2 | 2/15
"""
