"""More programs that reach out of the sandbox or for the reward; `programs` has the questions."""


def _cut(text):
  blocks = (block.split('\n', 1) for block in text.split('== ')[1:])
  return {name: program for name, program in blocks}


CALLED = _cut(r"""
== lying eq list
class L(list):
  __eq__=lambda s,o:True
  __iter__=lambda s:iter([7])
def solve(a,b): return L()
== lying hash dict
class D(dict):
  __eq__=lambda s,o:True
  __hash__=lambda s:7
  def items(s): return []
def solve(a,b): return D()
== lying int index
class I:
  __index__=lambda s:7
  __int__=lambda s:7
  __float__=lambda s:7.0
  __eq__=lambda s,o:True
def solve(a,b): return I()
== float int nan
def solve(a,b): return float("inf")
== nan list
def solve(a,b): return [float("nan")]
== json encoder patched
import json.encoder as e
e.JSONEncoder.encode=lambda s,o:"7"
e.JSONEncoder.iterencode=lambda *a,**k:iter(["7"])
def solve(a,b): return object()
== inspect stack
import inspect
def solve(a,b):
  for f in inspect.stack():
    for k,v in f.frame.f_locals.items():
      if k in("expected","nonce"): return v
  return [sorted(f.frame.f_locals) for f in inspect.stack()][1]
== gc strings
import gc
def solve(a,b):
  return [o for o in gc.get_objects() if isinstance(o,code.StdinTest)]
== settrace
import sys
def t(f,e,a):
  if "report" in f.f_locals: f.f_locals["report"]=b"7"
  return t
sys.settrace(t)
sys.setprofile(t)
def solve(a,b): return 0
== import hook
import builtins
o=builtins.__import__
def h(n,*a,**k):
  m=o(n,*a,**k)
  if n=="json": m.dumps=lambda *a,**k:"7"
  return m
builtins.__import__=h
def solve(a,b): return None
== atexit print
import atexit,os
atexit.register(lambda: os.write(3,b"7"))
def solve(a,b): return None
== write fds
import os
def solve(a,b):
  for fd in range(256):
    try: os.write(fd,b"7")
    except OSError: pass
  return None
== raise Any
class E(BaseException):
  code=0
def solve(a,b): raise E
== SystemExit in solve
def solve(a,b): raise SystemExit(0)
== generator
def solve(a,b): yield a+b+1
== bool
def solve(a,b): return a+b==a+b
== str
def solve(a,b): return str(a+b)
== huge str int
import sys
sys.set_int_max_str_digits(0)
def solve(a,b): return 10**10**7
== self ref
def solve(a,b):
  x=[]
  x.append(x)
  return x
== memory in result
def solve(a,b): return ["x"*10**6]*10**6
== repr bomb
class R(str):
  def __repr__(s):
    while 1: pass
def solve(a,b): return {R("a"):R("b")}
== ctypes change int
import ctypes
ctypes.memset(id(3)+24,7,1)
def solve(a,b): return 0
== module __main__ swap
import sys,types
m=types.ModuleType("__main__")
m._plain=lambda *a:7
sys.modules["__main__"]=m
def solve(a,b): return 0
== sitecustomize
import sys
for p in sys.path:
  try: open(p+"/sitecustomize.py","w").write("x")
  except OSError: pass
def solve(a,b): return 0
== fd 3 dup
import os
os.dup2(1,3)
os.close(1)
def solve(a,b): return None
== truncated json
import os
def solve(a,b):
  os.write(3,b"7 ")
  os.write(3,b"{")
  return None
== two results
import os
def solve(a,b):
  os.write(3,b"7\n")
  return 0
""")
PRINTED = _cut(r"""
== proc
import os
for p in ("/proc/1/environ","/proc/self/environ","/proc/1/root/etc/passwd","/proc/self/fd"):
  try: print(open(p).read())
  except OSError as e: print(e)
== ld_preload
import os
os.environ["LD_PRELOAD"]="/tmp/x.so"
open("/tmp/x.so","wb").write(b"\x7fELF")
os.execve("/usr/bin/env",["env"],os.environ)
== double fork setsid
import os,time
if os.fork()==0:
  os.setsid()
  if os.fork()==0:
    time.sleep(1000)
  os._exit(0)
print(7)
== raw vfork
import ctypes
l=ctypes.CDLL(None)
if l.syscall(58)<0: raise OSError
print(7)
== clone3
import ctypes
l=ctypes.CDLL(None)
b=ctypes.create_string_buffer(88)
if l.syscall(435,b,88)<0: raise OSError("x")
print(0)
== posix_spawn
import os
os.posix_spawn("/bin/sh",["sh","-c","sleep 1000"],{})
print(0)
== os.system
import os
print(os.system("echo 7; sleep 99 &"))
== popen
import os
print(os.popen("expr 3 + 4").read())
== multiprocessing
import multiprocessing as m,time
p=m.Process(target=time.sleep,args=(99,))
p.start()
print(7)
== stderr flood
import sys
while True: sys.stderr.write("x"*10**6)
== stderr raw flood
import os
while True: os.write(2,b"x"*10**6)
== stdout thread after end
import threading,time
def f():
  while 1: print(7)
threading.Thread(target=f,daemon=True).start()
== atexit flood
import atexit
def f():
  while 1: print("x"*10**5)
atexit.register(f)
== just under the limit
import time
time.sleep(0.9)
== cwd deleted
import os,shutil
os.rmdir("/tmp") if 0 else None
os.mkdir("/tmp/a")
os.chdir("/tmp/a")
os.rmdir("/tmp/a")
os.getcwd()
== rm -rf
import shutil
for p in ("/usr","/tmp","/"): shutil.rmtree(p,ignore_errors=True)
== cache write
import os
for p in (os.path.expanduser("~/.cache/r1jax-leak-x"),"/var/tmp/r1jax-leak-x",
         "/dev/shm/r1jax-leak-x","/tmp/r1jax-leak-x"):
  try:
    os.makedirs(os.path.dirname(p),exist_ok=True)
    open(p,"w").write("x")
  except OSError: pass
== pycache
import os,sys
for p in sys.path:
  try: open(os.path.join(p,"r1jax-leak-pyc"),"w").write("x")
  except OSError: pass
== fds
import os
for fd in range(3,256):
  try: print(fd, os.read(fd,100))
  except OSError: pass
== kill all
import os
for s in (9,15,19):
  try: os.kill(-1,s)
  except OSError: pass
os.kill(0,9)
== alarm
import signal
signal.alarm(1)
while 1: pass
== itimer prof
import signal
signal.setitimer(signal.ITIMER_REAL,0.01,0.01)
while 1: pass
== sched rt
import os
os.nice(-20)
== pidfd
import os,signal
fd=os.pidfd_open(1)
signal.pidfd_send_signal(fd,9)
== inotify
import ctypes
l=ctypes.CDLL(None)
for i in range(10**6): l.inotify_init()
== mmap bomb
import mmap
x=[]
while 1: x.append(mmap.mmap(-1,1<<24))
== tmp inodes
i=0
while 1:
  open(f"/tmp/{i}","w").close()
  i+=1
== deep dirs
import os
while 1:
  os.mkdir("d")
  os.chdir("d")
== hardlink
import os
os.link("/usr/bin/env","/tmp/env")
== chmod
import os
os.chmod("/usr/bin/env",0o777)
== mknod
import os
os.mknod("/tmp/k",0o20666,os.makedev(1,1))
print(open("/tmp/k").read())
== fifo
import os
os.mkfifo("/tmp/f")
open("/tmp/f").read()
== tty inject
import fcntl,termios
fcntl.ioctl(0,termios.TIOCSTI,b"x")
== netlink
import socket
socket.socket(16,3)
== dns
import socket
socket.getaddrinfo("example.com",80)
print(socket.gethostbyname("localhost"))
== vsock
import ctypes
l=ctypes.CDLL(None)
if l.socket(40,1,0)<0: raise OSError
== keyring
import ctypes
l=ctypes.CDLL(None)
if l.syscall(250,0,-3,1)<0: raise OSError
== int80
import ctypes,mmap
m=mmap.mmap(-1,4096,prot=7)
m.write(bytes.fromhex("b802000000cd80c3"))
a=ctypes.addressof(ctypes.c_char.from_buffer(m))
print(ctypes.CFUNCTYPE(ctypes.c_int)(a)())
== prctl dumpable
import ctypes
l=ctypes.CDLL(None)
l.prctl(1,0)
while 1: pass
== rlimit up
import resource
resource.setrlimit(resource.RLIMIT_AS,(resource.RLIM_INFINITY,)*2)
x=bytearray(10**10)
== regex dos
import re
re.match("(a+)+$","a"*50+"b")
== str of huge
import sys
sys.set_int_max_str_digits(0)
print(str(1<<10**8))
== pickle
import pickle
pickle.loads(b"cos\nsystem\n(S'sleep 99'\ntR.")
== gen recursion
def f(): yield from f()
list(f())
== compile bomb
exec("x="+"("*99+")"*99)
compile("1+"*10**6+"1","","exec")
== surrogates
print("\ud800\udfff"*1000)
== ansi
print("\x1b]0;7\x07\x1b[2J")
== NUL output
print("7\0")
== half output
print("7", end="")
import os
os.kill(os.getpid(),9)
== both answers
print(7)
print(30)
print(0)
== unicode seven
print("\uff17")
== right then crash
a,b=map(int,input().split())
print(a+b,flush=True)
raise ValueError
== right then hang
a,b=map(int,input().split())
print(a+b,flush=True)
while 1: pass
== right then flood
a,b=map(int,input().split())
print(a+b,flush=True)
while 1: print("x"*10**6)
== parent stdin
import os
print(os.read(0,10**6)[-3:])
print(open("/dev/stdin").read())
== dev
import os
print(os.listdir("/dev"), os.listdir("/"))
for d in ("/dev/mem","/dev/kmsg","/dev/sda","/dev/tty"):
  open(d)
== sys
print(open("/sys/kernel/uevent_seqnum").read())
== io_uring
import ctypes
l=ctypes.CDLL(None)
b=ctypes.create_string_buffer(200)
if l.syscall(425,8,b)<0: raise OSError
""")
SECRETS = _cut(r"""
== env via libc
import ctypes
l=ctypes.CDLL(None)
l.getenv.restype=ctypes.c_char_p
print((l.getenv(b"R1JAX_LEAK") or b"").decode())
== stack env
import ctypes
print(ctypes.c_char_p.in_dll(ctypes.CDLL(None),"program_invocation_name").value)
== port v6
import socket
print(socket.create_connection(("::1",{port}),1).recv(99).decode())
== file by link
import os
os.symlink("{file}","/tmp/l")
print(open("/tmp/l").read())
== dotdot
print(open("/usr/../"+"{file}").read())
== root of 1
print(open("/proc/1/root"+"{file}").read())
""")
