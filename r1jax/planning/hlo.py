"""Reads a compiled program: collectives, and the compiler's own cycles, loops multiplied out.

A loop whose trip count the program knows (layers) counts that often, and so does one whose count is
data but whose scope is named for it (`expected_trips_15`: the experts' rounds); other loops
(micro-batches, decoding) stay apart, so that the caller can multiply them by what he expects.
"""

import collections
import dataclasses
import re

import numpy as np

KINDS = ('all-gather', 'all-reduce', 'reduce-scatter', 'all-to-all', 'collective-permute')

# The compiler writes about 2**63 cycles where it has no idea, which spoils its own total too.
_NO_ESTIMATE = 2**50

# '%body.3 (p: f32[8]) -> f32[8] {' and 'ENTRY %main.9 (...) -> ... {' begin a computation; a line
# that is indented does not.
_HEAD = re.compile(r'^(ENTRY )?%?([\w.\-]+) \(.*\{\s*$')
# '  ROOT %add.1 = f32[8]{0} add(%a, %b)' is one; '}' is none.
_LINE = re.compile(r'^\s+(?:ROOT )?%?([\w.\-]+) = (.*)$')
# ' add(' of 'f32[8]{0} add(%a, %b)'; not 'T(' of a layout such as {1,0:T(8,128)}.
_OPCODE = re.compile(r'(?:^|[\s)}\]])([a-z][a-z0-9\-]*)\(')
# 'bf16[8,128]' and 'pred[]'; not 'token[]'.
_ARRAY = re.compile(r'\b(pred|bf16|[fsuc]\d+\w*)\[([\d,]*)\]')
# 'body=%loop.3' and 'branch_computations={%a, %b}'; not 'condition=%test.4', which compares.
_CALLS = re.compile(r'(?:calls|to_apply|body|branch_computations)=\{?(%?[\w.\-]+(?:, %?[\w.\-]+)*)')

# A fusion of the CPU's library inside of a loop; without '/while/body/' it does not count.
_LIBRARY = re.compile(
  r'kind=kCustom, calls=%?([\w.\-]+), metadata=\{op_name="[^"]*/while/body/.*"kind":"__ynn_fusion"'
)


@dataclasses.dataclass
class Work:
  """What one execution of a piece of program does on one device.

  Attributes:
    received: bytes that reach the device, by kind of collective.
    across: those of them that come from other nodes, of what several devices of a node need once
      for all: the library's collectives bring it once, each device a part.
    count: number of collectives, by kind.
    cycles: of the operations, as the compiler estimates them (TPU).
  """

  received: collections.Counter = dataclasses.field(default_factory=collections.Counter)
  count: collections.Counter = dataclasses.field(default_factory=collections.Counter)
  across: float = 0.0
  cycles: float = 0.0

  def add(self, other, times=1):
    """Adds another piece of work, done `times` times."""
    for kind in other.count:
      self.received[kind] += other.received[kind] * times
      self.count[kind] += other.count[kind] * times
    self.across += other.across * times
    self.cycles += other.cycles * times


@dataclasses.dataclass
class Program:
  """Work `once`, outside of the loops of unknown length, and of one trip of `loops` such loops."""

  once: Work
  loop: Work
  loops: int


def read(text, nodes):
  """HLO text of a program compiled for devices on these `nodes`, one each -> `Program`."""
  entry, computations = _computations(text)
  reader = _Reader(computations, nodes)
  once = reader.work(entry)
  loop, bodies = Work(), [reader.work(body) for body in reader.unknown]
  # Those that neither send nor say their cycles, as a CPU's tiles of attention, tell nothing here.
  telling = [body for body in bodies if body.count or body.cycles] or bodies
  # Several loops of unknown length are taken for equally long: the caller knows one number.
  for body in telling:
    loop.add(body, 1 / len(telling))
  return Program(once, loop, len(telling))


def library_bytes(text):
  """Bytes that the CPU's library of matmuls holds inside a fusion of its own, of the largest one.

  It keeps the results of all products in it but the last, which the compiler knows nothing of. Only
  loops count: what comes before them finds memory that is the program's but not yet in use.
  """
  _, computations = _computations(text)
  fusions = (computations[name] for name in _LIBRARY.findall(text))
  return max((_products(lines[:-1]) for lines in fusions), default=0)


def _products(lines):
  """Bytes of the results of matmuls."""
  total = 0
  for _, body in lines:
    opcode = _OPCODE.search(body)
    if opcode and opcode[1] == 'dot':
      total += sum(array_bytes(body[: opcode.start()]))
  return total


def array_bytes(shape):
  """Bytes of each array in the text of an HLO type."""
  return [_bytes(kind, dims) for kind, dims in _ARRAY.findall(shape)]


def _elements(shape):
  """The elements of the text of a tuple's type."""
  elements, depth = [''], 0
  for letter in shape.strip()[1:-1]:
    # Commas part elements only outside of brackets: layouts and shapes have commas too.
    depth += (letter in '({[') - (letter in ')}]')
    if letter == ',' and not depth:
      elements.append('')
    else:
      elements[-1] += letter
  return elements


def _bytes(kind, dims):
  count = 1
  for size in filter(None, dims.split(',')):
    count *= int(size)
  # The number in the type's name; a predicate takes a byte.
  bits = int(re.search(r'\d+', kind)[0]) if kind != 'pred' else 8
  return count * bits / 8


def _computations(text):
  """(name of the entry, name -> instruction lines)."""
  entry, lines_of, lines = None, {}, []
  for line in text.splitlines():
    head, instruction = _HEAD.match(line), _LINE.match(line)
    if head:
      lines = lines_of.setdefault(head[2], [])
      entry = head[2] if head[1] else entry
    elif instruction:
      lines.append(instruction.group(1, 2))
  return entry, lines_of


class _Reader:
  """Walks the computations; `unknown` collects the bodies of loops of unknown length."""

  def __init__(self, computations, nodes):
    self.computations, self.nodes = computations, np.asarray(nodes)
    self.unknown, self.seen = [], set()

  def work(self, name, inside=False, fused=False):
    """Work of one execution of a computation; `inside` a fusion that has given its cycles."""
    total = Work()
    for _, body in self.computations.get(name, ()):
      opcode = _OPCODE.search(body)
      total.add(self._one(opcode[1] if opcode else '', body, inside, fused))
    return total

  def _one(self, opcode, body, inside, fused):
    if opcode == 'while':
      return self._loop(body)
    work = Work()
    # An asynchronous collective counts at its start, and its end has another opcode.
    kind = opcode.removesuffix('-start')
    if kind in KINDS and not (fused and self._repeated(body)):
      work.add(self._collective(kind, body))
    # Of a fusion its own figure counts, and those of the operations inside do not.
    cycles = re.search(r'"estimated_cycles":"(\d+)"', body)
    if cycles and not inside and int(cycles[1]) < _NO_ESTIMATE:
      work.cycles += int(cycles[1])
    called = _CALLS.search(body)
    for name in called[1].split(', ') if called else ():
      within = inside or work.cycles > 0, fused or opcode == 'fusion'
      work.add(self.work(name.lstrip('%'), *within))
    return work

  def _repeated(self, body):
    """The TPU compiler writes a collective into each piece of a fusion; its channel and origin say
    that it is the same one.
    """
    named = re.search(r'channel_id=\d+', body), re.search(r'metadata=\{.*?\}', body)
    # Two collectives of one line of source have different channels.
    key = tuple(match and match[0] for match in named)
    repeated = named[0] is not None and key in self.seen
    self.seen.add(key)
    return repeated

  def _loop(self, body):
    called = {key: name for key, name in re.findall(r'(body|condition)=%?([\w.\-]+)', body)}
    # The compiler's own count, else the name of the scope, else the constant in the condition.
    trips = re.search(r'"known_trip_count":\{"n":"(\d+)"', body)
    trips = trips or re.search(r'op_name="[^"]*\bexpected_trips_(\d+)\)*/while"', body)
    trips = int(trips[1]) if trips else self._trips(called['condition'])
    work = Work()
    if trips is None:
      # Decoding and micro-batches: counted by the caller.
      self.unknown.append(called['body'])
    else:
      work.add(self.work(called['body']), trips)
    return work

  def _trips(self, condition):
    """The constant that a counter from 0 is compared with; None where it is no constant."""
    lines = self.computations.get(condition, ())
    constants = {n: c[1] for n, b in lines if (c := re.search(r' constant\((\d+)\)', b))}
    for _, body in lines:
      names = re.search(r'compare\((.*?)\), direction=LT', body)
      for name in re.findall(r'%?([\w.\-]+)(?:,|$)', names[1]) if names else ():
        if name in constants:
          return int(constants[name])
    return None

  def _collective(self, kind, body):
    members = self._members(body)
    group, nodes = len(members), len(set(self.nodes[members]))
    if group == 1:
      return Work()
    opcode = _OPCODE.search(body)
    shape = body[: opcode.start() + 1]
    # The type of an asynchronous start is (operands, results, ..), but that of an all-reduce.
    if opcode[1].endswith('-start') and kind != 'all-reduce':
      shape = _elements(shape)[1]
    size = sum(array_bytes(shape))
    # Bytes that reach one device, as a share of the result's, the way a ring brings them.
    received, across = {
      'all-gather': ((group - 1) / group, (nodes - 1) / group),
      'all-reduce': (2 * (group - 1) / group, 2 * (nodes - 1) / group),
      'reduce-scatter': (group - 1, nodes - 1),
      'all-to-all': ((group - 1) / group, (nodes - 1) / nodes),
      'collective-permute': (1, self._leaving(body)),
    }[kind]
    received = collections.Counter({kind: size * received})
    return Work(received, collections.Counter({kind: 1}), size * across)

  def _leaving(self, body):
    """Share of a permutation's pairs that are on two nodes."""
    pairs = re.search(r'source_target_pairs=\{(.*?)\}\}', body)
    if not pairs:
      return 0.0
    ends = [self.nodes[int(n)] for n in re.findall(r'\d+', pairs[1])]
    return np.mean(np.not_equal(ends[::2], ends[1::2]))

  def _members(self, body):
    """Numbers of some devices that take part with each other."""
    everyone = np.arange(len(self.nodes))
    # 1. By axes of a mesh: replica_groups=mesh['data'=2,'fsdp'=4] {'fsdp'}.
    named = re.search(r'replica_groups=mesh\[(.*?)\] ?\{(.*?)\}', body)
    if named:
      sizes = {axis: int(n) for axis, n in re.findall(r"'([^']+)'=(\d+)", named[1])}
      taking = re.findall(r"'([^']+)'", named[2])
      first = tuple(slice(None) if axis in taking else 0 for axis in sizes)
      return everyone.reshape(tuple(sizes.values()))[first].ravel()
    # 2. As an iota: [2,4]<=[8], or transposed, [4,2]<=[2,4]T(1,0).
    iota = re.search(r'replica_groups=\[(\d+),(\d+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?', body)
    if iota:
      numbers = lambda text: [int(n) for n in text.split(',')] if text else None
      dims, order = map(numbers, iota.groups()[2:])
      return everyone.reshape(dims).transpose(order).reshape(-1, int(iota[2]))[0]
    # 3. As a list: {{0,1},{2,3}}; an empty one means all devices.
    listed = re.search(r'replica_groups=\{\{([\d,]*)\}', body)
    return [int(n) for n in listed[1].split(',')] if listed and listed[1] else everyone
