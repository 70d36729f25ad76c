"""When training explodes: how that is noticed, and what is said and done about it."""

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from fastgd._data.source import Source
from fastgd._engines.protocol import Engine
from fastgd._runtime.warned import warn
from fastgd._training.progress import Progress, Reference

# An objective so many times that of the start has left for good. One that stays finite may come
# back while rates fall, and scikit-learn lets it: "raise" waits for an overflow, and warns at the
# end of a rise. Where another response is asked for, it is noticed earlier.
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
        self.has_rate = True
        self.layer: tuple[int, str] | None = None
        super().__init__(epoch)

    def __reduce__(self) -> tuple[Any, ...]:
        kept = {"layer": self.layer, "names": self.names, "has_rate": self.has_rate}
        return type(self), (self.epoch, self.step, self.rate, self.column, self.scale), kept

    def __str__(self) -> str:
        name = self.column if self.names is None else f"{self.names[self.column]!r}"
        layer = f" The layer whose gradient grew most is {self.layer[1]}." if self.layer else ""
        return (
            f"Floating-point under-/overflow occurred at epoch #{self.epoch}. Scaling input data "
            f"with StandardScaler or MinMaxScaler might help. {self._advice()} The feature of the "
            f"largest magnitude is {name}, with {self.scale:.3g}.{layer}"
        )

    def _advice(self) -> str:
        """Say what else might help."""
        if not self.has_rate:
            return (
                f"learning_rate='auto' had taken {self.step} steps: it counts with the squares of "
                "numbers in X and y, which X's type must hold."
            )
        return (
            f"The learning rate was {self.rate:.3g} by step {self.step}: a smaller eta0 might help "
            "too, and so might clip_norm=1.0 or on_divergence='backoff'."
        )


class Guard:
    """What notices that training explodes, and goes back where it may.

    Parameters
    ----------
    engine : Engine
    source : Source
    progress : Progress
        Where training begins; what it is measured by is that of the last call on the same rows.
    answer : {"raise", "backoff", "warn"}
    monitor : bool
        Whether the history has figures of layers, and an explosion names one.
    """

    def __init__(
        self, engine: Engine, source: Source, progress: Progress, answer: str, monitor: bool
    ) -> None:
        self._monitor = monitor
        self._engine, self._source, self._respond = engine, source, answer
        self._limit = EXPLODED[answer]
        self.goes_back = answer != "raise"
        known, progress.reference = progress.reference, None
        rows = source.fingerprint() if self.goes_back else 0
        best = progress.without_past() if self.goes_back else progress
        self._reference = Reference(rows, progress.params.copy(), None, best, np.inf)
        if self.goes_back and known is not None and known.rows == rows:
            self._reference = dataclasses.replace(known)

    def before(self, progress: Progress) -> Progress | None:
        """Return what to go back to, should the epoch that begins be the best."""
        return progress.without_past() if self.goes_back else None

    def took(self, before: Progress | None, objective: float, progress: Progress) -> None:
        """Take in an epoch: its objective is that of the parameters that it began with."""
        if before is None:
            return
        if objective <= self._reference.least:
            self._reference.best, self._reference.least = before, objective
        progress.reference = dataclasses.replace(self._reference)

    @property
    def reference(self) -> Reference:
        """What explosions are measured by, for a checkpoint."""
        best: Any = self._reference.best if self.goes_back else None
        return dataclasses.replace(self._reference, best=best)

    @reference.setter
    def reference(self, kept: Reference) -> None:
        self._reference = dataclasses.replace(kept)

    @property
    def _has_rate(self) -> bool:
        """Whether a smaller ``eta0`` means smaller steps."""
        return bool(getattr(self._engine, "has_rate", True))

    def has_exploded(self, objective: float, params_are_finite: bool) -> bool:
        """Tell whether parameters or objective have exploded."""
        if not (params_are_finite and math.isfinite(objective)):
            return True
        limit = self._limit
        return objective > limit and objective > limit * self.start_objective()

    def start_objective(self) -> float:
        """Return the objective at the parameters that training began with: a pass over X."""
        reference = self._reference
        if reference.start_objective is None:
            reference.start_objective = self._objective_at(reference.start)
        return reference.start_objective

    def _objective_at(self, params: NDArray[Any]) -> float:
        """Return the objective of all rows."""
        alone = getattr(self._engine, "objective", None)
        if alone is not None:
            return float(alone(self._source, params))
        found = self._engine.evaluate(self._source, params)
        return found.loss + found.penalty

    def explosion(self, progress: Progress, rate: float) -> Diverged:
        """Return what there is to say of it."""
        column, magnitude = self._source.largest_entry()
        found = Diverged(progress.epochs + 1, progress.steps, rate, column, magnitude)
        found.has_rate = self._has_rate
        found.layer = self._layer_to_blame(progress) if self._monitor else None
        return found

    def _layer_to_blame(self, progress: Progress) -> tuple[int, str] | None:
        """Return number and name of the layer at which a network explodes."""
        blame = getattr(self._engine, "layer_to_blame", None)
        if blame is None:
            return None
        blamed: tuple[int, str] | None = blame(progress.history)
        if blamed is None:  # in the first epoch: by what there is at the start
            figures = self._engine.evaluate(self._source, self._reference.start).figures or {}
            blamed = blame({k: [v] for k, v in figures.items()})
        return blamed

    def is_in_vain(self, progress: Progress) -> bool:
        """Tell whether training ends above its start, and may try smaller steps instead."""
        last = progress.history["objective"][-1]
        return self._respond == "backoff" and last > IN_VAIN * self.start_objective()

    def went_back(self, now: Progress, explosion: Diverged) -> Progress:
        """Return the progress before the best epoch, with smaller steps; or raise."""
        if self._respond == "raise" or now.backoffs >= MOST_BACKOFFS:
            raise explosion
        progress = self._reference.best.copy()
        progress.factor, progress.epochs = now.factor, now.epochs
        progress.backoffs = now.backoffs + 1
        progress.history, progress.is_shared = now.history, now.is_shared
        progress.reference = dataclasses.replace(self._reference)
        if self._respond == "backoff":
            progress.factor *= BACKOFF
        return progress

    def warn_of_a_rise(self, progress: Progress) -> None:
        """Warn where the objective ends many times above its start.

        An epoch's is a mean over its steps, and a few coefficients that were large for a while can
        dominate it, so the objective at the end is computed before anything is said.
        """
        last = progress.history.get("objective", [])[-1:]
        if not last or last[0] <= RISEN or last[0] <= RISEN * self.start_objective():
            return
        end = self._objective_at(progress.params)
        if end <= RISEN or end <= RISEN * self.start_objective():
            return
        advice = "take a smaller eta0, or pass" if self._has_rate else "or pass"
        warn(
            f"The objective rose from {self.start_objective():.3g} to {end:.3g}: the "
            f"coefficients have been thrown off. Scale the features, {advice} clip_norm=1.0 or "
            "on_divergence='backoff'.",
            ConvergenceWarning,
            stacklevel=2,
        )


def warn_of_decay(share: float) -> None:
    """Warn where the last step's decay asked for more than all of a coefficient.

    A step of length h keeps the share max(0, 1 - h l2): beyond h l2 = 1 it rests elsewhere than at
    the minimum.
    """
    if share <= 1.0:
        return
    warn(
        f"The last step's length (the learning rate, divided by 1 - momentum where there is one) "
        f"times the strength of the l2 penalty was {share:.3g}. Above 1, each step drops all of "
        "the coefficients, and they are not near the minimum of the objective. Take a smaller "
        "eta0, momentum or alpha.",
        ConvergenceWarning,
        stacklevel=2,
    )
