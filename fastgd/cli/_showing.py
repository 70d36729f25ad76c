"""How far a fit has come, while one waits: a bar on a terminal, else a line now and then."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from fastgd.cli._terminal import note, progress

PATIENCE = 20.0  # seconds of silence before the first line; each silence is twice the one before


class _Lines:
    """A callback that remembers what there is to show, and a timer that shows it."""

    def __init__(self, model: Any, who: str) -> None:
        self._name, self._who = type(model).__name__, who
        self._started = time.monotonic()
        self._figures = ""
        self._pause = PATIENCE
        self._has_ended = threading.Event()
        self._timer = threading.Thread(target=self._show, daemon=True)

    def __call__(self, view: Any) -> None:
        """Take in a pass over the rows."""
        objective = view.history.get("objective", [float("nan")])[-1]
        target = f", target {view.target + 1} of {view.n_targets}" if view.n_targets > 1 else ""
        self._figures = f"{target}, {view.n_passes:,} passes, objective {objective:.6g}"

    def _show(self) -> None:
        while not self._has_ended.wait(self._pause):
            seconds = time.monotonic() - self._started
            note(f"{self._who}: fitting {self._name} for {seconds:.0f} s{self._figures}")
            self._pause *= 2.0

    def begin(self) -> None:
        """Start the clock."""
        self._timer.start()

    def end(self) -> None:
        """Stop it."""
        self._has_ended.set()
        self._timer.join()


@contextmanager
def shown(model: Any, who: str, *, quiet: bool) -> Iterator[None]:
    """Show how far the fit in the block is; the model keeps no trace of that."""
    if quiet or sys.stderr is None:
        yield
        return
    is_told = hasattr(model, "callbacks")  # what chooses among strengths has no passes to show
    before, lines = getattr(model, "callbacks", None), None
    if sys.stderr.isatty() and is_told:
        from fastgd.callbacks import ProgressBar

        model.callbacks = [ProgressBar(leave=False)]
    else:
        lines = _Lines(model, who)
        if is_told:
            model.callbacks = [lines]
        lines.begin()
    try:
        yield
    finally:
        if lines is not None:
            lines.end()
        if is_told:
            model.callbacks = before


class _Rows:
    """A callback that shows epochs on a bar that counts rows."""

    def __init__(self, bar: Any, n_rows: int) -> None:
        self._bar, self._n_rows, self._n_epochs = bar, n_rows, 0

    def read(self, n_rows: int) -> None:
        """Take in rows that were read; those of further passes in an epoch do not count."""
        self._bar.update(min(n_rows, (self._n_epochs + 1) * self._n_rows - self._bar.n))

    def __call__(self, view: Any) -> None:
        """Take in an epoch."""
        self._n_epochs += 1
        self._bar.update(self._n_epochs * self._n_rows - self._bar.n)
        self._bar.set_postfix(epoch=view.epoch, loss=f"{view.history['loss'][-1]:.4g}")


@contextmanager
def rows_shown(model: Any, who: str, n_rows: int, quiet: bool) -> Iterator[Callable[[int], None]]:
    """Show how far the fit in the block is; yield what takes the number of rows as they come."""
    if quiet or sys.stderr is None or not sys.stderr.isatty():
        with shown(model, who, quiet=quiet):
            yield lambda _: None
        return
    with progress("training", model.max_iter * n_rows) as bar:
        rows = _Rows(bar, n_rows)
        before, model.callbacks = model.callbacks, [rows]
        try:
            yield rows.read
        finally:
            model.callbacks = before
