"""What a proof of the suboptimality needs of each row; see ``fastgd._solvers._certificates``."""

import math

from fastgd.kernels import losses
from fastgd.kernels._jit import kernel
from fastgd.kernels.sdca import solve_intercept

POLISHING = 3
INVERTING = 5
INVERTED = 1e-5


@kernel()
def best_intercept(loss, y, weight, raw):
    """Return the b that minimises sum_i s_i loss(y_i, raw_i + b).

    Parameters
    ----------
    loss : a loss object
    y, weight, raw : (n_samples,), float64

    Notes
    -----
    Newton's steps inside a bracket; at the end some without a test, which bring the derivative down
    to rounding. Floor: a read of the three arrays a step.
    """
    b = solve_intercept(loss, y, weight, raw, 0.0)
    for _ in range(POLISHING):
        slope, bend = 0.0, 0.0
        for i in range(y.shape[0]):
            slope += weight[i] * losses.gradient(loss, y[i], raw[i] + b)
            bend += weight[i] * losses.curvature(loss, y[i], raw[i] + b)
        if bend <= 0.0:
            break
        b -= slope / bend
    return b


@kernel()
def fenchel_total(loss, y, weight, raw, share):
    """Return sum_i s_i (loss(raw_i) + loss*(t r_i) - t r_i raw_i), r_i = loss'(raw_i).

    Parameters
    ----------
    loss : a loss object with a conjugate
    y, weight, raw : (n_samples,), float64
    share : float, t in [0, 1]
    """
    total = 0.0
    for i in range(y.shape[0]):
        dual = share * losses.gradient(loss, y[i], raw[i])
        pair = losses.value(loss, y[i], raw[i]) + losses.conjugate(loss, y[i], dual)
        total += weight[i] * max(pair - dual * raw[i], 0.0)
    return total


@kernel()
def dual_predictions(loss, y, raw, step, start, stop, out):
    """Write h_i with  loss'(h_i) = loss'(raw_i) + loss''(raw_i) step_i,  or near to it.

    Some of Newton's steps, from where an exponential curve would have it; where the right side is
    no derivative of the loss, they end at one that is near.

    Parameters
    ----------
    loss : a loss object with a curvature
    y, raw, step : (n_samples,), float64
    start, stop : int, the rows
    out : (n_samples,), float64, written

    Notes
    -----
    Floor: four to eight exponentials a row.
    """
    for i in range(start, stop):
        bend = losses.curvature(loss, y[i], raw[i])
        wanted, at = losses.gradient(loss, y[i], raw[i]) + bend * step[i], raw[i]
        if bend > 0.0:
            at += math.copysign(math.log1p(abs(step[i])), step[i])
            most = max(1.0, abs(step[i]))
            for _ in range(INVERTING):
                bend = losses.curvature(loss, y[i], at)
                if not bend > 0.0:
                    break
                move = min(max((wanted - losses.gradient(loss, y[i], at)) / bend, -most), most)
                at += move
                if abs(move) <= INVERTED:  # what is left is its square
                    break
        out[i] = at


@kernel()
def sums_of_slopes(loss, y, weight, raw, shift, start, stop):
    """Return sums of s_i loss'(raw_i + shift), of their magnitudes, and of s_i loss''.

    Parameters
    ----------
    loss : a loss object with a curvature
    y, weight, raw : (n_samples,), float64
    shift : float
    start, stop : int, the rows
    """
    slopes, size, bend = 0.0, 0.0, 0.0
    for i in range(start, stop):
        slope = weight[i] * losses.gradient(loss, y[i], raw[i] + shift)
        slopes += slope
        size += abs(slope)
        bend += weight[i] * losses.curvature(loss, y[i], raw[i] + shift)
    return slopes, size, bend


@kernel()
def divergence(loss, y, weight, raw, other, start, stop, slopes):
    """Return sum_i s_i (loss(raw_i) - loss(other_i) - loss'(other_i) (raw_i - other_i)).

    Parameters
    ----------
    loss : a loss object
    y, weight, raw, other : (n_samples,), float64
    start, stop : int, the rows
    slopes : (n_samples,), float64, written: s_i loss'(other_i)
    """
    for i in range(start, stop):
        slopes[i] = weight[i] * losses.gradient(loss, y[i], other[i])
    total = 0.0  # apart from the stores, or its order would depend on where arrays lie
    for i in range(start, stop):
        slope = losses.gradient(loss, y[i], other[i])
        apart = losses.value(loss, y[i], raw[i]) - losses.value(loss, y[i], other[i])
        total += weight[i] * max(apart - slope * (raw[i] - other[i]), 0.0)
    return total
