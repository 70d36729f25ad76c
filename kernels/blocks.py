"""Block coordinate descent on products of columns: l1 of rows of coefficients, and l2.

    min_W  tr(W G W') / 2 - tr(W Q') + l1 sum_j |W_j| + l2/2 |W|^2

is what squared errors of K targets on m columns are, with G = Z'Z / mass, Q = T'Z / mass and |W_j|
the Euclidean norm of a column's K coefficients: the lasso for K = 1, else the multi-task lasso. A
step minimises over one column's coefficients exactly,

    rho = S_j + G_jj W_j,    W_j <- max(0, 1 - l1 / |rho|) rho / (G_jj + l2),    S = Q - W G

and costs K m, whatever the number of rows (``descend_blocks``); where rows are fewer than columns,
S_j is had of the residuals at K n (``descend_columns``). Descent ends by the duality gap.

References
----------
.. [1] Friedman, Hastie & Tibshirani, "Regularization paths for generalized linear models via
   coordinate descent", 2010, section 2.2: covariance updates.
.. [2] Obozinski, Taskar & Jordan, "Joint covariate selection and joint subspace selection for
   multiple classification problems", 2010.
"""

import math
from typing import NamedTuple

import numpy as np

from fastgd.kernels._jit import helper, kernel

SWEEPS_BETWEEN_GAPS = 10


class Penalty(NamedTuple):
    """The strengths of both norms; ``positive`` asks for W >= 0 and goes with one target."""

    l1: float
    l2: float
    positive: bool


class Blocks(NamedTuple):
    """Products of columns and of targets.

    matrix : (m, m), float64, G; a column whose diagonal is 0 keeps its coefficients
    along : (K, m), float64, Q
    square : float, the targets' |T|^2 / mass
    """

    matrix: np.ndarray
    along: np.ndarray
    square: float


@kernel(allocates=True)
def descend_blocks(blocks, penalty, tol, floor, most, coef, slope):
    """Minimise until the duality gap is at most ``tol`` times the objective, or ``floor``.

    Parameters
    ----------
    blocks : Blocks
    penalty : Penalty
    tol, floor : float
    most : int
        Sweeps at most.
    coef : (K, m), float64, where to start; changed in place
    slope : (K, m), float64, written: S at the end

    Returns
    -------
    gap : float
    objective : float
    sweeps : int
    """
    n_targets, m = coef.shape
    for k in range(n_targets):
        slope[k] = blocks.along[k]
        for j in range(m):
            if coef[k, j] != 0.0:
                _take_off(slope[k], blocks.matrix[j], coef[k, j])
    rho = np.empty(n_targets)
    gap, objective = gap_of(blocks, penalty, coef, slope)
    sweeps = 0
    while sweeps < most and not gap <= max(tol * objective, floor):
        some = min(SWEEPS_BETWEEN_GAPS, most - sweeps)
        for inner in range(some):
            only_active = inner > 0
            for j in range(m):
                if not only_active or _is_active(coef, j):
                    _step(blocks.matrix, penalty, j, coef, slope, rho)
        sweeps += some
        gap, objective = gap_of(blocks, penalty, coef, slope)
    return gap, objective, sweeps


@helper()
def _is_active(coef, j):
    size = 0.0
    for k in range(coef.shape[0]):
        size += abs(coef[k, j])
    return size > 0.0


@helper()
def _scale(penalty, size, rho):
    """Return what rho is multiplied by to be a column's coefficients; it is cut at 0 if asked."""
    square = 0.0
    for k in range(rho.shape[0]):
        if penalty.positive and rho[k] < 0.0:
            rho[k] = 0.0
        square += rho[k] * rho[k]
    norm = math.sqrt(square)
    return (1.0 - penalty.l1 / norm) / (size + penalty.l2) if norm > penalty.l1 else 0.0


@helper()
def _step(matrix, penalty, j, coef, slope, rho):
    """Minimise over the coefficients of one column."""
    size = matrix[j, j]
    if not size > 0.0:
        return
    for k in range(coef.shape[0]):
        rho[k] = slope[k, j] + size * coef[k, j]
    scale = _scale(penalty, size, rho)
    for k in range(coef.shape[0]):
        change = rho[k] * scale - coef[k, j]
        if change != 0.0:
            coef[k, j] = rho[k] * scale
            _take_off(slope[k], matrix[j], change)


@helper()
def _take_off(total, row, factor):
    for i in range(total.shape[0]):
        total[i] -= factor * row[i]


@helper()
def gap_of(blocks, penalty, coef, slope):
    """Return the duality gap, and the objective.

    The dual point is the residual R, scaled until no column's correlation exceeds l1; the l2 part
    counts as rows of X. Where l2 > 0, R itself is one as well, and the better bound is taken.

    Parameters
    ----------
    blocks : Blocks
    penalty : Penalty
    coef, slope : (K, m), float64, W and S = Q - W G

    Returns
    -------
    gap, objective : float, of the mean of squares
    """
    residual, level = blocks.square, blocks.square
    for k in range(coef.shape[0]):
        for j in range(coef.shape[1]):
            residual -= coef[k, j] * (blocks.along[k, j] + slope[k, j])
            level -= coef[k, j] * blocks.along[k, j]
    return _gap(max(residual, 0.0), level, penalty, coef, slope)


@helper()
def _gap(residual, level, penalty, coef, slope):
    """Return the same of |R|^2 / mass, of R'T / mass, and of the correlations R'Z / mass."""
    n_targets, m = coef.shape
    squares, norms, largest, excess = 0.0, 0.0, 0.0, 0.0
    for j in range(m):
        own, with_l2, without = 0.0, 0.0, 0.0
        for k in range(n_targets):
            w, s = coef[k, j], slope[k, j]
            own += w * w
            both = s - penalty.l2 * w
            if penalty.positive:
                both, s = max(both, 0.0), max(s, 0.0)
            with_l2 += both * both
            without += s * s
        squares += own
        norms += math.sqrt(own)
        largest = max(largest, with_l2)
        excess += max(math.sqrt(without) - penalty.l1, 0.0) ** 2
    largest = math.sqrt(largest)
    share = penalty.l1 / largest if largest > penalty.l1 else 1.0
    objective = 0.5 * residual + penalty.l1 * norms + 0.5 * penalty.l2 * squares
    dual = share * level - 0.5 * share * share * (residual + penalty.l2 * squares)
    if penalty.l2 > 0.0:
        dual = max(dual, level - 0.5 * residual - 0.5 * excess / penalty.l2)
    return max(objective - dual, 0.0), objective


class Columns(NamedTuple):
    """Columns and targets of weighted rows.

    values : (m, n), float64; a column is a row of it
    weight : (n,), float64, over their sum; rows of weight 0 are left out
    mean : (m,), float64, what is taken off a column; 0 without an intercept
    size : (m,), float64, its mean square then; a column of size 0 keeps its coefficients
    targets : (K, n), float64, centered
    """

    values: np.ndarray
    weight: np.ndarray
    mean: np.ndarray
    size: np.ndarray
    targets: np.ndarray


@kernel(allocates=True)
def descend_columns(columns, penalty, tol, floor, most, coef, slope):
    """Do what ``descend_blocks`` does, of the columns themselves.

    Weighted residuals are kept, which add up to zero where columns are centered: so their products
    with columns are those with centered ones.

    Parameters
    ----------
    columns : Columns
    penalty : Penalty
    tol, floor : float
    most : int
        Sweeps at most.
    coef : (K, m), float64, where to start; changed in place
    slope : (K, m), float64, written: the columns' correlations with the residuals at the end

    Returns
    -------
    gap : float
    objective : float
    sweeps : int
    """
    n_targets, m = coef.shape
    n = columns.weight.shape[0]
    residual, rho = np.empty((n_targets, n)), np.empty(n_targets)
    for k in range(n_targets):
        for i in range(n):
            residual[k, i] = columns.targets[k, i] * columns.weight[i]
        for j in range(m):
            if coef[k, j] != 0.0:
                _subtract(columns, j, coef[k, j], residual[k])
    gap, objective = _gap_of_columns(columns, penalty, coef, slope, residual)
    sweeps = 0
    while sweeps < most and not gap <= max(tol * objective, floor):
        some = min(SWEEPS_BETWEEN_GAPS, most - sweeps)
        for inner in range(some):
            for j in range(m):
                if inner == 0 or _is_active(coef, j):
                    _step_of_column(columns, penalty, j, coef, residual, rho)
        sweeps += some
        gap, objective = _gap_of_columns(columns, penalty, coef, slope, residual)
    return gap, objective, sweeps


@helper()
def _subtract(columns, j, factor, residual):
    """Take a column off weighted residuals, times a factor."""
    values, mean = columns.values[j], columns.mean[j]
    for i in range(residual.shape[0]):
        residual[i] -= factor * columns.weight[i] * (values[i] - mean)


@helper()
def _product(values, residual):
    total = 0.0
    for i in range(residual.shape[0]):
        total += values[i] * residual[i]
    return total


@helper()
def _step_of_column(columns, penalty, j, coef, residual, rho):
    """Minimise over the coefficients of one column."""
    size = columns.size[j]
    if not size > 0.0:
        return
    for k in range(coef.shape[0]):
        rho[k] = _product(columns.values[j], residual[k]) + size * coef[k, j]
    scale = _scale(penalty, size, rho)
    for k in range(coef.shape[0]):
        change = rho[k] * scale - coef[k, j]
        if change != 0.0:
            coef[k, j] = rho[k] * scale
            _subtract(columns, j, change, residual[k])


@helper()
def _gap_of_columns(columns, penalty, coef, slope, residual):
    """Return the duality gap and the objective; write the correlations."""
    square, level = 0.0, 0.0
    for k in range(coef.shape[0]):
        for i in range(residual.shape[1]):
            if columns.weight[i] > 0.0:
                square += residual[k, i] * residual[k, i] / columns.weight[i]
                level += residual[k, i] * columns.targets[k, i]
        for j in range(coef.shape[1]):
            some = columns.size[j] > 0.0
            slope[k, j] = _product(columns.values[j], residual[k]) if some else 0.0
    return _gap(square, level, penalty, coef, slope)
