"""Programs in children of a process that has loaded numba and compiled one function.

To start a process and to make numba ready takes ten times as long as most programs of the tests.
"""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

PROGRAM = """
import json, os, signal, sys, traceback
import numba, numpy
{imports}

def answer(program, arguments, environment, folder, *outputs):
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status = 1
    try:
        signal.alarm(300)
        for number, path in enumerate(outputs, 1):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOCTTY), number)
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(folder)
        sys.path[:0] = environment.get("PYTHONPATH", "").split(os.pathsep)
        sys.argv[1:] = arguments
        numba.core.config.reload_config()
        exec(program, globals())
        status = 0
    except BaseException:
        traceback.print_exc()
    for stream in (sys.stdout, sys.stderr):
        if not stream.closed:
            stream.flush()
    os._exit(status)

numba.njit(lambda x: x + x)(1.0)
for line in sys.stdin:
    print(answer(*json.loads(line)), flush=True)
"""


class Server:
    """The process: it answers one call after the other."""

    def __init__(self, process: subprocess.Popen) -> None:
        self._process = process

    def run(
        self, program: str, arguments: list[str], environment: dict[str, str], *places: Path | str
    ) -> int:
        """Run a program; return its exit status.

        ``places`` are the folder where it runs, and the paths of its standard output and error.
        """
        request = json.dumps([program, arguments, environment, *map(str, places)])
        print(request, file=self._process.stdin, flush=True)
        return int(self._process.stdout.readline())


@contextlib.contextmanager
def serving(*options: str, imports: str = "", **environment: str) -> Iterator[Server | None]:
    """Yield a server, started with options of Python; None where there is no fork."""
    if not hasattr(os, "fork"):
        yield None
        return
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA_")}
    environment = {**inherited, "OPENBLAS_NUM_THREADS": "1", **environment}  # it forks, so alone
    command = [sys.executable, *options, "-c", PROGRAM.replace("{imports}", imports)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment, **pipes) as process:
        yield Server(process)
        process.stdin.close()
