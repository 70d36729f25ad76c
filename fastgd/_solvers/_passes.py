"""Passes over X for no loss: raw predictions, and products of the standardised rows with slopes."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgd._solvers import _costs
from fastgd._solvers._columns import as_matrix
from fastgd._solvers._problem import PRODUCTS_OF_BLAS, Floats, Problem, over_shards, to_raw
from fastgd.kernels.objective import add_gradient, predict_raw
from fastgd.kernels.rows import Dense

BLOCK_ENTRIES = 1 << 18  # of X in a block: 2 MB


def predictions(problem: Problem, u: Floats) -> Floats:
    """Return the raw predictions of all rows, (n_samples,) or (n_samples, n_outputs)."""
    if problem.passes is not None:
        there: Floats = problem.passes.predictions(problem, u)
        return there
    n, d = problem.shape
    params = to_raw(problem, u)
    if problem.n_outputs == 0:
        raw = np.empty(n)
        over_shards(lambda a, b: predict_raw(problem.rows, params, a, b, raw), n, n * d)
        return raw
    many, columns = np.empty((problem.n_outputs, n)), np.ascontiguousarray(params.T)

    def shard(start: int, stop: int) -> None:
        if isinstance(problem.rows, Dense):
            for at, raw, _ in raw_by_blocks(problem, params, start, stop):
                many[:, at] = raw
            return
        for raw_of_class, column in zip(many, columns, strict=True):
            predict_raw(problem.rows, column, start, stop, raw_of_class)

    over_shards(shard, n, work_of_product(problem))
    return many.T


def products_with(problem: Problem, slopes: NDArray[np.float64]) -> Floats:
    """Return sum_i slopes_i (z_i, 1) of the standardised rows; 0 last without an intercept.

    slopes : (n_samples,) or (n_samples, n_outputs)
    """
    if problem.passes is not None:
        there: Floats = problem.passes.products_with(problem, slopes)
        return there
    g = (
        _products_with_many(problem, slopes)
        if slopes.ndim == 2
        else _products_with(problem, slopes)
    )
    scaler = problem.scaler
    g[:-1] = ((g[:-1].T - np.multiply.outer(g[-1], scaler.center)) * scaler.inverse_std).T
    if not problem.fit_intercept:
        g[-1] = 0.0
    return g


def _products_with(problem: Problem, slopes: Floats) -> Floats:
    """Return sum_i slopes_i (x_i, 1)."""
    n, d = problem.shape

    def shard(start: int, stop: int) -> Floats:
        g = np.zeros(d + 1)
        add_gradient(problem.rows, slopes, start, stop, g)
        return g

    found: Floats = sum(over_shards(shard, n, n * d))
    return found


def _products_with_many(problem: Problem, slopes: Floats) -> Floats:
    """Do the same for each output."""
    found = np.zeros((problem.shape[1] + 1, slopes.shape[1]))
    if isinstance(problem.rows, Dense):
        for first, x in blocks(problem.rows.values, 0, problem.shape[0]):
            found[:-1] += x.T @ slopes[first : first + x.shape[0]]
    else:
        found[:-1] = as_matrix(problem.rows, *problem.shape).T @ slopes
    found[-1] = np.einsum("ik->k", slopes)
    return found


def work_of_product(problem: Problem) -> int:
    """Return about how many entries a product visits; those of dense rows go through BLAS."""
    many = max(1, problem.n_outputs)
    if problem.n_outputs and isinstance(problem.rows, Dense):
        n, d = problem.shape
        return n * (d // PRODUCTS_OF_BLAS + 4) * many
    return _costs.n_entries(problem.rows) * many


def blocks(values: NDArray[Any], start: int, stop: int) -> Iterator[tuple[int, Floats]]:
    """Yield some rows at a time, and the number of the first, as float64."""
    size = max(1, BLOCK_ENTRIES // values.shape[1])
    for first in range(start, stop, size):
        yield first, np.asarray(values[first : min(first + size, stop)], np.float64)


def raw_by_blocks(
    problem: Problem, params: Floats, start: int, stop: int
) -> Iterator[tuple[slice, Floats, Floats]]:
    """Yield some rows' numbers, their raw predictions (n_outputs, size), and dense rows themselves.

    params : (d + 1, n_outputs), of raw columns
    """
    for first, x in blocks(problem.rows.values, start, stop):
        raw = params[:-1].T @ x.T
        raw += params[-1][:, None]
        yield slice(first, first + x.shape[0]), raw, x
