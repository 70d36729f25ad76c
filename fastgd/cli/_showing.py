"""How far a fit has come, for those who wait: a bar on a terminal, else a line now and then."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fastgd.cli._terminal import note

PATIENCE = 20.0  # seconds of silence before the first line; each silence is twice the one before


class _Lines:
    """A callback that remembers what there is to tell, and a clock that tells it."""

    def __init__(self, model: Any, who: str) -> None:
        self._name, self._who = type(model).__name__, who
        self._started = time.monotonic()
        self._figures = ""
        self._pause = PATIENCE
        self._has_ended = threading.Event()
        self._clock = threading.Thread(target=self._tell, daemon=True)

    def __call__(self, view: Any) -> None:
        """Take in a pass over the rows."""
        objective = view.history.get("objective", [float("nan")])[-1]
        target = f", target {view.target + 1} of {view.n_targets}" if view.n_targets > 1 else ""
        self._figures = f"{target}, {view.n_passes:,} passes, objective {objective:.6g}"

    def _tell(self) -> None:
        while not self._has_ended.wait(self._pause):
            seconds = time.monotonic() - self._started
            note(f"{self._who}: fitting {self._name} for {seconds:.0f} s{self._figures}")
            self._pause *= 2.0

    def begin(self) -> None:
        """Start the clock."""
        self._clock.start()

    def end(self) -> None:
        """Stop it."""
        self._has_ended.set()
        self._clock.join()


@contextmanager
def shown(model: Any, who: str, *, quiet: bool) -> Iterator[None]:
    """Show how far the fit in the block is; the model keeps no trace of that."""
    if quiet or sys.stderr is None:
        yield
        return
    before, lines = model.callbacks, None
    if sys.stderr.isatty():
        from fastgd.callbacks import ProgressBar

        model.callbacks = [ProgressBar(leave=False)]
    else:
        lines = _Lines(model, who)
        model.callbacks = [lines]
        lines.begin()
    try:
        yield
    finally:
        if lines is not None:
            lines.end()
        model.callbacks = before
