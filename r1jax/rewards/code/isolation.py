"""The bubblewrap command line: what a program's process can see, and as which user it runs.

Inside: no network, an empty read-only root with /usr, the interpreter and NumPy, a private /tmp of
bounded size, no /proc, its own pid, ipc, network and uts namespaces, no capabilities. The user
inside is never the one who trains: a root inside would own the machine's devices, and could read
what only root may read.
"""

import ctypes
import dataclasses
import functools
import importlib.util
import os
import pathlib
import secrets
import shutil
import signal
import stat
import subprocess
import sys

INSTALL = 'apt-get install -y bubblewrap'
PACKAGES = '/packages'  # where programs find the packages that are given to them
GIVEN = ('numpy',)
DEVICES = ('/dev/null', '/dev/zero', '/dev/urandom')
_USERS = (61184, 65519)  # systemd's range for users of a service that it makes up as it starts
_INSIDE = str(_USERS[0])  # not 65534, as which files of users outside the namespace appear
_PROBE_SECONDS = 20.0


@dataclasses.dataclass(frozen=True)
class Way:
  """How a sandbox comes by a user of its own.

  Attributes:
    options: of bubblewrap, what it unshares and keeps.
    outside: bubblewrap itself is started as that user.
    inside: the harness changes to that user before it reads a program.
  """

  options: tuple
  outside: bool = False
  inside: bool = False


_NAMESPACE = ('--unshare-all', '--unshare-user', '--disable-userns', '--cap-drop', 'ALL')
_NAMESPACE += ('--uid', _INSIDE, '--gid', _INSIDE)
_SWITCH = ('--unshare-ipc', '--unshare-pid', '--unshare-net', '--unshare-uts')
_SWITCH += ('--unshare-cgroup-try', '--cap-drop', 'ALL')
_SWITCH += ('--cap-add', 'CAP_SETUID', '--cap-add', 'CAP_SETGID')
MAPPED = Way(_NAMESPACE)
ROOT_WAYS = (Way(_SWITCH, inside=True), Way(_NAMESPACE, outside=True))


class NoWayError(RuntimeError):
  """Bubblewrap cannot give a program of root a user of its own."""


def lacking():
  """The first of what the kernel must have that it has not, by name; '' on Linux."""
  there = {
    'pidfd_open': hasattr(os, 'pidfd_open') and hasattr(signal, 'pidfd_send_signal'),
    'prctl': hasattr(ctypes.CDLL(None), 'prctl'),
  }
  return next((name for name, present in there.items() if not present), '')


def available():
  """Path of bubblewrap, or None."""
  return shutil.which('bwrap')


def way(bubblewrap):
  """The `Way` for this process's user; raises NoWayError with what bubblewrap said.

  An ordinary user is mapped to another in a namespace. Root, mapped like that, would still own
  root's files: it changes to another user inside, or starts bubblewrap as one where a container
  keeps root from mounting.
  """
  return MAPPED if os.geteuid() else _root_way(bubblewrap)


@functools.cache
def _root_way(bubblewrap):
  said = []
  for one in ROOT_WAYS:
    wrong = _tried(bubblewrap, one)
    if not wrong:
      return one
    said.append(wrong)
  raise NoWayError(
    'programs of root must run as another user, and bubblewrap manages neither to change inside '
    f'nor to start as one ({"; ".join(said)}). Train as an ordinary user, or give root '
    'CAP_SYS_ADMIN and CAP_NET_ADMIN, or allow user namespaces'
  )


def _tried(bubblewrap, one):
  """'' when a sandbox starts in the `Way` `one`, else the last words of bubblewrap."""
  user = new_user()
  python = [interpreter(), '-I', '-S', '-c', _probe(one, user)]
  words = [*command(bubblewrap, one, 1 << 20), *python]
  try:
    done = subprocess.run(
      words, capture_output=True, text=True, env={}, timeout=_PROBE_SECONDS, **owner(one, user)
    )
  except (OSError, subprocess.TimeoutExpired) as error:
    return str(error)[-200:]
  if done.stdout.strip() == 'started':
    return ''
  return (done.stderr.strip().splitlines() or [f'status {done.returncode}'])[-1]


def _probe(one, user):
  change = f'os.setgroups([]); os.setgid({user}); os.setuid({user}); ' if one.inside else ''
  # Importing afterwards proves that this user can read the library.
  return f'import os; {change}import json; open("/tmp/x", "w"); print("started")'


def owner(one, user):
  """Keyword arguments of `subprocess.Popen` that start bubblewrap in the `Way` `one`."""
  return {'user': user, 'group': user, 'extra_groups': []} if one.outside else {}


def new_user():
  """A user id that nobody has; a new one per sandbox, so that none counts another's threads."""
  return _USERS[0] + secrets.randbelow(_USERS[1] - _USERS[0])


def interpreter():
  """The bare interpreter that this environment was made from."""
  return os.path.realpath(sys._base_executable)


def command(bubblewrap, one, tmp_bytes):
  """The bubblewrap command line up to the command it runs."""
  words = [bubblewrap, *one.options, '--die-with-parent', '--new-session', '--clearenv']
  words += ['--hostname', 'sandbox']
  for place in ('/usr', '/lib', '/lib64', '/bin'):
    if os.path.islink(place):
      words += ['--symlink', os.readlink(place), place]
    elif os.path.isdir(place):
      words += ['--ro-bind', place, place]
  if not pathlib.Path(sys.base_prefix).is_relative_to('/usr'):
    words += [*_open_parents(sys.base_prefix), '--ro-bind', sys.base_prefix, sys.base_prefix]
  words += ['--perms', '0755', '--dir', PACKAGES]
  for place in packages():
    words += ['--ro-bind', place, f'{PACKAGES}/{os.path.basename(place)}']
  words += ['--perms', '0755', '--dir', '/dev']
  for device in DEVICES:
    words += ['--dev-bind', device, device]
  words += ['--perms', '1777', '--size', str(tmp_bytes), '--tmpfs', '/tmp']
  return [*words, '--remount-ro', '/', '--chdir', '/tmp']


def _open_parents(place):
  # Bubblewrap makes missing folders that only root can pass: those on the way are made here.
  for parent in reversed(pathlib.Path(place).parents[:-1]):
    yield from ('--perms', '0755', '--dir', str(parent))


@functools.cache
def packages():
  """Folders of the packages in `GIVEN` that this environment has, with the libraries they need."""
  folders = []
  for name in GIVEN:
    spec = importlib.util.find_spec(name)
    folder = os.path.dirname(spec.origin) if spec and spec.origin else ''
    # A wheel keeps its shared libraries beside it, in NAME.libs.
    folders += [place for place in (folder, f'{folder}.libs') if folder and os.path.isdir(place)]
  return tuple(folders)


def closed_devices():
  """Devices of the machine that not everybody may read and write, each with its mode."""
  closed = []
  for device in DEVICES:
    mode = os.stat(device).st_mode
    if not stat.S_ISCHR(mode) or mode & 0o666 != 0o666:
      closed.append(f'{device} (mode {stat.S_IMODE(mode):03o})')
  return closed
