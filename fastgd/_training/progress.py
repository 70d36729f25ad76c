"""What a training is given, and where it stands: plain arrays and numbers."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastgd._parameters.resolve import Schedule, ahead_of
from fastgd.schedules import Course

History = dict[str, list[float]]

EPOCHS_KEPT = 1 << 14  # of earlier calls of partial_fit; twice as many before the rest is dropped


@dataclasses.dataclass
class Reference:
    """What an exploding training is measured by, and where it goes back to.

    Attributes
    ----------
    rows : int
        Checksum of the targets: a call on other rows begins anew.
    start : ndarray of the parameters' shape
        The parameters that training began with.
    start_objective : float or None
        Their objective, once it was asked for.
    best : Progress
        Before the epoch of the lowest objective.
    least : float
        That objective.
    """

    rows: int
    start: NDArray[Any]
    start_objective: float | None
    best: "Progress"
    least: float


@dataclasses.dataclass
class Epoch:
    """An epoch that is under way.

    Attributes
    ----------
    start : ndarray
        The parameters that it began with.
    before : Progress or None
        The same and more, where training may go back to it.
    loss, penalty, n_clipped : float or ndarray of shape (n_outputs,)
        Sums over the rows so far.
    n_seen, n_steps : int
    seconds : float
    """

    start: NDArray[Any]
    before: "Progress | None" = None
    loss: Any = 0.0
    penalty: Any = 0.0
    n_clipped: Any = 0.0
    n_seen: int = 0
    n_steps: int = 0
    seconds: float = 0.0


@dataclasses.dataclass
class Unfinished:
    """What a training needs besides its progress to go on as if it had never ended.

    Attributes
    ----------
    first : int
        Epochs before the call.
    rows : int
        Fingerprint of the rows.
    stopping : dict
        What the stopping rule has seen.
    reference : Reference
    epoch : Epoch or None
        That which is under way; None between two of them.
    has_ended : bool
        Whether no epoch is to follow.
    is_fitted : bool
        Whether the call has ended, so that nothing is left to be done.
    of_observer : object
        What the observer remembers.
    """

    first: int
    rows: int
    stopping: dict[str, Any]
    reference: Reference | None
    epoch: Epoch | None = None
    has_ended: bool = False
    is_fitted: bool = False
    of_observer: Any = None


@dataclasses.dataclass
class Progress:
    """Where training stands; it belongs to the estimator and persists between calls.

    Attributes
    ----------
    params : ndarray of shape (n_features + 1,) or (n_features + 1, n_outputs)
        The iterate, intercept last.
    state : ndarray of shape (n_slots, *params.shape)
        The optimizer's; see ``lay_state_out``.
    average : ndarray of params' shape, float64, or (0,)
        Sum of the averaged iterates.
    averaged, steps, epochs : int
        Iterates in ``average``; update steps and epochs so far.
    seed : int
        Of the orders in which rows are visited.
    optimizer : str
        Whose state that is, and how it reads it where it may be read in several ways.
    factor : float
        What the schedule's rates are multiplied by: less than 1 where they had to shrink.
    backoffs : int
        How often ``on_divergence="backoff"`` went back.
    course : Course or None
        Where a schedule stands whose rates depend on how training goes.
    measure : str
        What ``course`` has compared: "objective" or "score".
    reference : Reference or None
        Only where ``on_divergence`` may go back.
    history : dict of str to list
    is_shared : bool
        Whether someone else may hold the lists of ``history``, so that they must not grow.
    residual : ndarray of params' shape, or (0,)
        What a quantizer with memory has not sent yet.
    ahead : float
        How far ``params`` lie ahead of what predicts, in units of the state's first slot.
    unfinished : Unfinished or None
        Only in a checkpoint from which the same call can go on.
    """

    params: NDArray[Any]
    state: NDArray[Any]
    average: NDArray[np.float64]
    seed: int
    averaged: int = 0
    steps: int = 0
    epochs: int = 0
    optimizer: str = ""
    factor: float = 1.0
    backoffs: int = 0
    course: Course | None = None
    measure: str = "objective"
    reference: Reference | None = None
    history: History = dataclasses.field(default_factory=dict)
    is_shared: bool = False
    residual: NDArray[Any] = dataclasses.field(default_factory=lambda: np.zeros(0))
    ahead: float = 0.0
    unfinished: Unfinished | None = None

    @classmethod
    def begin(cls, params: NDArray[Any], optimizer: Any, *, average: bool, seed: int) -> "Progress":
        """Return the start of a training from these parameters, which are copied.

        Raises
        ------
        ValueError
            If an average is asked for of an optimizer that averages by itself.
        """
        ahead = ahead_of(optimizer)
        if average and ahead:
            raise ValueError(
                f"average=True does not go with {type(optimizer).__name__}, whose predictions are "
                "those of an average already."
            )
        state = np.zeros((optimizer.n_slots, *params.shape), params.dtype)
        total = np.zeros(params.shape if average else (0,) * params.ndim)
        own = getattr(optimizer, "optimizer", optimizer)
        kind = type(own).__name__ + getattr(own, "reads_state_as", "")
        return cls(params.copy(), state, total, seed, optimizer=kind, ahead=ahead)

    def copy(self) -> "Progress":
        """Return a copy that shares nothing but the history, which may be long and only grows."""
        copied = object.__new__(type(self))
        copied.__dict__.update(self.__dict__)
        for name in ("params", "state", "average", "residual"):
            setattr(copied, name, getattr(self, name).copy("K"))
        return copied

    def lay_state_out(self, *, by_parameter: bool) -> None:
        """Lay the numbers of a parameter side by side in memory, or those of a slot.

        Steps that touch few parameters, at random places, then read one place for each.
        """
        slots_last = np.moveaxis(self.state, 0, -1)
        if by_parameter and not slots_last.flags.c_contiguous:
            self.state = np.moveaxis(slots_last.copy("C"), -1, 0)
        elif not by_parameter and not self.state.flags.c_contiguous:
            self.state = self.state.copy("C")

    @property
    def is_as_reported(self) -> bool:
        """Whether the iterate itself is what predicts."""
        return self.averaged == 0 and not self.ahead

    def go_ahead(self, ahead: float) -> None:
        """Let the parameters lie so far ahead of what predicts, which stays where it is."""
        if ahead != self.ahead:
            self.params += ((ahead - self.ahead) * self.state[0]).astype(self.params.dtype)
            self.ahead = ahead

    def stand_at(self, reported: NDArray[Any], columns: Any = ...) -> None:
        """Go on from parameters that predict, where others are trained."""
        self.params[columns] = reported[columns]
        self.state[0][columns] = 0.0

    def without_past(self) -> "Progress":
        """Return a copy to go back to: the history goes on, and references are no chain."""
        copied = self.copy()
        copied.history, copied.reference = {}, None
        return copied

    def note(self, figures: dict[str, list[float]]) -> None:
        """Add the figures of some epochs to the history."""
        history = self.history
        n_before = len(history.get("objective", ()))
        for name, values in figures.items():
            entries = history.get(name)
            if entries is None:
                entries = history[name] = []
            if len(entries) < n_before:
                entries.extend([np.nan] * (n_before - len(entries)))
            entries.extend(values)

    def continued_history(self) -> History:
        """Return a history for a further call to extend, without a copy where nobody else looks.

        An endless stream of calls keeps the last ``EPOCHS_KEPT`` epochs at least.
        """
        length = max(map(len, self.history.values()), default=0)
        kept = length if length <= 2 * EPOCHS_KEPT else EPOCHS_KEPT
        if kept == length and not self.is_shared:
            return dict(self.history)
        padded = {name: [*v, *[np.nan] * (length - len(v))] for name, v in self.history.items()}
        return {name: values[length - kept :] for name, values in padded.items()}

    def reported(self) -> NDArray[Any]:
        """Return the parameters to predict with: the average where there is one."""
        if self.ahead:
            return (self.params - self.ahead * self.state[0]).astype(self.params.dtype)
        if self.averaged == 0:
            return self.params
        return (self.average / self.averaged).astype(self.params.dtype)


@contextmanager
def cut_back_on_failure(history: History) -> Iterator[None]:
    """Take back what a call has added to the lists of a history, if the block fails."""
    lengths = {name: len(values) for name, values in history.items()}
    try:
        yield
    except BaseException:
        for name, values in history.items():
            del values[lengths.get(name, 0) :]
        raise


class Settings(NamedTuple):
    """How to train; the parameters are the estimators'."""

    batch_size: int
    schedule: Schedule
    shuffle: bool
    average: int
    max_iter: int
    tol: float | None
    n_iter_no_change: int
    on_divergence: str = "raise"
    monitor: bool = False
    schedule_tol: float | None = None
