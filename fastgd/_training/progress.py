"""What a training is given, and where it stands: plain arrays and numbers."""

import dataclasses
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from fastgd._parameters.resolve import Schedule, ahead_of
from fastgd.schedules import Course

History = dict[str, list[float]]

# numbers of a parameter that lie side by side without a gap, and that there are in a record
MOST_SIDE_BY_SIDE, IN_RECORD = 4, 8
CACHE_LINE = 64  # bytes
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
        _refuse_two_averages(optimizer, average=average)
        state = np.zeros((optimizer.n_slots, *params.shape), params.dtype)
        total = np.zeros(_shape_of_average(params, average=average))
        kind, ahead = kind_of(optimizer), ahead_of(optimizer)
        return cls(params.copy(), state, total, seed, optimizer=kind, ahead=ahead)

    def copy(self) -> "Progress":
        """Return a copy that shares nothing but the history, which may be long and only grows."""
        copied = self.with_own_params()
        copied.state = copy_of_state(self.state)
        copied.average, copied.residual = self.average.copy("K"), self.residual.copy("K")
        return copied

    def with_own_params(self) -> "Progress":
        """Return a copy that shares all arrays but the parameters, for what copies them anyway."""
        copied = object.__new__(type(self))
        copied.__dict__.update(self.__dict__)
        copied.params = self.params.copy("K")
        return copied

    def go_on_with(self, optimizer: Any, *, average: bool) -> None:
        """Take what a further call asks for; a state or average of another kind begins anew.

        Arrays are replaced, but for the parameters, which are changed in place.

        Raises
        ------
        ValueError
            If an average is asked for of an optimizer that averages by itself.
        """
        _refuse_two_averages(optimizer, average=average)
        kind, ahead = kind_of(optimizer), ahead_of(optimizer)
        shape = (optimizer.n_slots, *self.params.shape)
        is_same = kind == self.optimizer and shape == self.state.shape
        self.go_ahead(ahead if is_same else 0.0)  # a new state begins at what predicts
        if not is_same:
            self.state, self.optimizer = np.zeros(shape, self.params.dtype), kind
        if self.average.shape != _shape_of_average(self.params, average=average):
            self.average = np.zeros(_shape_of_average(self.params, average=average))
            self.averaged = 0
        self.ahead = ahead

    def lay_state_out(self, *, by_parameter: bool) -> None:
        """Lay the numbers of a parameter side by side in memory, or those of a slot.

        Steps that touch few parameters, at random places, then read one place for each: where they
        are many, in records as ``spare_of`` tells.
        """
        slots_last = np.moveaxis(self.state, 0, -1)
        if not by_parameter:
            self.state = np.ascontiguousarray(self.state)
        elif spare_of(self.state) is None and needs_records(self.state):
            records = _records_like(self.state, np.zeros)
            records[..., : self.state.shape[0]] = slots_last
            self.state = _slots_of(records, self.state.shape[0])
        elif not slots_last.flags.c_contiguous and not needs_records(self.state):
            self.state = np.moveaxis(slots_last.copy("C"), -1, 0)

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
            lag = self.state[0] if self.ahead == 1.0 else self.ahead * self.state[0]
            return (self.params - lag).astype(self.params.dtype, copy=False)
        if self.averaged == 0:
            return self.params
        return (self.average / self.averaged).astype(self.params.dtype)


def needs_records(state: NDArray[Any]) -> bool:
    """Tell whether the numbers of a parameter, side by side, could lie in two cache lines or three.

    They are then laid out in records of a power of two numbers, none of which does. The last number
    of a record is ``spare_of``'s.
    """
    return MOST_SIDE_BY_SIDE < state.shape[0] < IN_RECORD


def spare_of(state: NDArray[Any]) -> NDArray[np.int32] | None:
    """Return a whole number in the record of each parameter, which nobody else uses.

    Parameters
    ----------
    state : ndarray of shape (n_slots, *shape)

    Returns
    -------
    spare : ndarray of int32 of shape ``shape``, a view; None where there are no records
    """
    if not needs_records(state):
        return None
    slots_last, size = np.moveaxis(state, 0, -1), state.dtype.itemsize
    if slots_last.strides[-2:] != (IN_RECORD * size, size):
        return None
    words = _whole(state).view(np.int32)
    return words[..., -1]


def copy_of_state(state: NDArray[Any]) -> NDArray[Any]:
    """Return a copy that lies in memory as the state does."""
    if spare_of(state) is None:
        return state.copy("K")
    records = _records_like(state, np.empty)
    records[...] = _whole(state)
    return _slots_of(records, state.shape[0])


def _records_like(state: NDArray[Any], new: Any) -> NDArray[Any]:
    """Return room for records, none of which lies in two cache lines."""
    shape = (*state.shape[1:], IN_RECORD)
    n_bytes = math.prod(shape) * state.dtype.itemsize
    room = new(n_bytes + CACHE_LINE, np.uint8)
    start = -room.ctypes.data % CACHE_LINE
    records: NDArray[Any] = room[start : start + n_bytes].view(state.dtype).reshape(shape)
    return records


def _slots_of(records: NDArray[Any], n_slots: int) -> NDArray[Any]:
    return np.moveaxis(records[..., :n_slots], -1, 0)


def _whole(state: NDArray[Any]) -> NDArray[Any]:
    """Return the records that a state is in, the numbers that are no slots included."""
    slots_last = np.moveaxis(state, 0, -1)
    return as_strided(slots_last, (*slots_last.shape[:-1], IN_RECORD), slots_last.strides)


def kind_of(optimizer: Any) -> str:
    """Return whose state that of an optimizer is, and how it reads it."""
    own = getattr(optimizer, "optimizer", optimizer)
    return type(own).__name__ + str(getattr(own, "reads_state_as", ""))


def _refuse_two_averages(optimizer: Any, *, average: bool) -> None:
    if average and ahead_of(optimizer):
        raise ValueError(
            f"average=True does not go with {type(optimizer).__name__}, whose predictions are "
            "those of an average already."
        )


def _shape_of_average(params: NDArray[Any], *, average: bool) -> tuple[int, ...]:
    return params.shape if average else (0,) * params.ndim


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
