"""What a proof of the suboptimality needs of each row; see ``fastgd._solvers._certificates``."""

from fastgd.kernels import losses
from fastgd.kernels._jit import kernel
from fastgd.kernels.sdca import solve_intercept

POLISHING = 3


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
