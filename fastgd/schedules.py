"""Learning-rate schedules: the rate of each update step, in plain numpy.

A schedule is any callable that takes an array of step numbers, 1-based, and returns the rates of
those steps. The kernels are handed the rates as an array, so that a schedule needs no compilation
and a user's own is as fast as these.

The schedules here may leave numbers open. ``learning_rate=`` closes them: what is None becomes
the estimator's ``eta0``, or a length that goes with its ``max_iter``, so that "cosine" and
``Cosine(eta_min=1e-4)`` are complete where they are used. Lengths (``length``, ``every``,
``milestones``, ``period``, ``warm_up``) are counted in ``unit``: epochs, or update steps. Rates
change in every step either way, and after ``length`` they stay what they were at its end. Called
by itself, a schedule counts t in its own unit:

>>> from fastgd.schedules import Step
>>> Step(eta0=0.5, every=2, gamma=0.1).values(5)
array([0.5  , 0.5  , 0.05 , 0.05 , 0.005])

Formulas are written in t from 1, as in Robbins and Monro; PyTorch's epoch number is t - 1.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastgd._parameters import fields
from fastgd.kernels import losses

__all__ = [
    "SCHEDULES",
    "Adaptive",
    "Constant",
    "Cosine",
    "CosineRestarts",
    "Course",
    "Exponential",
    "InvScaling",
    "InverseSquareRoot",
    "MultiStep",
    "OneCycle",
    "Optimal",
    "Polynomial",
    "ReduceOnPlateau",
    "Schedule",
    "Step",
    "WarmUp",
    "optimal",
]

FloatArray = NDArray[np.float64]
Open = Any  # a number; or None, until ``bind`` fills it in

STEP, EPOCH = "step", "epoch"
LEAST_CHANGE = 1e-8  # PyTorch's: a plateau changes a rate by more than that, or not at all


# A name means the same in all schedules, and so does what is allowed for it.
_ALLOWED = {
    **dict.fromkeys(("eta0", "gamma", "power", "alpha", "t0"), fields.POSITIVE),
    **dict.fromkeys(("length", "every", "period", "warm_up"), fields.POSITIVE),
    **dict.fromkeys(("eta_min", "end", "patience"), fields.AT_LEAST_ZERO),
    **dict.fromkeys(("multiplier", "start_divisor", "end_divisor"), fields.AT_LEAST_ONE),
    **dict.fromkeys(("start", "share_up", "threshold"), fields.SHARE),
    "divisor": fields.ABOVE_ONE,
    "factor": fields.INSIDE,
    "unit": fields.Allowed("'epoch' or 'step'", lambda value: value in (EPOCH, STEP)),
}
_LENGTHS = {"length", "every", "period", "warm_up"}  # what is counted in ``unit``


@dataclass(frozen=True)
class Schedule(ABC):
    """What the schedules share: checked fields, ``bind`` and ``values``."""

    looks_ahead = True  # rates depend on the steps' numbers alone: they may be computed for many
    is_constant = False  # whether those of all steps are the same

    def __post_init__(self) -> None:
        """Refuse what is out of range."""
        given = {name: value for name, value in vars(self).items() if value is not None}
        fields.check("schedule", self, given, _ALLOWED)

    def __call__(self, t: FloatArray) -> FloatArray:
        """Return the rates of the steps with numbers ``t``."""
        missing = [name for name, value in vars(self).items() if value is None]
        if missing:
            raise ValueError(
                f"{' and '.join(missing)} of the schedule {type(self).__name__!r} must be set to "
                "call it; learning_rate= and bind fill in what is None."
            )
        return self._rates(t)

    @abstractmethod
    def _rates(self, t: FloatArray) -> FloatArray:
        """Return the rates of the steps with numbers ``t``, all fields being set."""

    def values(self, n_steps: int) -> FloatArray:
        """Return the rates of steps 1 to ``n_steps``, to plot them.

        Parameters
        ----------
        n_steps : int
            Counted in ``unit``: an unbound schedule of epochs gives one rate an epoch.

        Returns
        -------
        ndarray of shape (n_steps,)
        """
        return self(np.arange(1.0, n_steps + 1.0))

    def bind(self, eta0: float, steps_per_epoch: int, max_iter: float) -> "Schedule":
        """Return this schedule with what is None filled in, and lengths in update steps.

        Parameters
        ----------
        eta0 : float
            The rate, where none is set.
        steps_per_epoch : int
        max_iter : float
            Epochs of the whole training, which lengths are derived from where none are set.

        Returns
        -------
        Schedule
        """
        in_epochs = getattr(self, "unit", STEP) == EPOCH
        given = {"eta0": eta0, **self._defaults(max_iter * (1 if in_epochs else steps_per_epoch))}
        missing = {name: value for name, value in given.items() if getattr(self, name, 0) is None}
        filled = replace(self, **missing)
        in_steps = {"unit": STEP, **filled._in_steps(steps_per_epoch)} if in_epochs else {}
        return replace(filled, **in_steps)

    def _defaults(self, length: float) -> dict[str, Any]:
        """Return what open fields become in a training of this length."""
        return {"length": length}

    def _in_steps(self, steps_per_epoch: int) -> dict[str, Any]:
        """Return the lengths, counted in update steps."""
        return {name: steps_per_epoch * vars(self)[name] for name in _LENGTHS & vars(self).keys()}

    def begin(self, n_columns: int) -> "Course | None":  # noqa: ARG002 - of those that have one
        """Return where the rates of a new training stand; None where they depend on t alone.

        Parameters
        ----------
        n_columns : int
            Columns that stall each by itself.

        Returns
        -------
        Course or None
        """
        return None


def _share(t: FloatArray, length: float) -> FloatArray:
    """Return which share of ``length`` lies behind the steps, 1 from its end on."""
    return np.minimum((t - 1.0) / length, 1.0)


def _anneal(start: Any, end: Any, share: FloatArray) -> FloatArray:
    """Return half a cosine from ``start`` to ``end``; (1 + cos x) / 2 = cos(x / 2)^2."""
    return end + (start - end) * np.square(np.cos(0.5 * np.pi * share))


@dataclass(frozen=True)
class Constant(Schedule):
    """The same rate in every step: eta = eta0.

    Parameters
    ----------
    eta0 : float or None, default=0.01
        The rate, > 0. None takes the estimator's ``eta0``.
    """

    is_constant = True

    eta0: Open = 0.01

    def _rates(self, t: FloatArray) -> FloatArray:
        return np.full(t.shape, float(self.eta0))


@dataclass(frozen=True)
class InvScaling(Schedule):
    """Inverse scaling: eta = eta0 / t^power_t.

    Parameters
    ----------
    eta0 : float or None, default=0.01
        First rate, > 0. None takes the estimator's ``eta0``.
    power_t : float, default=0.5
        How fast it falls.
    """

    eta0: Open = 0.01
    power_t: float = 0.5

    def _rates(self, t: FloatArray) -> FloatArray:
        return self.eta0 / np.power(t, self.power_t)


@dataclass(frozen=True)
class Optimal(Schedule):
    """Bottou's rate for a strongly convex objective: eta = 1 / (alpha (t0 + t - 1)).

    t0 is such that the first step moves by about the size of a typical weight; see ``optimal``.

    Parameters
    ----------
    alpha : float
        Strength of the convexity, that of the penalty, > 0.
    t0 : float
        Steps that count as taken before the first, > 0.

    References
    ----------
    .. [1] Bottou, "Stochastic Gradient Descent Tricks", 2012, section 5.2.
    """

    alpha: float
    t0: float

    def _rates(self, t: FloatArray) -> FloatArray:
        return 1.0 / (self.alpha * (self.t0 + t - 1.0))


def optimal(alpha: float, loss: losses.Loss) -> Optimal:
    """Return Bottou's schedule for a penalty's strength and a loss, as scikit-learn has it.

    A typical weight is w = alpha^(-1/4), the first rate w / max(1, loss'(1, -w)).

    Parameters
    ----------
    alpha : float
        Strength of the penalty, > 0.
    loss : object
        One of ``fastgd.losses``, or one of your own.

    Returns
    -------
    Optimal
    """
    typical = np.sqrt(1.0 / np.sqrt(alpha))
    binary = losses.LogLoss() if losses.kind_of(loss) == losses.MULTINOMIAL else loss
    first_rate = typical / max(1.0, float(losses.gradient(binary, 1.0, -typical)))
    return Optimal(alpha, 1.0 / (first_rate * alpha))


@dataclass(frozen=True)
class Step(Schedule):
    """A factor every so often: eta = eta0 gamma^floor((t - 1) / every).

    Parameters
    ----------
    eta0 : float or None, default=None
        First rate, > 0. None takes the estimator's ``eta0``.
    gamma : float, default=0.1
    every : float or None, default=None
        None is a third of the training.
    unit : {"epoch", "step"}, default="epoch"
        What ``every`` is counted in.
    """

    eta0: Open = None
    gamma: float = 0.1
    every: Open = None
    unit: str = EPOCH

    def _defaults(self, length: float) -> dict[str, Any]:
        return {"every": length / 3}

    def _rates(self, t: FloatArray) -> FloatArray:
        return self.eta0 * np.power(self.gamma, np.floor((t - 1.0) / self.every))


@dataclass(frozen=True)
class MultiStep(Schedule):
    """A factor after each milestone: eta = eta0 gamma^(number of milestones <= t - 1).

    Parameters
    ----------
    eta0 : float or None, default=None
        First rate, > 0. None takes the estimator's ``eta0``.
    gamma : float, default=0.1
    milestones : sequence of float or None, default=None
        Lengths from the start, > 0 and increasing. None is a half and three quarters of the
        training [1]_.
    unit : {"epoch", "step"}, default="epoch"
        What ``milestones`` are counted in.

    References
    ----------
    .. [1] He, Zhang, Ren & Sun, "Deep Residual Learning for Image Recognition", 2016, section 4.2.
    """

    eta0: Open = None
    gamma: float = 0.1
    milestones: Open = None
    unit: str = EPOCH

    def __post_init__(self) -> None:
        """Refuse numbers out of range, and keep the milestones as a tuple."""
        super().__post_init__()
        if self.milestones is None:
            return
        given = np.asarray(self.milestones)
        is_sequence = given.ndim == 1 and given.dtype.kind in "iuf"
        if (
            not is_sequence
            or not np.isfinite(given).all()
            or (np.diff(given, prepend=0) <= 0).any()
        ):
            fields.refuse("schedule", self, "milestones", "> 0 and strictly increasing")
        object.__setattr__(self, "milestones", tuple(given.tolist()))

    def _defaults(self, length: float) -> dict[str, Any]:
        return {"milestones": (0.5 * length, 0.75 * length)}

    def _in_steps(self, steps_per_epoch: int) -> dict[str, Any]:
        return {"milestones": [length * steps_per_epoch for length in self.milestones]}

    def _rates(self, t: FloatArray) -> FloatArray:
        n_passed = np.searchsorted(np.asarray(self.milestones, float), t - 1.0, side="right")
        return self.eta0 * np.power(self.gamma, n_passed)


@dataclass(frozen=True)
class Exponential(Schedule):
    """A factor each epoch, or step: eta = eta0 gamma^(t - 1).

    Parameters
    ----------
    eta0 : float or None, default=None
        First rate, > 0. None takes the estimator's ``eta0``.
    gamma : float or None, default=None
        Factor of one ``unit``; its steps share it evenly. None divides the rate by 100 over the
        training.
    unit : {"epoch", "step"}, default="epoch"
    """

    eta0: Open = None
    gamma: Open = None
    unit: str = EPOCH

    def _defaults(self, length: float) -> dict[str, Any]:
        return {"gamma": 0.01 ** (1.0 / length)}

    def _in_steps(self, steps_per_epoch: int) -> dict[str, Any]:
        return {"gamma": self.gamma ** (1.0 / steps_per_epoch)}

    def _rates(self, t: FloatArray) -> FloatArray:
        return self.eta0 * np.power(self.gamma, t - 1.0)


@dataclass(frozen=True)
class Polynomial(Schedule):
    """From eta0 down to ``end``: eta = end + (eta0 - end) (1 - s)^power, s = (t - 1) / length.

    Parameters
    ----------
    eta0 : float or None, default=None
        First rate, > 0. None takes the estimator's ``eta0``.
    power : float, default=1.0
        1 is a straight line.
    end : float, default=0.0
        Rate from ``length`` on, >= 0.
    length : float or None, default=None
        None is the whole training.
    unit : {"epoch", "step"}, default="epoch"
        What ``length`` is counted in.
    """

    eta0: Open = None
    power: float = 1.0
    end: float = 0.0
    length: Open = None
    unit: str = EPOCH

    def _rates(self, t: FloatArray) -> FloatArray:
        remaining = np.power(1.0 - _share(t, self.length), self.power)
        return self.end + (self.eta0 - self.end) * remaining


@dataclass(frozen=True)
class Cosine(Schedule):
    """Half a cosine: eta = eta_min + (eta0 - eta_min) (1 + cos(pi s)) / 2, s = (t - 1) / length.

    Parameters
    ----------
    eta0 : float or None, default=None
        First rate, > 0. None takes the estimator's ``eta0``.
    eta_min : float, default=0.0
        Rate from ``length`` on, >= 0, where PyTorch's CosineAnnealingLR rises again.
    length : float or None, default=None
        None is the whole training.
    unit : {"epoch", "step"}, default="epoch"
        What ``length`` is counted in.

    References
    ----------
    .. [1] Loshchilov & Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2017,
       equation 5, without a restart. arXiv:1608.03983
    """

    eta0: Open = None
    eta_min: float = 0.0
    length: Open = None
    unit: str = EPOCH

    def _rates(self, t: FloatArray) -> FloatArray:
        return _anneal(self.eta0, self.eta_min, _share(t, self.length))


@dataclass(frozen=True)
class CosineRestarts(Schedule):
    """Half a cosine again and again, each ``multiplier`` times as long as the one before (SGDR).

    Parameters
    ----------
    eta0 : float or None, default=None
        Rate at each start, > 0. None takes the estimator's ``eta0``.
    eta_min : float, default=0.0
        Rate that each cosine falls to, >= 0.
    period : float or None, default=None
        Length of the first. None lets the third end with the training.
    multiplier : float, default=2.0
        At least 1; PyTorch's is 1 unless it is set.
    unit : {"epoch", "step"}, default="epoch"
        What ``period`` is counted in.

    References
    ----------
    .. [1] Loshchilov & Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2017,
       equation 5. arXiv:1608.03983
    """

    eta0: Open = None
    eta_min: float = 0.0
    period: Open = None
    multiplier: float = 2.0
    unit: str = EPOCH

    def _defaults(self, length: float) -> dict[str, Any]:
        return {"period": length / (1.0 + self.multiplier + self.multiplier**2)}

    def _rates(self, t: FloatArray) -> FloatArray:
        if self.multiplier == 1.0:
            return _anneal(self.eta0, self.eta_min, np.mod(t - 1.0, self.period) / self.period)
        # cosine n begins at 1 + m + ... + m^(n - 1) periods, which is where this is m^n
        m = float(self.multiplier)
        grown = 1.0 + (t - 1.0) / self.period * (m - 1.0)
        begun = np.power(m, np.floor(np.log(grown) / math.log(m)))
        begun = np.where(begun > grown, begun / m, begun)  # the logarithm may round either way
        begun = np.where(begun * m <= grown, begun * m, begun)
        return _anneal(self.eta0, self.eta_min, (grown / begun - 1.0) / (m - 1.0))


@dataclass(frozen=True)
class OneCycle(Schedule):
    """Up to the largest rate by half a cosine, and down to almost nothing by another.

    From eta0 / start_divisor to eta0, which step ``share_up * length`` has, to
    eta0 / start_divisor / end_divisor, which the last step has: PyTorch's OneCycleLR with
    ``three_phase=False``. The momentum is left alone.

    Parameters
    ----------
    eta0 : float or None, default=None
        The largest rate, > 0. None takes the estimator's ``eta0``.
    share_up : float, default=0.3
        Share of ``length`` that goes up, in [0, 1].
    start_divisor : float, default=25.0
    end_divisor : float, default=1e4
    length : float or None, default=None
        None is the whole training.
    unit : {"epoch", "step"}, default="epoch"
        What ``length`` is counted in.

    References
    ----------
    .. [1] Smith & Topin, "Super-Convergence: Very Fast Training of Neural Networks Using Large
       Learning Rates", 2018. arXiv:1708.07120
    """

    eta0: Open = None
    share_up: float = 0.3
    start_divisor: float = 25.0
    end_divisor: float = 1e4
    length: Open = None
    unit: str = EPOCH

    def _rates(self, t: FloatArray) -> FloatArray:
        first = self.eta0 / self.start_divisor
        peak = max(self.share_up * self.length, 1.0)  # the number of the step with the largest rate
        ascent, descent = max(peak - 1.0, 1e-9), max(self.length - peak, 1e-9)
        share = np.minimum(np.where(t < peak, (peak - t) / ascent, (t - peak) / descent), 1.0)
        return _anneal(self.eta0, np.where(t < peak, first, first / self.end_divisor), share)


@dataclass(frozen=True)
class InverseSquareRoot(Schedule):
    """Up in a line, then down by the root: eta = eta0 min(t / warm_up, sqrt(warm_up / t)).

    The Transformer's schedule with its factor d_model^(-1/2) warm_up^(-1/2) as ``eta0``, so that
    eta0 is the largest rate, and t = ``warm_up`` has it.

    Parameters
    ----------
    eta0 : float or None, default=None
        The largest rate, > 0. None takes the estimator's ``eta0``.
    warm_up : float, default=1.0
    unit : {"epoch", "step"}, default="epoch"
        What ``warm_up`` is counted in.

    References
    ----------
    .. [1] Vaswani et al., "Attention Is All You Need", 2017, equation 3. arXiv:1706.03762
    """

    eta0: Open = None
    warm_up: float = 1.0
    unit: str = EPOCH

    def _rates(self, t: FloatArray) -> FloatArray:
        return self.eta0 * np.minimum(t / self.warm_up, np.sqrt(self.warm_up / t))


@dataclass(frozen=True)
class WarmUp(Schedule):
    """A line up to another schedule's first rate, then that schedule from its step 1 on.

    eta = first (start + (1 - start) t / length) for t <= length, then schedule(t - length). Step
    ``length`` has the full rate, and no step a rate of zero; PyTorch's LinearLR is a step behind.

    Parameters
    ----------
    schedule : Schedule or callable
        Where lengths of its own are open, they go with what the warm-up leaves of the training.
    length : float or None, default=None
        None is a twentieth of the training. Parts of a step count as one.
    start : float, default=0.0
        Share of the full rate that the line starts from, in [0, 1].
    unit : {"epoch", "step"}, default="epoch"
        What ``length`` is counted in; ``schedule`` has a unit of its own.

    References
    ----------
    .. [1] Goyal et al., "Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour", 2017,
       section 2.2. arXiv:1706.02677
    """

    schedule: Callable[[FloatArray], FloatArray]
    length: Open = None
    start: float = 0.0
    unit: str = EPOCH

    def __post_init__(self) -> None:
        """Refuse numbers out of range, and what cannot be called."""
        super().__post_init__()
        if not callable(self.schedule) or isinstance(self.schedule, type):
            fields.refuse("schedule", self, "schedule", "a schedule or another callable")

    def _defaults(self, length: float) -> dict[str, Any]:
        return {"length": length / 20}

    def bind(self, eta0: float, steps_per_epoch: int, max_iter: float) -> "WarmUp":
        """Return both schedules bound.

        Parameters
        ----------
        eta0 : float
            The rate, where none is set.
        steps_per_epoch : int
        max_iter : float
            Epochs of the whole training.

        Returns
        -------
        WarmUp
        """
        bound: Any = super().bind(eta0, steps_per_epoch, max_iter)
        if not hasattr(self.schedule, "bind"):
            return bound
        remaining = max(max_iter * steps_per_epoch - math.ceil(bound.length), 1) / steps_per_epoch
        return replace(bound, schedule=self.schedule.bind(eta0, steps_per_epoch, remaining))

    def _rates(self, t: FloatArray) -> FloatArray:
        length = math.ceil(self.length)
        first = np.asarray(self.schedule(np.ones(1)))[0]
        line = first * (self.start + (1.0 - self.start) * t / length)
        return np.where(t <= length, line, self.schedule(np.maximum(t - length, 1.0)))

    def begin(self, n_columns: int) -> "Course | None":
        """Return where the warmed schedule stands.

        Parameters
        ----------
        n_columns : int
            Columns that stall each by itself.

        Returns
        -------
        Course or None
        """
        return self.schedule.begin(n_columns) if hasattr(self.schedule, "begin") else None

    def after_epoch(self, course: "Course", *measured: Any) -> "Course":
        """Return where the warmed schedule stands after an epoch.

        Parameters
        ----------
        course : Course
            Where it stood before.
        *measured : tuple
            What the warmed schedule's ``after_epoch`` takes.

        Returns
        -------
        Course
        """
        stateful: Any = self.schedule
        return stateful.after_epoch(course, *measured)


# -- rates that depend on how training goes -------------------------------------------------------


class Course(NamedTuple):
    """Where a training stands whose rates depend on its values: arrays of one number a column.

    A column is a class of one-vs-rest, or all that share a loss. It is a value: ``after_epoch``
    returns a new one, so that a failed call can be forgotten, and it pickles, so that another call
    goes on from it.

    Parameters
    ----------
    eta0 : float
        The first rate.
    eta : ndarray of shape (n_columns,)
        The rate that a constant schedule would have now.
    best : ndarray of shape (n_columns,)
        The lowest value so far.
    n_bad : ndarray of shape (n_columns,)
        Epochs in a row that did not improve on it.
    ended : ndarray of bool of shape (n_columns,)
        Whether a smaller rate would no longer help.
    """

    eta0: float
    eta: FloatArray
    best: FloatArray
    n_bad: NDArray[np.int64]
    ended: NDArray[np.bool_]

    @classmethod
    def start(cls, eta0: float, n_columns: int) -> "Course":
        """Return the start of a training.

        Parameters
        ----------
        eta0 : float
            The first rate.
        n_columns : int
            Columns that stall each by itself.

        Returns
        -------
        Course
        """
        columns = np.zeros(n_columns)
        is_ended = np.zeros(n_columns, bool)
        return cls(eta0, columns + eta0, columns + np.inf, np.zeros(n_columns, np.int64), is_ended)

    @property
    def factor(self) -> FloatArray:
        """What the rates of the schedule are multiplied by, one number a column."""
        return self.eta / self.eta0

    @property
    def stop(self) -> bool:
        """Whether all columns have ended."""
        return bool(self.ended.all())


@dataclass(frozen=True)
class Adaptive(Schedule):
    """scikit-learn's: eta0, divided by 5 when training stalls, until that is too small.

    When ``n_iter_no_change`` epochs in a row fail to come ``tol`` below the lowest objective (or
    above the best score on rows held out), the rate is divided and they are counted anew; if it is
    then at most ``eta_min``, training stops instead. So the rate goes on in a ``partial_fit``,
    where scikit-learn starts it anew.

    Parameters
    ----------
    eta0 : float or None, default=None
        First rate, > 0. None takes the estimator's ``eta0``.
    divisor : float, default=5.0
        > 1.
    eta_min : float, default=1e-6
        No rate that is larger ends the training.
    """

    is_constant = True

    eta0: Open = None
    divisor: float = 5.0
    eta_min: float = 1e-6

    def _rates(self, t: FloatArray) -> FloatArray:
        return np.full(t.shape, float(self.eta0))

    def begin(self, n_columns: int) -> Course:
        """Return where the rates of a new training stand.

        Parameters
        ----------
        n_columns : int
            Columns that stall each by itself.

        Returns
        -------
        Course
        """
        return Course.start(self.eta0, n_columns)

    def after_epoch(
        self, course: Course, values: FloatArray, tol: float | None, n_iter_no_change: int
    ) -> Course:
        """Return where the rates stand after an epoch.

        Parameters
        ----------
        course : Course
        values : (n_columns,)
            What should fall: objectives, or scores with their sign changed.
        tol : float or None
            None takes every epoch for an improvement.
        n_iter_no_change : int

        Returns
        -------
        Course
        """
        worse = np.zeros(values.shape, bool) if tol is None else values > course.best - tol
        n_bad = np.where(worse, course.n_bad + 1, 0)
        due = (n_bad >= n_iter_no_change) & ~course.ended
        smaller = due & (course.eta > self.eta_min)
        return course._replace(
            eta=np.where(smaller, course.eta / self.divisor, course.eta),
            best=np.where(values < course.best, values, course.best),
            n_bad=np.where(smaller, 0, n_bad),
            ended=course.ended | (due & ~smaller),
        )


@dataclass(frozen=True)
class ReduceOnPlateau(Schedule):
    """PyTorch's: eta0, times ``factor`` when more than ``patience`` epochs in a row do not improve.

    An epoch improves if its value is below best - threshold |best|: PyTorch's ``mode="min"`` for
    positive values and ``mode="max"`` for scores with their sign changed. The rate falls to
    ``eta_min`` at least, and by 1e-8 at least. What PyTorch leaves to its user is added: when the
    rate is due to fall and cannot, training stops.

    Parameters
    ----------
    eta0 : float or None, default=None
        First rate, > 0. None takes the estimator's ``eta0``.
    factor : float, default=0.1
        In (0, 1).
    patience : int, default=10
        >= 0.
    threshold : float, default=1e-4
        In [0, 1].
    eta_min : float, default=0.0
    """

    is_constant = True

    eta0: Open = None
    factor: float = 0.1
    patience: int = 10
    threshold: float = 1e-4
    eta_min: float = 0.0

    def _rates(self, t: FloatArray) -> FloatArray:
        return np.full(t.shape, float(self.eta0))

    def begin(self, n_columns: int) -> Course:
        """Return where the rates of a new training stand.

        Parameters
        ----------
        n_columns : int
            Columns that stall each by itself.

        Returns
        -------
        Course
        """
        return Course.start(self.eta0, n_columns)

    def after_epoch(
        self,
        course: Course,
        values: FloatArray,
        tol: float | None,
        n_iter_no_change: int,  # noqa: ARG002 - those of ``Adaptive``
    ) -> Course:
        """Return where the rates stand after an epoch.

        Parameters
        ----------
        course : Course
        values : (n_columns,)
            What should fall: objectives, or scores with their sign changed.
        tol : float or None
            None never stops; its size does not matter.
        n_iter_no_change : int
            Not used: ``patience`` stands for it.

        Returns
        -------
        Course
        """
        size = np.where(np.isfinite(course.best), np.abs(course.best), 0.0)
        better = values < course.best - self.threshold * size
        n_bad = np.where(better, 0, course.n_bad + 1)
        due = n_bad > self.patience
        reduced = np.maximum(course.eta * self.factor, self.eta_min)
        falls = due & (course.eta - reduced > LEAST_CHANGE) & ~course.ended
        return course._replace(
            eta=np.where(falls, reduced, course.eta),
            best=np.where(better, values, course.best),
            n_bad=np.where(due, 0, n_bad),
            ended=course.ended | (due & ~falls & (tol is not None)),
        )


# What a constructor's ``learning_rate=`` may say; numbers are given by an object.
SCHEDULES: dict[str, Callable[..., Schedule]] = {
    "constant": Constant,
    "invscaling": InvScaling,
    "optimal": Optimal,
    "step": Step,
    "multistep": MultiStep,
    "exponential": Exponential,
    "polynomial": Polynomial,
    "cosine": Cosine,
    "cosine_restarts": CosineRestarts,
    "one_cycle": OneCycle,
    "inverse_sqrt": InverseSquareRoot,
    "adaptive": Adaptive,
    "plateau": ReduceOnPlateau,
}
