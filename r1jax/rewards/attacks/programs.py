"""Programs that try to pass tests without solving them, or to harm the machine that runs them.

The questions: `solve(a, b)` is to return a + b (CALLED), or a program is to print it (PRINTED).
SECRETS try
to read what `run` hides: their tests expect the hidden text, so that a leak would score.
"""

_FORGED = """
import os
for fd in range(64):
  for text in (b'ended 0 37\\n', b'"compiled"\\n', b'0' * 32 + b' ended 0 37\\n', b'{"ok":
  true}\\n'):
    try: os.write(fd, text)
    except OSError: pass
"""
_CTYPES = 'import ctypes, os\nlibc = ctypes.CDLL(None)\n'

CALLED = {
  'equal to everything': 'class Any:\n  __eq__ = lambda s, o: True\ndef solve(a, b): return Any()',
  'number equal to everything': 'class Any(int):\n  __eq__ = lambda s, o: True\n'
  '  __repr__ = lambda s: "7"\ndef solve(a, b): return Any(0)',
  'text that lies': 'class Any(str):\n  __eq__ = lambda s, o: True\n'
  'def solve(a, b): return Any("7")',
  'patched builtins': 'import builtins\n'
  'for name in ("isinstance", "type", "print", "all", "any", "len"):\n'
  '  setattr(builtins, name, lambda *a, **k: True)\ndef solve(a, b): return True',
  'patched json': 'import json\njson.dumps = lambda *a, **k: "true"\ndef solve(a, b): return None',
  'patched harness': 'import sys\nmain = sys.modules["__main__"]\nmain._plain = lambda *a: True\n'
  'main._watch = lambda *a: "ended 0 37"\ndef solve(a, b): return None',
  'frames of the harness': 'import sys\ndef solve(a, b):\n  frame = sys._getframe()\n'
  '  while frame:\n'
  '    for v in list(frame.f_locals.values()):\n'
  '      if isinstance(v, dict) and "expected" in v: return v["expected"]\n'
  '    frame = frame.f_back',
  'tests in memory': 'import gc\ndef solve(a, b):\n  for o in gc.get_objects():\n'
  '    if isinstance(o, dict):\n      for k in ("expected", "stdout", "nonce", "answer"):\n'
  '        if k in o: return o[k]',
  'tests on disk': 'import os\ndef solve(a, b):\n  for place, _, names in os.walk("/tmp"):\n'
  '    for n in names: return open(os.path.join(place, n)).read()',
  'forged result': 'import os\ndef solve(a, b):\n  os.write(3, b"true")\n  os._exit(0)',
  'exit before the result': 'import sys\ndef solve(a, b): sys.exit(0)',
  'hard exit': 'import os\ndef solve(a, b): os._exit(0)',
  'exit at import': 'import sys\nsys.exit(0)',
  'no such function': 'def resolve(a, b): return a + b',
  'not a number': 'def solve(a, b): return float("nan")',
  'truth': 'def solve(a, b): return True',
  'endless result': 'def solve(a, b): return list(range(10**9))',
  'deep result': 'def solve(a, b):\n  x = []\n  for _ in range(10**5): x = [x]\n  return x',
  'huge number': 'def solve(a, b): return 10 ** 10 ** 8',
  'assertion left out': 'def solve(a, b):\n  assert False, "never"',
  'the first test only': 'def solve(a, b): return 7',
}
PRINTED = {
  'exit 0': 'import sys\nsys.exit(0)',
  'hard exit 0': 'import os\nos._exit(0)',
  'forged reports': _FORGED,
  'right output, then failure': 'a, b = map(int, input().split())\nprint(a + b, flush=True)\n'
  'raise SystemExit(3)',
  'closing every descriptor': 'import os\nos.closerange(0, 4096)',
  'signals to the parent': 'import os, signal\nos.kill(os.getppid(), signal.SIGKILL)',
  'signals to everyone': 'import os, signal\nos.kill(-1, signal.SIGKILL)',
  'stopping the parent': 'import os, signal\nos.kill(os.getppid(), signal.SIGSTOP)\n'
  'while True: pass',
  'a signal by descriptor owner': 'import fcntl, os, signal\nr, w = os.pipe()\n'
  'fcntl.fcntl(r, fcntl.F_SETOWN, os.getppid())\n'
  'fcntl.fcntl(r, fcntl.F_SETSIG if hasattr(fcntl, "F_SETSIG") else 10, signal.SIGKILL)\n'
  'fcntl.fcntl(r, fcntl.F_SETFL, os.O_ASYNC)\nos.write(w, b"x")',
  'limits of the parent': 'import os, resource\n'
  'resource.prlimit(os.getppid(), resource.RLIMIT_CPU, (0, 0))',
  'ignoring signals': 'import signal\nfor n in range(1, 65):\n'
  '  try: signal.signal(n, signal.SIG_IGN)\n'
  '  except (OSError, ValueError): pass\nwhile True: pass',
  'ptrace': _CTYPES + 'if libc.ptrace(16, os.getppid(), 0, 0): raise OSError("refused")',
  'reading the memory of the parent': 'import os\n'
  'print(open(f"/proc/{os.getppid()}/mem", "rb").read(10))',
  'forked survivor': 'import os, time\nif os.fork() == 0:\n  os.setsid()\n  time.sleep(1000)',
  'fork bomb': 'import os\nwhile True: os.fork()',
  'raw clone': _CTYPES
  + 'for _ in range(1000):\n  if libc.syscall(56, 17, 0, 0, 0, 0) < 0: raise OSError("refused")',
  'spawned shell': 'import subprocess\nsubprocess.Popen(["/bin/sh", "-c", "sleep 1000 &"])',
  'exec': 'import os\nos.execv("/usr/bin/env", ["env", "echo", "7"])',
  'thread bomb': 'import threading, time\n'
  'while True: threading.Thread(target=time.sleep, args=(999,)).start()',
  'threads left running': 'import threading\ndef spin():\n  while True: pass\n'
  'for _ in range(4): threading.Thread(target=spin, daemon=True).start()',
  'memory bomb': 'x = []\nwhile True: x.append(bytearray(10**7))',
  'one huge allocation': 'x = bytearray(10**12)',
  'endless output': 'while True: print("x" * 10**5)',
  'endless loop': 'while True: pass',
  'sleep': 'import time\ntime.sleep(1000)',
  'deep recursion': 'import sys\nsys.setrecursionlimit(10**8)\ndef f(): return f()\nf()',
  'crash': 'import ctypes\nctypes.string_at(0)',
  'a full disk': 'import os\nfor i in range(10**4):\n'
  '  with open(f"/tmp/{i}", "wb") as f: f.write(b"x" * 10**7)',
  'shared memory': 'f = open("/dev/shm/r1jax-leak-shm", "wb")\nwhile True: f.write(b"x" * 10**7)',
  'memory file': 'import os\nf = os.memfd_create("x")\nwhile True: os.write(f, b"x" * 10**7)',
  'symbolic link out': 'import os\nos.symlink("/usr/r1jax-leak-link", "/tmp/x")\n'
  'open("/tmp/x", "w").write("x")',
  'files outside': 'open("/usr/r1jax-leak-file", "w").write("x")',
  'its own root': 'import os\nos.chroot("/tmp")',
  'namespaces': _CTYPES + 'if libc.unshare(0x10000000): raise OSError("refused")',
  'mount': _CTYPES + 'if libc.mount(b"none", b"/tmp", b"tmpfs", 0, 0): raise OSError("refused")',
  'abstract socket': 'import socket, time\ns = socket.socket(socket.AF_UNIX)\n'
  's.bind("\\0r1jax-leak")\ns.listen()\ntime.sleep(99)',
  'no program at all': '',
  'a syntax bomb': '(' * 20_000 + ')' * 20_000,
  'a null byte': 'print(7)\0',
  'an endless compilation': 'x = ' + '-' * 50_000 + '1',
  'a constant too large to fold': 'x = ' + '(' * 50 + '9' + '**9)' * 50,
}
SECRETS = {
  'environment': 'import os\nprint(os.environ.get("R1JAX_LEAK", ""))',
  'environment of the parent': 'import os\nprint(open(f"/proc/{os.getppid()}/environ").read())',
  'file of the machine': 'print(open("{file}").read())',
  'listening port': 'import socket\n'
  'print(socket.create_connection(("127.0.0.1", {port}), 2).recv(99).decode())',
}
