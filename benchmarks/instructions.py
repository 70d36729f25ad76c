"""Instructions of small fits, counted by valgrind: what neither load nor clock speed can blur.

    python benchmarks/instructions.py                     # the table, beside scikit-learn's
    python benchmarks/instructions.py --only Ridge        # cases whose name holds this
    python benchmarks/instructions.py --json build/instructions.json     # the ratios
    python benchmarks/instructions.py --against build/instructions.json  # fails where one is higher

The cases are those of ``small.py``. A process under valgrind's callgrind imports and compiles
without counting, calls each case some times, and counts the instructions of the next calls; the
least of them is taken. Numba compiles for x86-64-v2 there: valgrind knows no AVX-512, and in AVX
not all that LLVM writes (a vmovq from register to register, in valgrind 3.19).

It needs valgrind (``apt-get install valgrind``) and Linux on x86-64.
"""

import argparse
import ctypes
import json
import mmap
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from benchmarks.small import cases

WARM_CALLS, COUNTED_CALLS = 5, 3
MORE = 1.1  # what counts as more: hash seeds and memory addresses move a count by 1 or 2 %

# The instructions that valgrind takes for a call to itself, and a processor for nothing: see
# __SPECIAL_INSTRUCTION_PREAMBLE for amd64 in valgrind.h. The argument's address goes through rax,
# the result (0 elsewhere) through rdx.
REQUEST = bytes.fromhex(
    "534889f8 31d2"  # push rbx; mov rax, rdi; xor edx, edx
    "48c1c703 48c1c70d 48c1c73d 48c1c733"  # rol rdi, 3; 13; 61; 51
    "4887db"  # xchg rbx, rbx
    "4889d0 5bc3"  # mov rax, rdx; pop rbx; ret
)
CALLGRIND = ord("C") << 24 | ord("T") << 16
DUMP, START, STOP = CALLGRIND + 3, CALLGRIND + 4, CALLGRIND + 5  # the order of callgrind.h

LEVEL = {
    "NUMBA_CPU_NAME": "x86-64-v2",
    "NUMBA_CPU_FEATURES": "",
    "OPENBLAS_CORETYPE": "Haswell",
    "PYTHONHASHSEED": "0",
    "OMP_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
}


def missing() -> str | None:
    """Return why instructions cannot be counted here, None where they can be."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return "instructions are counted on Linux on x86-64"
    return None if shutil.which("valgrind") else "valgrind is not installed"


def requests() -> Callable[..., int]:
    """Return a function that asks valgrind for something: (number, an address)."""
    page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(REQUEST)
    first = ctypes.c_char.from_buffer(page)
    call = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_void_p)(ctypes.addressof(first))
    return partial(_ask, first, call)


def _ask(page: Any, call: Callable[[int], int], number: int, argument: int = 0) -> int:  # noqa: ARG001
    """Call the request's instructions, in a page that lives as long as the partial does."""
    asked = (ctypes.c_uint64 * 6)(number, argument, 0, 0, 0, 0)
    return call(ctypes.addressof(asked))


def count(names: list[str]) -> None:
    """Call cases by name, and dump the instructions of each call: runs within callgrind."""
    warnings.simplefilter("ignore")  # few rows do not always converge
    ask = requests()
    with threadpool_limits(1):
        for name in names:
            case = cases()[name]()
            for side, call in zip(("ours", "theirs"), case, strict=True):
                label = ctypes.create_string_buffer(f"{name}|{side}".encode())
                for _ in range(WARM_CALLS):
                    call()
                for _ in range(COUNTED_CALLS):
                    ask(START)
                    call()
                    ask(DUMP, ctypes.addressof(label))
                    ask(STOP)


def instructions(names: list[str]) -> dict[str, dict[str, int]]:
    """Return {case: {"ours": instructions of a call, "theirs": the same of scikit-learn's}}.

    Raises
    ------
    RuntimeError
        If the process under valgrind failed; its output is in the message.
    """
    script = f"from benchmarks.instructions import count; count({names!r})"
    environment = {**os.environ, **LEVEL, "PYTHONPATH": str(Path(__file__).parents[1])}
    plain = [sys.executable, "-c", script]
    with tempfile.TemporaryDirectory() as folder:
        counter = ["valgrind", "--tool=callgrind", "--instr-atstart=no"]
        counter.append(f"--callgrind-out-file={folder}/out")
        # The first process compiles, at full speed: valgrind takes fifty times as long.
        for command in (plain, counter + plain):
            done = subprocess.run(command, env=environment, capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(f"{' '.join(command[:2])} failed:\n{done.stderr[-2000:]}")
        found = least(path.read_text() for path in Path(folder).iterdir())
    return {name: found[name] for name in names}


def least(dumps: Iterable[str]) -> dict[str, dict[str, int]]:
    """Return the least total of each case and side in what callgrind has dumped."""
    found: dict[str, dict[str, int]] = {}
    for dump in dumps:
        label = re.search(r"^desc: Trigger: Client Request: (.*)\|(\w+)$", dump, re.M)
        total = re.search(r"^totals: (\d+)$", dump, re.M)
        if label and total:
            sides = found.setdefault(label[1], {})
            sides[label[2]] = min(int(total[1]), sides.get(label[2], int(total[1])))
    return found


def more(now: dict[str, dict[str, int]], before: dict[str, float]) -> list[str]:
    """Return the cases whose ratio to scikit-learn's call is clearly above that of before."""
    return [
        f"{name}: {ratio(now[name]):.3f} of scikit-learn's instructions, before {known:.3f}"
        for name, known in before.items()
        if name in now and ratio(now[name]) > MORE * known
    ]


def ratio(sides: dict[str, int]) -> float:
    """Return our instructions over scikit-learn's."""
    return sides["ours"] / sides["theirs"]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="cases whose name holds this")
    parser.add_argument("--json", type=Path, help="write the ratios to this file")
    parser.add_argument("--against", type=Path, help="fail where a ratio is higher than there")
    args = parser.parse_args()
    if reason := missing():
        parser.exit(1, f"{reason}\n")
    counted = instructions([name for name in cases() if args.only in name])
    print("| call | fastgd, 1,000 instructions | scikit-learn | ratio |\n|---|---|---|---|")
    for name, sides in counted.items():
        ours, theirs = (f"{sides[side] / 1e3:,.0f}" for side in ("ours", "theirs"))
        print(f"| {name} | {ours} | {theirs} | {ratio(sides):.2f} |")
    if args.json:
        ratios = {name: round(ratio(sides), 3) for name, sides in counted.items()}
        args.json.write_text(json.dumps(ratios, indent=1) + "\n")
    if args.against and (found := more(counted, json.loads(args.against.read_text()))):
        parser.exit(1, "\n".join(["more instructions than before:", *found, ""]))


if __name__ == "__main__":
    main()
