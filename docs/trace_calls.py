"""Write docs/call-trees.md: which functions one fit calls, in their order.

    python docs/trace_calls.py           # write the page anew
    python docs/trace_calls.py --check   # say what has changed, and fail if anything has

The functions are those of the package, seen by ``sys.setprofile`` with the compiler switched off,
so that kernels and the methods of specs are seen, too. Calls of a function from the same caller are
one line, with their number, where the first of them stood. Comprehensions, lambdas,
properties and what dispatches to the methods of specs count as part of their caller. Some functions
are named but not entered (``CLOSED``): what they call depends on the machine, or on the data. What
Python code asks of a spec (its link, its domain) is left out.

``--check`` compares the functions, not the numbers of calls, which may vary with the machine.
"""

import difflib
import inspect
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

PAGE = Path(__file__).parent / "call-trees.md"
PACKAGE = "fastgd"
DEEPEST = 12  # calls below each other that are shown; further ones if they lead to kernels
IN_KERNELS = 3  # calls below each other within kernels that are shown
WIDTH = 62  # of a function's column

# Modules, and functions, that are named but not entered.
CLOSED = (
    "_data.arrays",
    "_data.validation",
    "_monitoring.display",
    "_monitoring.interrupt",
    "_monitoring.sklearn_callbacks",
    "_monitoring.undo",
    "_monitoring.watching.watched",
    "_parameters.fields",
    "_runtime.threads.one_blas_thread",
    "_runtime.threads.threads",
    "_solvers._costs",
    "kernels._prefetch",
    "kernels.elementary",
    "kernels.rows",
    "kernels.sampling",
)
HIDDEN = ("kernels._hook",)

HEAD = """\
# What a fit calls

<!-- Written by docs/trace_calls.py; do not edit. -->

Three fits, traced call by call with the compiler switched off: `python docs/trace_calls.py` writes
this page anew, and a test fails when the code no longer calls what stands here. On the left is the
function, below the one that calls it; on the right its module within `fastgd`. "x 3" means three
calls from the same caller; "..." means that not all that the function calls is shown.
[Architecture](architecture.md) says what the parts are for.
"""


class Call:
    """A function, how often its caller called it, and what it called."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name
        self.count = 0
        self.calls: dict[tuple[str, str], Call] = {}

    def called(self, module: str, name: str) -> "Call":
        """Return the one line for all calls of a function from here."""
        return self.calls.setdefault((module, name), Call(module, name))


class Recorder:
    """A profile function that keeps the calls of the package's functions as a tree."""

    def __init__(self) -> None:
        self.root = Call("", "")
        self._lines: list[tuple[FrameType, Call]] = []
        self._generators: dict[FrameType, Call] = {}

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        """Take in that a function begins or ends."""
        del argument
        if event == "call":
            call = self._of(frame)
            if call is not None:
                self._lines.append((frame, call))
        elif event == "return" and self._lines and self._lines[-1][0] is frame:
            self._lines.pop()

    def _of(self, frame: FrameType) -> Call | None:
        """Return the line of a frame that begins, or goes on after a yield; None if it has none."""
        module = str(frame.f_globals.get("__name__", ""))
        if not module.startswith(f"{PACKAGE}.") or not _is_shown(frame):
            return None
        if frame in self._generators:
            return self._generators[frame]
        caller = self._lines[-1][1] if self._lines else self.root
        name = frame.f_code.co_qualname.replace(".<locals>.", ".")
        call = caller.called(module.removeprefix(f"{PACKAGE}."), name)
        call.count += 1
        if _yields(frame.f_code):
            self._generators[frame] = call
        return call


def _is_shown(frame: FrameType) -> bool:
    """Tell whether a function has a line of its own."""
    module, name = frame.f_globals["__name__"], frame.f_code.co_qualname
    last = frame.f_code.co_name
    if last.startswith("<") or "__create_fn__" in name or _within(module, HIDDEN, PACKAGE):
        return False
    owner = type(frame.f_locals.get("self"))
    return not isinstance(inspect.getattr_static(owner, last, None), property)


def _within(path: str, names: tuple[str, ...], package: str = "") -> bool:
    """Tell whether a path is one of these modules or functions, or lies in one."""
    path = path.removeprefix(f"{package}.")
    return any(path == name or path.startswith(f"{name}.") for name in names)


def _yields(code: CodeType) -> bool:
    return bool(code.co_flags & inspect.CO_GENERATOR)


def traced(fit: Callable[[], Any]) -> Call:
    """Return what the second of two calls calls: the first one imports and prepares."""
    recorder = Recorder()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit()
        sys.setprofile(recorder)
        try:
            fit()
        finally:
            sys.setprofile(None)
    return recorder.root


def lines_of(call: Call, depth: int = 0, in_kernels: int = 0) -> Iterator[str]:
    """Yield the lines of what a function called."""
    for inner in call.calls.values():
        if _asks_a_spec(call, inner):
            continue
        below = in_kernels + 1 if _within(inner.module, ("kernels",)) else 0
        shown = _only_shown(inner, depth + 1, below)
        cut = " ..." if len(shown.calls) < len(inner.calls) else ""
        times = f" x {inner.count}" if inner.count > 1 else ""
        text = f"{'  ' * depth}{inner.name}{times}{cut}"
        yield f"{text:{WIDTH}} {inner.module}".rstrip()
        yield from lines_of(shown, depth + 1, below)


def _only_shown(call: Call, depth: int, in_kernels: int) -> Call:
    """Return a call with those of its calls that have a line, at this depth."""
    kept = Call(call.module, call.name)
    closed = _within(f"{call.module}.{call.name}", CLOSED) or in_kernels == IN_KERNELS
    for key, inner in call.calls.items():
        if not closed and (depth < DEEPEST or _leads_to_kernels(inner)):
            kept.calls[key] = inner
    return kept


def _asks_a_spec(call: Call, inner: Call) -> bool:
    """Tell whether Python code asks what a spec says of itself: there are many such questions."""
    return inner.module.endswith("._protocol") and not _within(call.module, ("kernels",))


def _leads_to_kernels(call: Call) -> bool:
    within = _within(call.module, ("kernels",)) and not _within(call.module, CLOSED)
    inner = (one for one in call.calls.values() if not _asks_a_spec(call, one))
    return within or any(map(_leads_to_kernels, inner))


def fits() -> Iterator[tuple[str, str, Callable[[], Any]]]:
    """Yield a heading, a sentence and a call of each fit that is traced."""
    import numpy as np

    import fastgd

    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 5))
    y = (X @ rng.normal(size=5) + rng.normal(size=200) > 0).astype(np.int64)
    sgd = fastgd.SGDClassifier("log_loss", batch_size=64, max_iter=2, tol=None, random_state=0)
    yield (
        "`SGDClassifier.fit`",
        '`SGDClassifier("log_loss", batch_size=64, max_iter=2)` on 200 dense rows of two classes.',
        lambda: sgd.fit(X, y),
    )
    small, wide = fastgd.LogisticRegression(), fastgd.LogisticRegression()
    yield (
        "`LogisticRegression.fit`, few columns",
        "`LogisticRegression()` on 200 dense rows of two classes and 5 columns: Newton's method, "
        "in one kernel.",
        lambda: small.fit(X, y),
    )
    many = rng.normal(size=(200, 150))
    yield (
        "`LogisticRegression.fit`, more columns",
        "`LogisticRegression()` on 200 dense rows of two classes and 150 columns: descent with a "
        "metric (`gd`).",
        lambda: wide.fit(many, y),
    )


def page() -> str:
    """Return the page, traced now."""
    parts = [HEAD]
    for heading, sentence, fit in fits():
        tree = "\n".join(lines_of(traced(fit)))
        parts.append(f"## {heading}\n\n{sentence}\n\n```text\n{tree}\n```\n")
    return "\n".join(parts)


def names_in(text: str) -> list[str]:
    """Return the lines of a page without the numbers of calls and without columns."""
    calls = re.compile(r"( x \d+)?( \.\.\.)? +(\S*)$")
    return [calls.sub(r" \3", line).rstrip() for line in text.splitlines()]


def changes() -> list[str]:
    """Return how the page differs from what is called now."""
    written = names_in(PAGE.read_text(encoding="utf-8"))
    return list(difflib.unified_diff(written, names_in(page()), "docs/call-trees.md", "traced now"))


def main() -> int:
    """Write the page, or check it, in a process without the compiler."""
    if os.environ.get("NUMBA_DISABLE_JIT") != "1":
        environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "FASTGD_QUIET": "1"}
        return subprocess.run([sys.executable, *sys.argv], env=environment, check=False).returncode
    if "--check" not in sys.argv:
        PAGE.write_text(page(), encoding="utf-8")
        return 0
    found = changes()
    if found:
        print("\n".join(found))
        print("python docs/trace_calls.py writes the page anew")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
