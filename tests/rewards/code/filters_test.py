"""The seccomp filter, run step by step by an interpreter of its own, on both architectures."""

import os
import struct
import types

import pytest

from r1jax.rewards.code import filters

ALLOW, EPERM, ENOSYS, KILL = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000
MACHINES = {'x86_64': 0xC000003E, 'aarch64': 0xC00000B7}


def _verdict(steps, number, audit, arguments=()):
  """What the kernel would return for a call: classic BPF on the fields of its seccomp_data."""
  data = struct.pack('IIQ6Q', number, audit, 0, *arguments, *[0] * (6 - len(arguments)))
  at, held = 0, 0
  while True:
    code, true, false, value = steps[at]
    at += 1
    if code == 0x06:
      return value
    if code == 0x20:
      held = struct.unpack_from('I', data, value)[0]
    else:
      said = {0x15: held == value, 0x35: held >= value, 0x45: bool(held & value)}[code]
      at += true if said else false


@pytest.fixture(params=sorted(MACHINES))
def ask(request, monkeypatch):
  """The filter of one architecture as a function of a call's two numbers and its arguments."""
  monkeypatch.setattr(os, 'uname', lambda: types.SimpleNamespace(machine=request.param))
  steps = list(struct.iter_unpack('HBBI', filters.program()))
  column, audit = sorted(MACHINES, reverse=True).index(request.param), MACHINES[request.param]
  return lambda numbers, *arguments: _verdict(steps, numbers[column], audit, arguments)


@pytest.mark.parametrize(
  'numbers',
  [(91, 52), (268, 53), (452, 452), (260, 54), (280, 88), (59, 221), (62, 129), (41, 198),
   (272, 97), (141, 140), (425, 425), (259, 33), (319, 279), (42, 203), (49, 200), (50, 201),
   (43, 202), (288, 242), (46, 211), (307, 269), (47, 212), (299, 243), (54, 208)],
)  # fmt: skip
def test_what_reaches_other_processes_files_and_the_system_is_refused(ask, numbers):
  assert ask(numbers) == EPERM


@pytest.mark.parametrize(
  'numbers', [(0, 63), (1, 64), (9, 222), (12, 214), (231, 94), (202, 98), (257, 56), (39, 172)]
)
def test_reading_writing_memory_and_leaving_are_allowed(ask, numbers):
  assert ask(numbers) == ALLOW


def test_threads_may_be_made_and_processes_not(ask):
  assert ask((56, 220), 0x10000 | 0x100) == ALLOW
  assert ask((56, 220), 0x100) == EPERM and ask((56, 220), 17) == EPERM
  assert ask((435, 435)) == ENOSYS


def test_commands_that_name_whom_to_signal_are_refused_and_others_not(ask):
  fcntl, ioctl, prlimit = (72, 25), (16, 29), (302, 261)
  assert [ask(fcntl, 5, command) for command in (8, 10, 15)] == [EPERM] * 3
  assert [ask(fcntl, 8, command) for command in (1, 3, 4, 1031)] == [ALLOW] * 4
  assert ask(ioctl, 0, 0x8901) == ask(ioctl, 0, 0x5412) == EPERM and ask(ioctl, 0, 0x5401) == ALLOW
  assert ask(prlimit, 0) == ALLOW and ask(prlimit, 1) == EPERM


def test_the_one_pair_of_sockets_is_of_local_streams(ask):
  pair, stream, datagram, flags = (53, 199), 1, 2, 0x80800
  assert ask(pair, 1, stream) == ask(pair, 1, stream | flags) == ALLOW
  for family, kind in ((1, datagram), (1, 5), (1, 3), (1, 0), (2, stream), (16, stream)):
    assert ask(pair, family, kind) == ask(pair, family, kind | flags) == EPERM


@pytest.mark.parametrize('numbers', [(44, 206), (45, 207)])
def test_sockets_take_bytes_without_a_way_of_their_own(ask, numbers):
  assert ask(numbers, 5, 0, 9, 0) == ask(numbers, 5, 0, 9, 0x4040) == ALLOW
  assert ask(numbers, 5, 0, 9, 1) == ask(numbers, 5, 0, 9, 0x4041) == EPERM


def test_a_limit_of_the_stack_is_passed_over_and_others_are_set(ask):
  prlimit, stack, memory = (302, 261), 3, 9
  passed_over = 0x00050000
  assert ask(prlimit, 0, stack, 0x1000) == ask(prlimit, 0, stack, 1 << 40) == passed_over
  assert ask(prlimit, 0, stack, 0) == ask(prlimit, 0, memory, 0x1000) == ALLOW
  assert ask(prlimit, 7, stack, 0x1000) == EPERM


def test_the_calls_of_other_tables_are_refused():
  steps = list(struct.iter_unpack('HBBI', filters.program()))
  assert _verdict(steps, 1, 0x40000003) == KILL  # the 32-bit table, entered by int 80
  if os.uname().machine == 'x86_64':
    assert _verdict(steps, 0x40000000 | 57, MACHINES['x86_64']) == EPERM


def test_an_architecture_without_a_table_has_no_filter(monkeypatch):
  monkeypatch.setattr(os, 'uname', lambda: types.SimpleNamespace(machine='riscv64'))
  assert filters.program() is None
