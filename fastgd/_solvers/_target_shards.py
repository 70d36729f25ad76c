"""Least squares of many targets, of rows in shards.

Without a penalty, or with l2 alone, all targets share the products of columns: a pass looks at the
rows, one adds up Z'Z and Z'T, and one or more take the residuals of all rows, which correct what
rounding of products has lost, and prove the gap. Where that is not so (l1, non-negative
coefficients, or more columns than products have room for), each target is a problem of its own, and
their descents take passes together (``_together``).
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeVar

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from fastgd._data.shards import Rows, Shards
from fastgd._runtime.threads import one_blas_thread
from fastgd._solvers._magnitudes import magnitudes_of_peaks
from fastgd._solvers._product_shards import (
    MOST_COLUMNS,
    Moments,
    SummedTable,
    frame_of_numbers,
    has_room_for_products,
    moments_of,
    moments_of_both,
)
from fastgd._solvers._ridge_shards import MOST_REFINEMENTS, RidgeOfSums
from fastgd._solvers._shard_sums import FLOATS, Kind, Look, both, look_at
from fastgd._solvers._sharded import TARGETS, kind_of, look, usable
from fastgd._solvers._spectrum import EPSILON
from fastgd._solvers._task import Options, Solution, State
from fastgd._solvers._thin import THIN
from fastgd.kernels.losses import SquaredError

T = TypeVar("T")
Floats = NDArray[np.float64]
RANK = 1e-12  # of a correlation matrix's eigenvalues: below it columns count as dependent
ENOUGH = 1e-9  # of the objective: what is left to be gained that needs no refinement
NOISE = 32.0  # times the float's: what predictions along a direction may be by rounding alone
ROUNDING = 4.0  # times the float's of the targets' mean square: what it may hide


class Several(NamedTuple):
    """How many targets the rows of a shard have, each of which is to be a problem of its own.

    n_targets : int
    dtype : dtype of X
    """

    n_targets: int
    dtype: np.dtype[Any]


def look_for_targets(
    shards: Shards, *, by_products: bool, seed: int
) -> tuple[Look, Kind] | Moments | Several:
    """Take the pass that tells what rows there are, and whether they have one target or many.

    Parameters
    ----------
    shards : Shards
        If they say ``n_targets`` of 1, that is not asked of the rows.
    by_products : bool
        Whether many targets are to be solved by products of columns, if these have room.
    seed : int

    Returns
    -------
    A look and what the shards agree on, of one target; moments, of many that products solve; or
    the number of targets.

    Raises
    ------
    ValueError
        If shards do not agree, or hold what is no number or cannot be added up.
    """
    if getattr(shards, "n_targets", None) == 1:
        return look(shards, classifies=False, loss=SquaredError(), seed=seed)
    kind = kind_of(shards, classifies=False, loss=SquaredError(), seed=seed)
    part = partial(_look_or_count, kind=kind, most=MOST_COLUMNS if by_products else 0)
    found: Any = shards.total(part, partial(_of_both, kind=kind))
    if isinstance(found, Look):
        return usable(found, kind)
    if isinstance(found, Several):
        return found
    if not found.mass > 0.0:
        raise ValueError("the weights of all rows are 0.")
    is_plain = (found.height > TARGETS[0]) & (found.height < TARGETS[1])
    is_plain |= found.height == 0.0
    if not (np.all(is_plain) and has_room_for_products(shards, 0, found.mean.shape[0])):
        return Several(found.level.shape[0], found.dtype)
    return found


def _look_or_count(rows: Rows, kind: Kind, most: int) -> Look | Moments | Several:
    shape = np.shape(rows.y)
    if len(shape) != 2 or shape[1] < 2:
        return look_at(rows, kind)
    if rows.X.shape[1] <= most:
        return moments_of(rows, classifies=False)
    return Several(shape[1], _dtype_read(rows.X))


def _dtype_read(X: Any) -> np.dtype[Any]:
    """Return the dtype in which rows are read: float64 of what is neither that nor float32."""
    dtype = getattr(X, "dtype", None)
    return np.dtype(dtype if dtype in FLOATS else np.float64)


def _of_both(first: Any, second: Any, kind: Kind) -> Any:
    if isinstance(first, Several):
        return first._replace(dtype=np.promote_types(first.dtype, second.dtype))
    if isinstance(first, Moments):
        return moments_of_both(first, second)
    return both(first, second, kind)


class OneTarget:
    """Shards whose rows have one of many targets.

    Parameters
    ----------
    shards : Shards
    k : int
        The target's number.
    """

    def __init__(self, shards: Shards, k: int) -> None:
        self._shards, self._k = shards, k
        self.names, self.spent = shards.names, shards.spent
        for name in ("n_shards", "room"):
            if hasattr(shards, name):
                setattr(self, name, getattr(shards, name))

    def total(self, part: Callable[[Rows], T], add: Callable[[T, T], T]) -> T:
        """Return ``part`` of each shard that has rows, added up in the shards' order."""
        return self._shards.total(partial(_of_target, part=part, k=self._k), add)


def _of_target(rows: Rows, part: Callable[[Rows], T], k: int) -> T:
    return part(rows._replace(y=np.asarray(rows.y)[:, k]))


# -- by products ----------------------------------------------------------------------------------


def squares_by_products(
    shards: Shards, moments: Moments, l2: Floats, *, fit_intercept: bool, options: Options
) -> list[Solution]:
    """Return the solution of each target, whose mean loss has an l2 penalty ``l2``, (n_targets,).

    All of them are 0, or none.

    Raises
    ------
    ValueError
        If sums leave float64.
    """
    units = magnitudes_of_peaks(moments.peak, moments.height)._replace(y=0)
    alpha = l2 * moments.mass
    if alpha.any():
        units = units.for_l2(alpha)
    frame = frame_of_numbers(moments, units, fit_intercept)
    table = SummedTable(shards, moments, frame, fit_intercept)
    ridge = RidgeOfSums(shards, table, frame)
    with one_blas_thread():
        if alpha.any():
            found = ridge.fit_at(units.of_l2(alpha))
            coef, gap, left = found.coef, found.gap, found.gap
            objective = found.objective
        else:
            peak = np.ldexp(moments.peak, -units.x)
            coef, objective, left, is_flat = _least_squares(ridge, peak)
            gap = objective if is_flat else np.minimum(2.0 * left + EPSILON * objective, objective)
    objective, gap, own = _as_stored(table, coef, l2, (objective, gap, left), options.tol)
    figures = objective, gap, left, ROUNDING * EPSILON * table.fit_sums[0].tt / moments.mass
    traces = np.array([one[0] for one in ridge.trace]).T
    models = own.coef, own.intercept.tolist(), own.is_wide.tolist()
    return [
        _solution_of(*one, tol=options.tol)
        for one in zip(*models, np.column_stack(figures), traces, strict=True)
    ]


class _Own(NamedTuple):
    """Coefficients (n_targets, d) and intercepts in the user's units, and which stay in float64."""

    coef: Floats
    intercept: Floats
    is_wide: NDArray[np.bool_]


def _as_stored(
    table: SummedTable,
    coef: Floats,
    l2: Floats,
    figures: tuple[Floats, Floats, Floats],
    tol: float,
) -> tuple[Floats, Floats, _Own]:
    """Return objectives, gaps and coefficients as the dtype of X keeps these.

    ``figures`` are the objectives, the gaps and what is left to be gained before. Those of which
    rounding costs more than ``tol`` allows stay in float64. Of others the objective grows by half
    the mean squares of what moves, the penalty's included, and by the slope.
    """
    objective, gap, left = figures
    exact = np.ascontiguousarray(table.units.user_coef(coef).T)
    intercept = table.intercepts(0, coef.T[None])[0]
    kept = exact.astype(table.dtype).astype(np.float64)
    if table.dtype != np.float32 or not np.all(np.isfinite(kept)):
        return objective, gap, _Own(exact, intercept, np.zeros(intercept.shape, np.bool_))
    off = exact - kept
    lost = np.ldexp(off, table.units.x - table.units.y)  # as coefficients are there
    level = table.intercepts(0, coef.T[None] - lost[None])[0]
    stored = level.astype(np.float32).astype(np.float64)
    moved = np.einsum("kd,de,ke->k", lost, table.blocks(0).matrix, lost, optimize=True)
    moved = np.maximum(moved, 0.0) + (level - stored) ** 2 + l2 * np.sum(off**2, axis=1)
    worse = 0.5 * moved + np.sqrt(2.0 * left * moved)
    asked = tol * objective
    is_wide = (left <= asked) & (left + worse > asked)
    worse = np.where(is_wide, 0.0, worse)
    own = np.where(is_wide[:, None], exact, kept), np.where(is_wide, intercept, stored)
    return objective + np.where(is_wide, 0.0, 0.5 * moved), gap + worse, _Own(*own, is_wide)


def _solution_of(
    coef: Floats, intercept: float, is_wide: bool, figures: Floats, trace: Floats, tol: float
) -> Solution:
    """Return a target's solution; a wide one stays in float64.

    ``figures`` are its objective, gap, what is left to be gained, and what rounding hides of that;
    ``trace`` are the objectives of each pass.
    """
    objective, gap, left, rounding = figures.tolist()
    history = {"objective": trace.tolist(), "suboptimality": [left] * trace.shape[0]}
    counts = trace.shape[0], left <= max(tol * objective, rounding), history
    found = Solution(coef, intercept, objective, gap, left, *counts, State(coef, intercept))
    return found._replace(in_float64=is_wide)


def _least_squares(ridge: RidgeOfSums, peak: Floats) -> tuple[Floats, Floats, Floats, bool]:
    """Return coefficients (d, n_targets) of least norm, objectives, and what is left of these.

    Last is whether there are directions in which rounding hides how far the least value is.
    ``peak`` are the columns' largest magnitudes.

    Eigenvectors are those of the correlations, in which no column counts for its unit; a constant
    column has the coefficient 0.
    """
    blocks, mass = ridge.table.blocks(0), ridge.table.fit_sums[0].mass
    varies = np.flatnonzero(blocks.matrix.diagonal() > 0.0)
    root = 1.0 / np.sqrt(blocks.matrix.diagonal()[varies])
    matrix = blocks.matrix[np.ix_(varies, varies)] * root * root[:, None]
    values, vectors = scipy.linalg.eigh(matrix, overwrite_a=True)
    basis = np.zeros((blocks.matrix.shape[0], values.shape[0]))
    basis[varies] = root[:, None] * vectors
    largest = float(np.max(values, initial=1e-300))
    kept, is_thin = values > RANK * largest, values < THIN * largest
    inverse = np.divide(1.0, values, out=np.zeros_like(values), where=kept)
    most = 1.0 / np.maximum(values, EPSILON * largest)
    best: tuple[Floats, Floats, Floats] | None = None
    coef = basis @ (inverse[:, None] * (basis.T @ blocks.along.T))
    for _ in range(1 + MOST_REFINEMENTS):
        coef, slope, objective, _ = ridge.with_status(coef, np.zeros(coef.shape[1]))
        along = basis.T @ (slope / mass)
        left = 0.5 * np.sum(most[:, None] * along**2, axis=0)
        if best is not None and not np.sum(left) < 0.25 * np.sum(best[2]):
            best = (coef, objective, left) if np.sum(left) < np.sum(best[2]) else best
            break
        best = coef, objective, left
        if np.all(left <= ENOUGH * objective):
            break
        coef = coef + basis @ (inverse[:, None] * along)
    assert best is not None
    thin = _Thin(ridge, basis[:, is_thin], peak)
    coef, objective, left = best
    finished = thin.finished(coef, objective)
    if finished is not None:
        coef, slope, objective, left = finished
        along = basis[:, ~is_thin].T @ (slope / mass)
        left = left + 0.5 * np.sum(most[~is_thin, None] * along**2, axis=0)
    coef[varies] = _of_least_norm(coef[varies], thin.unseen[varies])
    return coef, objective, left, thin.unseen.shape[1] > 0


class _Thin:
    """Directions of which products of columns show few digits, seen in the predictions of rows.

    Parameters
    ----------
    ridge : RidgeOfSums
    directions : (d, n_thin)
    peak : (d,), the columns' largest magnitudes

    Attributes
    ----------
    seen, unseen : (d, n), of them: those that predictions show, and those along which these are
        rounding
    """

    def __init__(self, ridge: RidgeOfSums, directions: Floats, peak: Floats) -> None:
        self.seen = self.unseen = directions
        self._ridge, self._peak = ridge, peak

    def finished(
        self, coef: Floats, objective: Floats
    ) -> tuple[Floats, Floats, Floats, Floats] | None:
        """Go to the optimum along these directions: three passes, one if they show nothing.

        Returns coefficients, minus half the gradient, objectives and what is left along the
        directions; None where coefficients stay as they are.
        """
        if self.seen.shape[1] == 0:
            return None
        products, along = self._ridge.along(self.seen, coef)
        values, turned = scipy.linalg.eigh(products)
        self.seen, along = self.seen @ turned, turned.T @ along
        noise = NOISE * EPSILON * (np.abs(self.seen).T @ self._peak)
        hidden = NOISE * EPSILON * float(np.max(values, initial=0.0))
        is_seen = values > np.maximum(noise * noise, hidden)
        self.seen, self.unseen = self.seen[:, is_seen], self.seen[:, ~is_seen]
        values, along = values[is_seen, None], along[is_seen]
        if values.shape[0] == 0:
            return None
        tried = coef + self.seen @ (along / values)
        tried, slope, lower, _ = self._ridge.with_status(tried, np.zeros(tried.shape[1]))
        if not np.sum(lower) <= np.sum(objective):
            return None
        _, rest = self._ridge.along(self.seen, tried)
        return tried, slope, lower, 0.5 * np.sum(rest**2 / values, axis=0)


def _of_least_norm(coef: Floats, free: Floats) -> Floats:
    """Return coefficients without what lies in directions along which no prediction changes."""
    if free.shape[1] == 0:
        return coef
    free = scipy.linalg.orth(free / np.linalg.norm(free, axis=0))
    return np.asarray(coef - free @ (free.T @ coef))
