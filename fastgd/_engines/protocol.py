"""What a trainer asks of an engine, and what they hand each other."""

import math
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from fastgd._data.source import Block, Source
from fastgd._training.progress import Progress

Total = Any  # a float, or one for each output: ndarray of shape (n_outputs,)


class ParameterLayout(NamedTuple):
    """Which entries of the parameters are penalised, and which are free.

    penalised, free : slices of the parameters' first axis
    """

    penalised: slice
    free: slice


LINEAR = ParameterLayout(slice(None, -1), slice(-1, None))  # coefficients, then the intercept


class Plan(NamedTuple):
    """Steps to take on a block of rows.

    batch_size : int
    coefficients : ndarray, what ``Engine.step_coefficients`` returned of these steps
    average_from : int, the number of steps before the first that is averaged; n_steps for none
    first_step : int, the number of the first step of all, 1-based
    seed : int, of the random numbers of quantizers
    unit : float, the mean weight that gradients are divided by
    """

    batch_size: int
    coefficients: NDArray[np.float64]
    average_from: int
    first_step: int
    seed: int
    unit: float

    def step(self, t: int) -> "Plan":
        """Return the plan of one of the steps alone."""
        return self._replace(
            coefficients=self.coefficients[t : t + 1],
            average_from=max(self.average_from - t, 0),
            first_step=self.first_step + t,
        )


class Sums(NamedTuple):
    """What steps evaluated, each before its update: sums over their rows.

    loss : weighted
    penalty : once for each row
    n_clipped : the number of steps whose gradient was clipped
    """

    loss: Total
    penalty: Total
    n_clipped: Total


class Trace(NamedTuple):
    """What several epochs leave.

    sums : ndarray of shape (n_epochs, 3), the entries of ``Sums`` for each
    iterates : ndarray of shape (n_epochs, *parameters' shape), the parameters after each
    """

    sums: NDArray[np.float64]
    iterates: NDArray[Any]


class Gradient(NamedTuple):
    """Of the mean loss of a batch, as a worker sends it.

    values : ndarray of the parameters' shape
    sums : Sums
    """

    values: NDArray[Any]
    sums: Sums


class Evaluation(NamedTuple):
    """The objective of all rows at some parameters.

    loss, penalty : float
    gradient : ndarray of the parameters' shape: of a smooth objective its gradient; where the
        penalty is not smooth, what a short proximal step moves, by its length
    figures : dict of str to float, or None
        What else a model has to say of its parts; it goes into the history.
    """

    loss: float
    penalty: float
    gradient: NDArray[Any]
    figures: dict[str, float] | None = None


class Engine(Protocol):
    """A model's arithmetic on one device.

    One of layers may have a method ``layer_to_blame(figures)`` besides: from lists of
    ``Evaluation.figures`` to the number and name of the layer that explodes, or None. One whose
    steps are long says in ``steps_at_once`` how many to hand it at once. One that has the objective
    for less than its gradient may have a method ``objective(source, params)``.

    Attributes
    ----------
    layout : ParameterLayout
    is_one_problem : bool
        Whether all outputs share one objective, by which they stop together.
    clips : bool
        Whether steps may be clipped.
    repeats : bool
        Whether ``run_epochs`` may be asked for: parameters are all that changes.
    uses_blas : bool
        Whether a run calls into BLAS, whose threads must be held then.
    """

    layout: ParameterLayout
    is_one_problem: bool
    clips: bool
    repeats: bool
    uses_blas: bool

    def allocate(self, progress: Progress, source: Source, batch_size: int) -> None:
        """Take the arrays of a training, and make those that it needs besides."""

    def step_coefficients(self, rates: NDArray[np.float64], first_step: int) -> NDArray[np.float64]:
        """Return what does not depend on the parameters of the steps at these rates, row by row."""

    def run(self, block: Block, plan: Plan) -> Sums:
        """Take the steps of a plan: gradient, transform and step in one pass over the rows."""

    def run_epochs(self, block: Block, plan: Plan, n_epochs: int) -> Trace:
        """Take the steps of several epochs, whose rows are in one block, one after the other."""

    def gradient(self, block: Block, plan: Plan) -> Gradient:
        """Return the transformed gradient of a batch, of a plan of one step."""

    def apply(self, gradient: Gradient, plan: Plan) -> None:
        """Take one step from a gradient."""

    def evaluate(self, source: Source, params: NDArray[Any]) -> Evaluation:
        """Return the objective of all rows, and its gradient."""

    def parameters(self) -> NDArray[Any]:
        """Return the parameters in host memory, a copy."""

    def is_finite(self) -> bool:
        """Tell whether all parameters are finite numbers."""

    def last_decay(self, coefficients: NDArray[np.float64]) -> float:
        """Return which share of a coefficient the last step's decay asks for; 0 if unknown."""


class Reduce(Protocol):
    """How gradients of several workers become one.

    Attributes
    ----------
    is_local : bool
        Whether there is one worker only: then steps need not be taken one at a time.
    """

    is_local: bool

    def combine(self, gradient: Gradient) -> Gradient:
        """Return the mean of the workers' gradients."""


class Local:
    """One worker, whose gradients are its own."""

    is_local = True

    def combine(self, gradient: Gradient) -> Gradient:
        """Return the gradient."""
        return gradient


def is_finite(flat: NDArray[Any]) -> bool:
    """Tell whether all entries of an array of one axis are finite numbers."""
    # their squares may overflow where they do not
    return math.isfinite(flat.dot(flat)) or bool(np.isfinite(flat).all())


def total(values: Total) -> float:
    """Return the sum over the outputs."""
    return float(values if isinstance(values, float) else values.sum())
