"""When training explodes: how that is noticed, and what is said and done about it."""

from typing import Any

import numpy as np
import scipy.sparse as sp

# An objective so many times that of the start has left for good. One that stays finite may come
# back while rates fall, and scikit-learn lets it: "raise" waits for an overflow, and warns at the
# end of a rise. Who asks for another answer wants to hear of it earlier.
RISEN = 1e3
EXPLODED = {"raise": 1e100, "warn": RISEN, "backoff": 10.0}
IN_VAIN = 1.1  # "backoff" does not let training end so many times above the start
BACKOFF = 0.25  # what a rate is multiplied by
MOST_BACKOFFS = 100  # 0.25^100 = 6e-61: beyond it nothing would move


class Diverged(ValueError):
    """Training has exploded."""

    def __init__(self, epoch: int, step: int, rate: float, column: int, scale: float) -> None:
        self.epoch, self.step, self.rate = epoch, step, rate
        self.column, self.scale = column, scale
        self.names: Any = None
        super().__init__(epoch)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.epoch, self.step, self.rate, self.column, self.scale)

    def __str__(self) -> str:
        name = self.column if self.names is None else f"{self.names[self.column]!r}"
        return (
            f"Floating-point under-/overflow occurred at epoch #{self.epoch}. Scaling input data "
            "with StandardScaler or MinMaxScaler might help. The learning rate was "
            f"{self.rate:.3g} by step {self.step}: a smaller eta0 might help too, and so might "
            "clip_norm=1.0 or on_divergence='backoff'. The feature of the largest magnitude is "
            f"{name}, with {self.scale:.3g}."
        )


def largest_column(X: Any) -> tuple[int, float]:
    """Return which column holds the number of the largest magnitude, and that magnitude."""
    found: Any = abs(X).max(axis=0)
    peaks = found.toarray().ravel() if sp.issparse(found) else np.asarray(found)
    column = int(np.argmax(peaks))
    return column, float(peaks[column])
