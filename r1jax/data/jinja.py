"""The sandbox that chat templates of the hub run in: what they may use, and how much of it."""

import datetime
import functools
import json

import jinja2
import jinja2.compiler
import jinja2.ext
import jinja2.nodes
import jinja2.sandbox

# Far above any template's need: a conversation's text, its turns, the width of an indentation.
_LENGTH, _STEPS, _BITS = 1 << 24, 1 << 22, 1 << 12


class _Code(jinja2.compiler.CodeGenerator):
  """Python code of a template, in which `a ~ b` is joined by the environment."""

  def visit_Concat(self, node, frame):  # noqa: N802
    """Writes one concatenation."""
    self.write('environment.concat(map(str, (')
    for part in node.nodes:
      self.visit(part, frame)
      self.write(', ')
    self.write(')))')


class Environment(jinja2.sandbox.ImmutableSandboxedEnvironment):
  """jinja2 as transformers sets it up, with bounds on single operations.

  The sandbox keeps a template from Python's insides, but not from `9 ** 999999999`, from
  `'a' * 10 ** 11`, from a text doubled in a loop or from nested loops over long ranges: those hang
  or fill the memory where nothing interrupts them.
  """

  code_generator_class = _Code
  intercepted_binops = frozenset(['*', '**', '%', '+'])

  def __init__(self):
    self.marks = ('', '')  # what stands before and after a block of `{% generation %}`
    super().__init__(
      trim_blocks=True, lstrip_blocks=True, extensions=[jinja2.ext.loopcontrols, _Generation]
    )
    self._left = 0  # steps of loops that the rendering under way may still take
    self.filters = {name: _bounded(filter_) for name, filter_ in self.filters.items()}
    self.filters['tojson'] = _bounded(_to_json)
    del self.globals['lipsum']  # writes as much as it is asked for, and no chat needs it
    self.globals |= {
      'raise_exception': _refuse,
      'strftime_now': lambda form: datetime.datetime.now().strftime(form),
      'range': self._range,
    }

  def begin(self):
    """Forgets the steps that earlier renderings have taken."""
    self._left = _STEPS

  @staticmethod
  def concat(parts):
    """The parts of a text in one: of the whole template, of a block or macro, of `a ~ b`."""
    kept, length = [], 0
    for part in parts:
      length += len(part)
      _check(length, _LENGTH, 'characters of a text')
      kept.append(part)
    return ''.join(kept)

  def call_binop(self, context, operator, left, right):
    """One operation of two values, refused where its result would be huge."""
    # Sizes are known before the operation is begun, and bound that of the result.
    if operator == '**':
      _check(_bits(left) * max(_number(right), 1), _BITS, 'bits of a power')
    elif operator == '*':
      sizes = [_size(left) * _number(right), _size(right) * _number(left)]
      _check(max(sizes), _LENGTH, 'characters or items of a repetition')
      _check(_bits(left) + _bits(right), _BITS, 'bits of a product')
    elif operator == '+':
      _check(_size(left) + _size(right), _LENGTH, 'characters or items of a sum')
    elif isinstance(left, str):
      _check_format(left)
      _check_arguments(right if isinstance(right, tuple) else [right], {})
    return super().call_binop(context, operator, left, right)

  def call(self, context, callee, *args, **kwargs):
    """A call from within a template; its numbers may be widths or counts, so they are bounded."""
    _check_arguments(args, kwargs)
    return super().call(context, callee, *args, **kwargs)

  # A public hook of the sandbox, which asks for every attribute that is a method of str.
  def wrap_str_format(self, value):
    """`'...'.format` made safe, as the sandbox does, its widths bounded as well."""
    wrapped = super().wrap_str_format(value)
    if wrapped is not None:
      _check_format(value.__self__)
    return wrapped

  def _range(self, *bounds):
    """`range`, whose items count over all loops of a rendering."""
    items = range(*bounds)
    self._left -= len(items) + 1
    _check(-self._left, 0, 'steps beyond what a template may take')
    return items


class _Generation(jinja2.ext.Extension):
  """`{% generation %}...{% endgeneration %}`: what stands between is what the assistant said.

  It is written as it is, between the environment's `marks`.
  """

  tags = frozenset(['generation'])

  def parse(self, parser):
    """The nodes between the two tags, in a scope of their own as in any block."""
    line = next(parser.stream).lineno
    body = parser.parse_statements(['name:endgeneration'], drop_needle=True)
    # Called when it is rendered: the same template is rendered with marks and without.
    marks = [self.call_method('mark', [jinja2.nodes.Const(place)]) for place in (0, 1)]
    before, after = (jinja2.nodes.Output([mark]) for mark in marks)
    return jinja2.nodes.Scope([before, *body, after]).set_lineno(line)

  def mark(self, place):
    """The mark before (0) or after (1) a block."""
    return self.environment.marks[place]


def _check(value, most, what):
  if value > most:
    raise jinja2.TemplateRuntimeError(f'{value} {what}, at most {most} are allowed')


def _size(value):
  return len(value) if isinstance(value, (str, list, tuple)) else 0


def _number(value):
  return abs(value) if isinstance(value, int) else 0


def _bits(value):
  return value.bit_length() if isinstance(value, int) else 0


def _check_format(text):
  """Refuses `'%999999999d'` and `'{:999999999}'`, widths in the text; `'%-20s'` passes."""
  runs = ''.join(letter if letter.isdigit() else ' ' for letter in text).split()
  _check(max(map(len, runs), default=0), 8, 'digits of a width')


def _check_arguments(args, kwargs):
  for value in (*args, *kwargs.values()):
    _check(_number(value), _LENGTH, 'as an argument')


def _bounded(filter_):
  """A filter whose numbers are bounded: `'a' | center(10 ** 11)` would take 100 GB."""

  @functools.wraps(filter_)
  def bounded(*args, **kwargs):
    _check_arguments(args, kwargs)
    return filter_(*args, **kwargs)

  return bounded


def _to_json(value, indent=None, ensure_ascii=False, separators=None, sort_keys=False):
  """JSON as the hub's templates expect it: no HTML escapes."""
  return json.dumps(
    value, indent=indent, ensure_ascii=ensure_ascii, separators=separators, sort_keys=sort_keys
  )


def _refuse(message):
  raise jinja2.TemplateError(message)
