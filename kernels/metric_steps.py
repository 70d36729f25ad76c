"""What full-batch descent compiles beside its passes: the l1 step in a metric."""

import numpy as np

from fastgd.kernels._jit import helper, kernel


@kernel()
def first_loop(steps, changes, curvatures, newest, q, shares):
    """Take the newest to the oldest pair's share off q (Nocedal & Wright, algorithm 7.4).

    Parameters
    ----------
    steps, changes : (m, P), float64, s and z: pairs of a step and of the gradient's change
    curvatures : (m,), float64, s'z; a pair with s'z <= 0 is passed over
    newest : int, the row of the newest pair; older ones precede it, cyclically
    q : (P,), float64, changed in place
    shares : (m,), float64, written
    """
    m = curvatures.shape[0]
    for age in range(m):
        r = (newest - age) % m
        shares[r] = 0.0
        if curvatures[r] > 0.0:
            shares[r] = _dot(steps[r], q) / curvatures[r]
            for j in range(q.shape[0]):
                q[j] -= shares[r] * changes[r, j]


@kernel()
def second_loop(steps, changes, curvatures, newest, q, shares):
    """Add the oldest to the newest pair's share to q = H^-1 q; see ``first_loop``."""
    m = curvatures.shape[0]
    for age in range(m - 1, -1, -1):
        r = (newest - age) % m
        if curvatures[r] > 0.0:
            share = shares[r] - _dot(changes[r], q) / curvatures[r]
            for j in range(q.shape[0]):
                q[j] += share * steps[r, j]


@helper()
def _dot(a, b):
    total = 0.0
    for j in range(a.shape[0]):
        total += a[j] * b[j]
    return total


@kernel(allocates=True)
def step_in_metric(metric, gradient, params, sides, accuracy, most, step):
    """Minimise a quadratic model with l1 and lower bounds by cyclic coordinate descent.

        min_p  g'p + p'H p / 2 + sum_j t_j |u_j + p_j|,    u_j + p_j >= c_j

    A soft threshold is right for a diagonal H only; after a full H it stops far above the optimum.

    Parameters
    ----------
    metric : (P, P), float64, H; a coordinate whose diagonal is 0 stays where it is
    gradient, params : (P,), float64: g and u, u >= c
    sides : (2, P), float64: t and c
    accuracy : float
        Sweep until no coordinate's move is worth more than this part of the largest.
    most : int, sweeps
    step : (P,), float64, p; changed in place, starts from what it holds

    Returns
    -------
    gain : float, the model's decrease, >= 0
    worth, largest : float, what the move was worth that lowered the model most in the last sweep,
        and in any

    References
    ----------
    .. [1] Friedman, Hastie & Tibshirani, "Regularization Paths for Generalized Linear Models via
       Coordinate Descent", 2010, section 2.
    """
    size, threshold, lowest = params.shape[0], sides[0], sides[1]
    slope = np.empty(size)  # g + H p
    for i in range(size):
        total = gradient[i]
        for j in range(size):
            total += metric[i, j] * step[j]
        slope[i] = total
    worth, largest = 0.0, 0.0
    for _ in range(most):
        worth = 0.0
        for i in range(size):
            h = metric[i, i]
            if h <= 0.0:
                continue
            old = params[i] + step[i]
            new = old - slope[i] / h
            t = threshold[i] / h
            new = max(max(new - t, 0.0) + min(new + t, 0.0), lowest[i])
            move = new - old
            if move != 0.0:
                step[i] += move
                for j in range(size):
                    slope[j] += move * metric[i, j]
                worth = max(worth, h * move * move)
        largest = max(largest, worth)
        if worth <= accuracy * largest:
            break
    gain = 0.0
    for i in range(size):
        gain -= 0.5 * (gradient[i] + slope[i]) * step[i]
        gain += threshold[i] * (abs(params[i]) - abs(params[i] + step[i]))
    return gain, worth, largest
