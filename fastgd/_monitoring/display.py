"""What a fit shows: lines through ``logging``, and a message where compilation takes long."""

import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fastgd.kernels._jit import cache_folder, watch_compilation

LOGGER = logging.getLogger("fastgd")
PATIENCE = 2.0  # seconds that compilation may take unannounced
PAUSE = 5.0  # seconds between compilations that do not belong together


SHOWN = (  # of the history, under which name, with how many digits
    ("objective", "objective", 6),
    ("suboptimality", "suboptimality", 3),
    ("learning_rate", "rate", 3),
    ("gradient_norm", "|gradient|", 3),
    ("update_norm", "|update|", 3),
    ("validation_score", "score", 4),
    ("C", "C", 3),
    ("alpha", "alpha", 3),
    ("l1_ratio", "l1_ratio", 3),
    ("score", "score", 4),
)


def figures_of(view: Any) -> dict[str, str]:
    """Return what is shown of an epoch, under the names by which it is shown.

    The gradient's norm is known with ``monitor=True``; else how far the epoch moved the parameters
    stands in for it.
    """
    hidden = {"update_norm"} if "gradient_norm" in view.history else set()
    return {
        label: f"{view.history[name][-1]:.{digits}g}"
        for name, label, digits in SHOWN
        if name in view.history and name not in hidden
    }


def has_rate(estimator: Any) -> bool:
    """Tell whether an estimator takes epochs at a learning rate, or passes without one."""
    return "learning_rate" in estimator.get_params(deep=False)


def unit_of(view: Any) -> str:
    """Return what an entry of the history stands for."""
    if view.unit is not None:
        return str(view.unit)
    return "epoch" if has_rate(view.estimator) else "pass"


def target_of(view: Any) -> str:
    """Return which of many targets is fitted, nothing where there is one."""
    return f" target {view.target + 1}/{view.n_targets}" if view.n_targets > 1 else ""


# -- lines ------------------------------------------------------------------------------------


class _Stderr(logging.Handler):
    """Prints what nobody else would: it is silent as soon as logging is configured."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a line."""
        if not _is_configured() and sys.stderr is not None:
            print(self.format(record), file=sys.stderr, flush=True)


def _is_configured() -> bool:
    """Tell whether a user's handlers get our lines."""
    handlers = [*LOGGER.handlers, *logging.getLogger().handlers]
    return any(not isinstance(handler, _Stderr) for handler in handlers)


def be_heard() -> None:
    """Make lines visible to a user who has configured no logging."""
    if not LOGGER.hasHandlers():
        LOGGER.addHandler(_Stderr())
        if LOGGER.level == logging.NOTSET:
            LOGGER.setLevel(logging.INFO)


class LogLines:
    """A line an epoch: ``verbose=2``."""

    def on_fit_begin(self, view: Any) -> None:
        """Look for someone who listens."""
        be_heard()
        self._name, self._unit = type(view.estimator).__name__, unit_of(view)
        self._started = time.perf_counter()

    def on_epoch_end(self, view: Any) -> None:
        """Write the epoch's line."""
        figures = ", ".join(f"{name} {value}" for name, value in figures_of(view).items())
        seconds = time.perf_counter() - self._started
        where = f"{self._name}{target_of(view)} {self._unit} {view.epoch}"
        LOGGER.info("%s: %s (%.3g s)", where, figures, seconds)


# -- compilation ------------------------------------------------------------------------------


class _Announcer:
    """Says so when kernels that belong together have compiled for more than ``PATIENCE``.

    Without a message a process seems to hang: in a notebook, in the log of a server. Off terminals
    one line a process is enough, but for verbose fits.
    """

    def __init__(self) -> None:
        self.n_verbose = self.n_silent = 0
        self._timer: threading.Timer | None = None
        self._began, self._ended, self._spent = 0.0, -float("inf"), 0.0
        self._has_shown, self._has_ever_shown = False, False

    def begun(self, name: str) -> None:
        """Start the clock."""
        self._began = time.monotonic()
        if self._began - self._ended > PAUSE:
            self._spent, self._has_shown = 0.0, False
        if self._has_shown or not self._is_wanted():
            return
        self._timer = threading.Timer(max(PATIENCE - self._spent, 0.0), self._show, [name])
        self._timer.daemon = True
        with contextlib.suppress(RuntimeError):  # no thread is to be had, as while Python ends
            self._timer.start()

    def ended(self) -> None:
        """Stop it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._ended = time.monotonic()
        self._spent += self._ended - self._began

    def _is_wanted(self) -> bool:
        if sys.stderr is None or self.n_silent > 0 or is_quiet():
            return False
        if self.n_verbose > 0 or _is_terminal():
            return True
        # a test that compares what it has captured must not depend on what was compiled before
        return not self._has_ever_shown and "PYTEST_CURRENT_TEST" not in os.environ

    def _show(self, name: str) -> None:
        self._has_shown = self._has_ever_shown = True
        text = _announcement(name)
        if _is_configured() and LOGGER.isEnabledFor(logging.INFO):
            LOGGER.info("%s", text)  # among the user's other lines
        else:
            _print(f"fastgd: {text}")


def is_quiet() -> bool:
    """Tell whether the user's environment asks for no message about compilation."""
    return os.environ.get("FASTGD_QUIET", "0") not in ("", "0")


def _announcement(name: str) -> str:
    """Return what is said of compilation: why one waits, how often, and how not to."""
    folder = cache_folder()
    kept = (
        f"once on this machine, kept in {folder}"
        if folder is not None
        else "in every process, because no folder for it is writable (set NUMBA_CACHE_DIR)"
    )
    return (
        f"compiling machine code for this kind of fit ({name}), which takes some seconds, {kept}; "
        "'fastgd warmup' does it beforehand, FASTGD_QUIET=1 hides this line"
    )


def _is_terminal() -> bool:
    with contextlib.suppress(Exception):  # whatever stands in for stderr
        return sys.stderr.isatty()
    return False


def _print(line: str) -> None:
    """Print a line on stderr, in front of bars that are drawn there."""
    from tqdm import tqdm  # its write leaves progress bars whole

    with contextlib.suppress(Exception):  # a closed stream is no reason to fail in a thread
        tqdm.write(line, file=sys.stderr)
        sys.stderr.flush()


_ANNOUNCER = _Announcer()
watch_compilation(_ANNOUNCER.begun, _ANNOUNCER.ended)


@contextmanager
def announcing(verbose: int) -> Iterator[None]:
    """Announce each compilation that takes long, off terminals as well, for a verbose fit.

    A number of fits, not a mark of the thread: solvers compile in threads of their own.
    """
    _ANNOUNCER.n_verbose += verbose > 0
    try:
        yield
    finally:
        _ANNOUNCER.n_verbose -= verbose > 0


@contextmanager
def not_announcing() -> Iterator[None]:
    """Say nothing of compilation to who has asked for it."""
    _ANNOUNCER.n_silent += 1
    try:
        yield
    finally:
        _ANNOUNCER.n_silent -= 1
