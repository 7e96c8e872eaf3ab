"""The seccomp filter around a program: which system calls it is refused, and with which arguments.

Denied are new processes, signals, sockets and tracing, and what reaches beyond the program's own
files and memory: modes, owners and times of files (a device is the machine's own even inside), the
priority and limits of other processes, the flushing of all disks. asyncio's event loop has its pair
of connected sockets, which take bytes and nothing else: they reach nobody outside the process. A
program may set the size of its stack, as many do first of all; nothing comes of it.
"""

import os
import struct

# Each call with its number on x86_64 and on aarch64, - where the architecture has no such call.
_OTHER_PROCESSES = """
  fork 57 -, vfork 58 -, execve 59 221, execveat 322 281, ptrace 101 117,
  process_vm_readv 310 270, process_vm_writev 311 271, kill 62 129, tkill 200 130,
  tgkill 234 131, rt_sigqueueinfo 129 138, rt_tgsigqueueinfo 297 240, pidfd_send_signal 424 424,
  pidfd_open 434 434, pidfd_getfd 438 438, kcmp 312 272, process_madvise 440 440,
  process_mrelease 448 448, migrate_pages 256 238, move_pages 279 239, setsid 112 157,
  setpgid 109 154, setpriority 141 140, ioprio_set 251 30, sched_setparam 142 118,
  sched_setscheduler 144 119, sched_setaffinity 203 122, sched_setattr 314 274
"""
_CHANNELS = """
  socket 41 198, connect 42 203, bind 49 200, listen 50 201, accept 43 202, accept4 288 242,
  sendmsg 46 211, sendmmsg 307 269, recvmsg 47 212, recvmmsg 299 243, setsockopt 54 208,
  memfd_create 319 279, memfd_secret 447 447, shmget 29 194,
  msgget 68 186, semget 64 190, mq_open 240 180, keyctl 250 219, add_key 248 217,
  request_key 249 218
"""
_SYSTEM = """
  unshare 272 97, setns 308 268, mount 165 40, umount2 166 39, open_tree 428 428,
  move_mount 429 429, fsopen 430 430, fspick 433 433, mount_setattr 442 442, pivot_root 155 41,
  chroot 161 51, bpf 321 280, perf_event_open 298 241, userfaultfd 323 282,
  io_uring_setup 425 425, io_uring_enter 426 426, fanotify_init 300 262, personality 135 92,
  open_by_handle_at 304 265, sync 162 81, syncfs 306 267
"""
_FILES = """
  chmod 90 -, fchmod 91 52, fchmodat 268 53, fchmodat2 452 452, chown 92 -, fchown 93 55,
  lchown 94 -, fchownat 260 54, utime 132 -, utimes 235 -, futimesat 261 -, utimensat 280 88,
  setxattr 188 5, lsetxattr 189 6, fsetxattr 190 7, removexattr 197 14, lremovexattr 198 15,
  fremovexattr 199 16, setxattrat 463 463, removexattrat 466 466, file_setattr 469 469,
  mknod 133 -, mknodat 259 33
"""
_DENIED = (_OTHER_PROCESSES, _CHANNELS, _SYSTEM, _FILES)
_F_SETOWN, _F_SETSIG, _F_SETOWN_EX = 8, 10, 15
_FIOSETOWN, _SIOCSPGRP, _TIOCSTI, _TIOCLINUX = 0x8901, 0x8902, 0x5412, 0x541C
_FCNTL, _IOCTL, _PRLIMIT = (72, 25), (16, 29), (302, 261)
_SOCKETPAIR, _SENDTO, _RECVFROM = (53, 199), (44, 206), (45, 207)
_AF_UNIX, _SOCK_STREAM, _SOCK_FLAGS = 1, 1, 0x80800  # SOCK_CLOEXEC, SOCK_NONBLOCK
_MSG_FLAGS = 0x4040  # MSG_DONTWAIT, MSG_NOSIGNAL
_RLIMIT_STACK = 3
# Commands that name whom a descriptor signals, or that type into a terminal.
_DENIED_COMMANDS = (
  (_FCNTL, (_F_SETOWN, _F_SETSIG, _F_SETOWN_EX)),
  (_IOCTL, (_FIOSETOWN, _SIOCSPGRP, _TIOCSTI, _TIOCLINUX)),
)
_MACHINES = {'x86_64': (0, 0xC000003E), 'aarch64': (1, 0xC00000B7)}
_CLONE, _CLONE3, _CLONE_THREAD = (56, 220), 435, 0x10000
_FIRST_OF_X32 = 0x40000000
_EPERM, _ENOSYS = 1, 38
# Opcodes of classic BPF: load a word, compare (equal, at least, any bit), return.
_LOAD, _EQUAL, _AT_LEAST, _BITS, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _FAIL, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
# Offsets in the kernel's seccomp_data.
_NUMBER, _AUDIT, _ARGUMENTS = 0, 4, 16


def program():
  """The filter as bytes of `sock_filter`s, or None on an architecture without a table."""
  if os.uname().machine not in _MACHINES:
    return None
  column, audit = _MACHINES[os.uname().machine]
  refuse, allow = (_RETURN, 0, 0, _FAIL | _EPERM), (_RETURN, 0, 0, _ALLOW)
  steps = [(_LOAD, 0, 0, _AUDIT), (_EQUAL, 1, 0, audit), (_RETURN, 0, 0, _KILL)]
  steps += [(_LOAD, 0, 0, _NUMBER), (_AT_LEAST, 0, 1, _FIRST_OF_X32), refuse]
  for call in ','.join(_DENIED).split(','):
    number = call.split()[1 + column]
    if number != '-':
      steps += [(_EQUAL, 0, 1, int(number)), refuse]

  # Calls that depend on an argument: each group loads it, so it must end in a return.
  for numbers, commands in _DENIED_COMMANDS:
    tests = [step for command in commands for step in ((_EQUAL, 0, 1, command), refuse)]
    steps += _group(numbers[column], 1, [*tests, allow])
  steps += _group(_PRLIMIT[column], 0, _own_limits(refuse, allow))
  steps += _group(_SOCKETPAIR[column], 0, _connected_pair(refuse, allow))
  for numbers in (_SENDTO, _RECVFROM):
    steps += _group(numbers[column], 3, [(_BITS, 0, 1, _other(_MSG_FLAGS)), refuse, allow])

  # glibc falls back from clone3, whose flags a filter cannot see, to clone, whose flags it can.
  steps += [(_EQUAL, 0, 1, _CLONE3), (_RETURN, 0, 0, _FAIL | _ENOSYS)]
  steps += _group(_CLONE[column], 0, [(_BITS, 1, 0, _CLONE_THREAD), refuse, allow])
  return b''.join(struct.pack('HBBI', *step) for step in [*steps, allow])


def _own_limits(refuse, allow):
  """Steps for limits: those of other processes are refused, a new one of the stack is passed over.

  The stack can't grow beyond the hard limit, and of one that is refused programs would end.
  """
  done = (_RETURN, 0, 0, _FAIL)  # with error 0: the call seems to work
  steps = [(_EQUAL, 1, 0, 0), refuse, _argument(1), (_EQUAL, 1, 0, _RLIMIT_STACK), allow]
  for half in (0, 4):  # of the pointer to the new limit; without one it is a question
    steps += [_argument(2, half), (_EQUAL, 1, 0, 0), done]
  return [*steps, allow]


def _connected_pair(refuse, allow):
  """Steps for a pair of sockets: local streams only, as datagrams could be sent to anybody."""
  kinds = [(_BITS, 0, 1, _other(_SOCK_STREAM | _SOCK_FLAGS)), refuse]
  kinds += [(_BITS, 1, 0, _SOCK_STREAM), refuse, allow]
  return [(_EQUAL, 1, 0, _AF_UNIX), refuse, _argument(1), *kinds]


def _other(bits):
  """All bits of a word but these."""
  return 0xFFFFFFFF & ~bits


def _argument(number, half=0):
  """The step that loads an argument's low word, or its high one (half 4)."""
  return (_LOAD, 0, 0, _ARGUMENTS + 8 * number + half)


def _group(number, argument, steps):
  """Steps for one call, on the low word of its argument."""
  return [(_EQUAL, 0, 1 + len(steps), number), _argument(argument), *steps]
