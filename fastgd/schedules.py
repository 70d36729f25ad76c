"""Learning-rate schedules: the rate of each update step, in plain numpy.

A schedule is any callable that takes an array of step numbers, 1-based, and returns the rates of
those steps. The kernels are handed the rates as an array, so that a schedule needs no compilation
and a user's own is as fast as these.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastgd.kernels import losses

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Constant:
    """The same rate in every step: eta = eta0."""

    eta0: float = 0.01

    def __call__(self, t: FloatArray) -> FloatArray:
        """Return the rates of the steps with numbers ``t``."""
        return np.full(t.shape, float(self.eta0))


@dataclass(frozen=True)
class InvScaling:
    """Inverse scaling: eta = eta0 / t^power_t."""

    eta0: float = 0.01
    power_t: float = 0.5

    def __call__(self, t: FloatArray) -> FloatArray:
        """Return the rates of the steps with numbers ``t``."""
        return self.eta0 / np.power(t, self.power_t)


@dataclass(frozen=True)
class Optimal:
    """Bottou's rate for a strongly convex objective: eta = 1 / (alpha (t0 + t - 1)).

    t0 is such that the first step moves by about the size of a typical weight; see ``optimal``.

    References
    ----------
    .. [1] Bottou, "Stochastic Gradient Descent Tricks", 2012, section 5.2.
    """

    alpha: float
    t0: float

    def __call__(self, t: FloatArray) -> FloatArray:
        """Return the rates of the steps with numbers ``t``."""
        return 1.0 / (self.alpha * (self.t0 + t - 1.0))


def optimal(alpha: float, loss: losses.Loss) -> Optimal:
    """Return Bottou's schedule for a penalty's strength and a loss, as scikit-learn has it.

    A typical weight is w = alpha^(-1/4), the first rate w / max(1, loss'(1, -w)).
    """
    typical = np.sqrt(1.0 / np.sqrt(alpha))
    binary = losses.LogLoss() if type(loss).kind == losses.MULTINOMIAL else loss
    first_rate = typical / max(1.0, float(losses.gradient(binary, 1.0, -typical)))
    return Optimal(alpha, 1.0 / (first_rate * alpha))


SCHEDULES = ("constant", "invscaling", "optimal")
