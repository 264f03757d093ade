"""Twenty small projects, as people publish them: files, arguments, and what they print."""

from __future__ import annotations

from typing import NamedTuple


class Shape(NamedTuple):
    files: dict[str, str | bytes]
    prints: str
    args: tuple[str, ...] = ()
    entry: str = "main.py"
    value: object = None


SHAPES: dict[str, Shape] = {
    "script": Shape({"main.py": "print('hello')\n"}, "hello\n"),
    "main guard": Shape(
        {"main.py": "def main():\n    print('main')\n\nif __name__ == '__main__':\n    main()\n"},
        "main\n",
    ),
    "argparse": Shape(
        {
            "main.py": "import argparse\np = argparse.ArgumentParser()\np.add_argument('--name')\n"
            "p.add_argument('-n', type=int)\na = p.parse_args()\nprint(a.name * a.n)\n"
        },
        "anaana\n",
        ("--name", "ana", "-n", "2"),
    ),
    "several modules": Shape(
        {
            "main.py": "from a import f\nprint(f())\n",
            "a.py": "import b\nf = b.g\n",
            "b.py": "g = int\n",
        },
        "0\n",
    ),
    "package": Shape(
        {
            "main.py": "from shop.core import price\nprint(price())\n",
            "shop/__init__.py": "",
            "shop/core.py": "from .data import P\ndef price(): return P\n",
            "shop/data.py": "P = 7\n",
        },
        "7\n",
    ),
    "src layout": Shape(
        {
            "main.py": "import sys\nsys.path.insert(0, 'src')\nimport app\nprint(app.X)\n",
            "src/app/__init__.py": "X = 'src'\n",
        },
        "src\n",
    ),
    "data files": Shape(
        {
            "main.py": "import csv\n"
            "print(sum(int(r['n']) for r in csv.DictReader(open('d/n.csv'))))",
            "d/n.csv": "n\n1\n2\n3\n",
        },
        "6\n",
    ),
    "path of the file": Shape(
        {
            "main.py": "from pathlib import Path\n"
            "print(Path(__file__).resolve().parent.joinpath('t.txt').read_text())",
            "t.txt": "text",
        },
        "text\n",
    ),
    "binary data": Shape(
        {"main.py": "print(len(open('b.bin', 'rb').read()))", "b.bin": bytes(range(256))}, "256\n"
    ),
    "sqlite": Shape(
        {
            "main.py": "import sqlite3\n"
            "c = sqlite3.connect('x.db')\nc.execute('create table t(a)')\n"
            "c.execute('insert into t values (5)')\nc.commit()\n"
            "print(*c.execute('select a from t'))"
        },
        "(5,)\n",
    ),
    "threads": Shape(
        {
            "main.py": "from concurrent.futures import ThreadPoolExecutor as T\n"
            "with T(8) as t: print(sum(t.map(abs, range(-3, 3))))"
        },
        "9\n",
    ),
    "processes": Shape(
        {
            "main.py": "from multiprocessing import Pool\nif __name__ == '__main__':\n"
            "    with Pool(2) as p: print(p.map(abs, [-1, -2]))"
        },
        "[1, 2]\n",
    ),
    "asyncio": Shape(
        {
            "main.py": "import asyncio\nasync def f(n):\n    await asyncio.sleep(0)\n    return n\n"
            "async def m(): return await asyncio.gather(f(1), f(2))\nprint(asyncio.run(m()))"
        },
        "[1, 2]\n",
    ),
    "subprocess": Shape(
        {
            "main.py": "import subprocess, sys\n"
            "print(subprocess.check_output([sys.executable, 'b.py'], text=True).strip())",
            "b.py": "print('below')",
        },
        "below\n",
    ),
    "temporary files": Shape(
        {
            "main.py": "import tempfile\nwith tempfile.NamedTemporaryFile('w+') as f:\n"
            "    f.write('x' * 9)\n    print(f.tell())"
        },
        "9\n",
    ),
    "unicode": Shape({"main.py": "print('ñandú ☂ 日本')\n"}, "ñandú ☂ 日本\n"),
    "standard input": Shape({"main.py": "import sys\nprint(repr(sys.stdin.read()))"}, "''\n"),
    "another entry": Shape(
        {"tools/report.py": "import lib\nprint(lib.N)", "tools/lib.py": "N = 3"},
        "3\n",
        entry="tools/report.py",
    ),
    "result": Shape(
        {"main.py": "import json\njson.dump({'n': [1, 2.50]}, open('result.json', 'w'))"},
        "",
        value={"n": [1, 2.5]},
    ),
    "dataclasses and logging": Shape(
        {
            "main.py": "import logging, sys\nfrom dataclasses import dataclass\n"
            "logging.basicConfig(stream=sys.stdout, level='INFO', format='%(message)s')\n"
            "@dataclass\nclass A:\n    n: int = 1\nlogging.info(A())"
        },
        "A(n=1)\n",
    ),
}
