"""The equations of an active set: rows met exactly, coefficients that are zero."""

from typing import Any

import numpy as np
import scipy.linalg as sl

from fastgd._solvers._columns import dense_rows
from fastgd._solvers._problem import Floats, Problem

LARGEST = 4_000_000  # entries of the equations
INSIDE = 1e-6  # of a box, from its sides
NEGLIGIBLE = 1e-11  # of the largest: a dependent equation


class ActiveSet:
    """Which terms are at the upper end of their box, at the lower, or held between them.

    Those in between have residual zero. Then optimality is a linear system for the coefficients
    that are free, u, and the dual variables in between, r:

        G du + C'dr = -g,    C du - E dr = at + E r - C u

    with G the l2 penalty, C the standardised rows in between and E their give. At kinks that is 0,
    and without l2 both halves are solved apart, each by least squares with least change: more rows
    than coefficients may be met.
    """

    def __init__(self, boxes: Any, up: Any, down: Any) -> None:
        self._boxes, self._up, self._down = boxes, up, down
        between = np.flatnonzero(~(up | down))
        n_rows = boxes.n_rows
        self._terms = between[between < n_rows]
        problem: Problem = boxes.problem
        free = np.append(problem.scaler.inverse_std > 0.0, problem.fit_intercept)
        free[boxes.bounded[between[between >= n_rows] - n_rows]] = False
        self._zero, self._free = ~free, np.flatnonzero(free)
        self.is_settled = False

    def is_small(self) -> bool:
        """Tell whether to solve for it."""
        return 0 < self._free.shape[0] * max(self._terms.shape[0], 1) <= LARGEST

    def begin(self, u: Floats, dual: Floats) -> tuple[Floats, Floats]:
        """Return parameters and dual variables with what is decided set."""
        boxes = self._boxes
        self._rows = self._equations()
        dual = np.where(self._up, boxes.high, np.where(self._down, boxes.low, dual))
        return np.where(self._zero, 0.0, u), dual

    def _equations(self) -> Floats:
        """Return C."""
        boxes, problem = self._boxes, self._boxes.problem
        chosen = boxes.used[self._terms % boxes.used.shape[0]]
        center, inverse_std = problem.scaler
        values = dense_rows(problem.rows, problem.shape, chosen)
        z = np.column_stack([(values - center) * inverse_std, np.ones(chosen.shape[0])])
        equations: Floats = z[:, self._free]
        return equations

    def solve(self, u: Floats, dual: Floats) -> tuple[Floats, Floats]:
        """Return parameters and dual variables that satisfy the equations better."""
        boxes, free, terms, C = self._boxes, self._free, self._terms, self._rows
        u, dual = u.copy(), dual.copy()
        missing, give = -boxes.residuals(boxes.images(u), dual)[terms], boxes.give[terms]
        rest = -(boxes.ridge * u + boxes.gather(dual))[free]
        ridge = boxes.ridge[free]
        if terms.shape[0] == 0 and boxes.problem.l2 == 0.0:
            return u, dual
        if boxes.is_implied:
            dual[terms] += _in_rows(C, ridge, missing, rest, give) if terms.shape[0] > 0 else 0.0
            return boxes.implied(dual, u[-1]), dual
        if np.any(give):
            du = _of_squares(C, ridge, missing, rest, give)
            dr = (C @ du - missing) / give
        elif boxes.problem.l2 > 0.0:
            du, dr = in_columns(C, ridge, missing, rest)
        else:
            du, dr = _least_change(C, missing), _least_change(C.T, rest)
        u[free] += du
        dual[terms] += dr
        self.is_settled = self._is_settled(dual)
        # between bounds, coefficients of zero take what the others leave
        if boxes.bounded.shape[0] > 0:
            self._balance(dual)
        return u, dual

    def _is_settled(self, dual: Floats) -> bool:
        """Tell whether any small change of a gradient can be undone by rows inside their boxes."""
        terms, boxes = self._terms, self._boxes
        if not boxes.pieces.has_kinks:
            return False
        low, high = boxes.low[terms], boxes.high[terms]
        inside = np.minimum(dual[terms] - low, high - dual[terms]) > INSIDE * (high - low)
        C = self._rows[inside]
        if C.shape[0] < C.shape[1]:
            return False
        sizes = np.linalg.svd(C, compute_uv=False)
        return bool(sizes[-1] > INSIDE * sizes[0])

    def _balance(self, dual: Floats) -> None:
        """Set l1's dual variables of the coefficients that are zero."""
        boxes = self._boxes
        pull = boxes.gather(np.where(np.arange(dual.shape[0]) < boxes.n_rows, dual, 0.0))
        zero = self._zero[boxes.bounded]
        own = dual[boxes.n_rows :]
        own[zero] = -pull[boxes.bounded][zero]


def _least_change(C: Floats, wanted: Floats) -> Floats:
    """Return the least x that solves C x = wanted best."""
    found: Floats = sl.lstsq(C, wanted, NEGLIGIBLE, lapack_driver="gelsy", check_finite=False)[0]
    return found


def _in_rows(C: Floats, ridge: Floats, missing: Floats, rest: Floats, give: Floats) -> Floats:
    """Return dr of both halves together; the intercept, which may be last, has no penalty.

    C G^-1 C' + E is R'R, by a QR factorisation of G^-1/2 C' above E^1/2 that leaves out rows which
    others imply.
    """
    own = ridge > 0.0
    root = 1.0 / np.sqrt(ridge[own])
    stacked = (C[:, own] * root).T
    if np.any(give):
        stacked = _sorted(np.vstack([stacked, np.diag(np.sqrt(give))]))
    R, order = sl.qr(stacked, mode="r", pivoting=True, check_finite=False)
    rank = C.shape[0] if np.any(give) else _rank(R)
    kept, R = order[:rank], R[:rank, :rank]

    def solved(x: Floats) -> Floats:
        half = sl.solve_triangular(R, x[kept], trans="T", check_finite=False)
        out = np.zeros(C.shape[0])
        out[kept] = sl.solve_triangular(R, half, check_finite=False)
        return out

    dr = solved(C[:, own] @ (root**2 * rest[own]) - missing)
    if own.all():
        return dr
    level = C[:, ~own][:, 0]
    ones = solved(level)
    weight = float(level @ ones)
    return dr + ones * ((float(rest[~own][0]) - float(level @ dr)) / weight if weight > 0.0 else 0)


def _of_squares(C: Floats, ridge: Floats, missing: Floats, rest: Floats, give: Floats) -> Floats:
    """Return du where no E is zero: (G + C'E^-1 C) du = rest + C'E^-1 missing."""
    stacked = np.vstack([C / np.sqrt(give)[:, None], np.diag(np.sqrt(ridge))])
    R, order = sl.qr(_sorted(stacked), mode="r", pivoting=True, check_finite=False)
    rank = _rank(R)
    kept, R = order[:rank], R[:rank, :rank]
    half = sl.solve_triangular(
        R, (rest + C.T @ (missing / give))[kept], trans="T", check_finite=False
    )
    du = np.zeros(C.shape[1])
    du[kept] = sl.solve_triangular(R, half, check_finite=False)
    return du


def _sorted(stacked: Floats) -> Floats:
    """Return rows of wild sizes with the largest first, which keeps the digits of the others."""
    return stacked[np.argsort(-np.max(np.abs(stacked), axis=1), kind="stable")]


def in_columns(C: Floats, ridge: Floats, missing: Floats, rest: Floats) -> tuple[Floats, Floats]:
    """Solve both halves together: du within the rows of C first, then beside them.

    However small G is beside C, no digits are lost.
    """
    Q, R, order = sl.qr(C.T, pivoting=True, check_finite=False)
    rank = _rank(R)
    kept, R = order[:rank], R[:rank, :rank]
    along = sl.solve_triangular(R, missing[kept], trans="T", check_finite=False)
    du = Q[:, :rank] @ along
    beside = Q[:, rank:]
    if beside.shape[1] > 0:
        scale = np.sqrt(np.maximum(ridge, np.finfo(np.float64).tiny))
        wanted = beside.T @ (rest - ridge * du)
        root = scale[:, None] * beside
        _, S = np.linalg.qr(root)
        du += beside @ sl.lstsq(S, sl.lstsq(S.T, wanted, lapack_driver="gelsy")[0])[0]
    dr = np.zeros(C.shape[0])
    dr[kept] = sl.solve_triangular(R, Q[:, :rank].T @ (rest - ridge * du), check_finite=False)
    return du, dr


def _rank(R: Floats) -> int:
    """Return how many rows of a pivoted triangle are not rounding."""
    sizes = np.abs(np.diagonal(R))
    return int(np.sum(sizes > NEGLIGIBLE * sizes[0])) if sizes.shape[0] else 0
