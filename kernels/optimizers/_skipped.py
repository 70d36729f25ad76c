"""Steps that did not touch a coordinate: what they would have made of it, in closed form."""

import math
from typing import NamedTuple

import numpy as np

from fastgd.kernels import penalties
from fastgd.kernels._jit import helper, kernel
from fastgd.kernels.elementary import exp

SMALLEST_MOMENTUM = 1e-300  # has a logarithm, and fades in one step
NEGLIGIBLE_VELOCITY = 1e-30  # float32 turns denormal, and slow, at 1e-38
SMALLEST_DECAY = 1e-30  # a decay by all there is leaves this share, which has a logarithm


class SkippedSteps(NamedTuple):
    """Steps that did not touch a coordinate.

    steps : how many
    time : how long they were, for ``penalties.skip``
    carry_before, carry_after : a further measure of the steps at their beginning and end: how
        far a unit of velocity carries on (``backward_coasts``), the logarithm of what decay
        left, or the rate
    """

    steps: int
    time: float
    carry_before: float
    carry_after: float


@helper()
def faded(velocity, momentum, steps):
    """Return what skipped steps leave of a velocity; none where float32 turns denormal."""
    left = velocity * exp(math.log(max(np.float64(momentum), SMALLEST_MOMENTUM)) * steps)
    return left if abs(left) > NEGLIGIBLE_VELOCITY else 0.0


@kernel()
def cumulative_times(penalty, lengths, out):
    """Write the time, for ``penalties.skip``, that has passed after 0, 1, ... n steps."""
    out[0] = 0.0
    for t in range(lengths.shape[0]):
        out[t + 1] = out[t] + penalties.time_of_step(penalty, lengths[t])


@kernel()
def backward_coasts(penalty, momentum, reach, times, out):
    """Write how far a unit of velocity carries from each step to the span's end.

    C_t = (reach_{t+1} + momentum C_{t+1}) / shrinkage_{t+1}, with reach_t = rate_t x momentum:
    backward, so that nothing cancels.
    """
    n_steps = reach.shape[0]
    out[n_steps] = 0.0
    for t in range(n_steps - 1, -1, -1):
        shrinkage = penalties.skip(penalty, 1.0, times[t + 1] - times[t])
        out[t] = (reach[t] + momentum * out[t + 1]) / shrinkage


def forward_decays(step_coefficients):
    """Return the logarithm of what decay leaves after 0, 1, ... n steps."""
    logs = np.zeros(step_coefficients.shape[0] + 1)
    np.cumsum(np.log(np.maximum(1.0 - step_coefficients[:, 3], SMALLEST_DECAY)), out=logs[1:])
    return logs
