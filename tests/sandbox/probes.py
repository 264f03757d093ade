"""What a hostile program tries. Each prints `yes` when it succeeds, and says nothing else of use.

Each is run twice: outside, where it succeeds, so that it is known to try the right thing; and in
the sandbox. `sys.argv[1]` is what it aims at.
"""

from __future__ import annotations

_HEAD = "import ctypes, os, socket, sys, time\naim = sys.argv[1]\nc = ctypes.CDLL(None)\n"
_READ = "print('yes' if open(aim, 'rb').read(1) else 'no')"
_WRITE = "open(aim, 'w').write('x')\nprint('yes')"
_CALL = "print('yes' if c.syscall({}) >= 0 else 'no')"

ENVIRONMENT = "print('yes' if aim in str(os.environ) else 'no')"
PROCESSES = """
seen = b''
for name in os.listdir('/proc'):
    try:
        seen += open(f'/proc/{name}/environ', 'rb').read() if name.isdigit() else b''
    except OSError:
        pass
print('yes' if aim.encode() in seen else 'no')
"""
SIGNAL = "os.kill(int(aim), 0)\nprint('yes')"
CONNECT = """
host, port = aim.rsplit(':', 1)
socket.create_connection((host, int(port)), timeout=3).close()
print('yes')
"""
ABSTRACT = """
s = socket.socket(socket.AF_UNIX)
s.connect('\\0' + aim)
print('yes')
"""
FORKS = """
children = 0
for _ in range(100):
    if not os.fork():
        time.sleep(3)
        os._exit(0)
    children += 1
print('yes', children)
"""
MEMORY = "print('yes', len(bytearray(b'x') * int(aim)))"
FILE = "open('big', 'wb').write(b'x' * int(aim))\nprint('yes')"

# By number: x86_64, aarch64.
CALLS = {
    "ptrace": ((101, 117), "0, 0, 0, 0"),
    "unshare": ((272, 97), "0x10000000"),
    "add_key": ((248, 217), "b'user', b'probe', b'x', 1, -4"),
    "memfd_create": ((319, 279), "b'x', 0"),
    "shmget": ((29, 194), "0, 4096, 0o1600"),
}


def program(body: str) -> str:
    """A whole probe."""
    return _HEAD + body + "\n"


def call(name: str, machine: str) -> str:
    """The probe of a system call."""
    numbers, arguments = CALLS[name]
    number = numbers[("x86_64", "aarch64").index(machine)]
    return program(_CALL.format(f"{number}, {arguments}"))


READ, WRITE = _READ, _WRITE
