"""Least absolute deviations with an l2 penalty, of more columns than rows: by multipliers of rows.

    min_u  sum_i c_i |y_i - z_i u - b| + u'R u / 2

has the dual  max_r  y'r - |R^-1/2 Z'r|^2 / 2  with |r_i| <= c_i and, if there is an intercept,
sum_i r_i = 0. A row that is fitted has a multiplier inside its bounds, any other row one at the
bound on its residual's side. If the rows at their bounds are known, the others' multipliers solve

    Z R^-1 Z'r + b = y     in those rows,

by conjugate gradients, preconditioned by the diagonal and projected on what keeps the sum. A
multiplier that leaves its bounds is put on them next, a row whose residual has changed sides is
set free [1]_. No matrix is made; a step costs a pass.

References
----------
.. [1] Hintermüller, Ito & Kunisch, "The primal-dual active set strategy as a semismooth Newton
   method", 2002, section 2.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastgd._solvers._columns import as_matrix
from fastgd._solvers._passes import blocks, predictions, products_with
from fastgd._solvers._problem import Floats, Problem
from fastgd.kernels.rows import Dense

SHARE = 0.1  # of what free rows have left, to which they are solved before the next look
MOST_SETS = 50
LEAST_DIAGONAL = 1e-3  # of the mean: a row of zeros has none
FIRST_SETS, FIRST_STEPS = 3, 10  # whose multipliers may be far from what they come to


class Boxed(NamedTuple):
    """Where the sets of rows ended.

    u : (d + 1,), parameters
    multipliers : (n_samples,), r, within their bounds
    residual : (n_samples,), what is left of the targets
    n_iter : int, passes
    """

    u: Floats
    multipliers: Floats
    residual: Floats
    n_iter: int


class _Rows:
    """Multipliers, the parameters that they make, and what these leave of the targets."""

    def __init__(self, problem: Problem, bound: Floats) -> None:
        self.problem, self.bound = problem, bound
        usable = problem.scaler.inverse_std > 0.0
        ridge = np.where(usable, problem.ridge[:-1], 1.0)
        self.inverse = np.append(np.where(usable, 1.0 / ridge, 0.0), 0.0)
        self.side = np.zeros(bound.shape[0])  # of the rows at their bounds, else 0
        diagonal = _diagonal(problem, self.inverse[:-1])
        diagonal = np.maximum(diagonal, LEAST_DIAGONAL * float(np.mean(diagonal)))
        self.metric = np.divide(1.0, diagonal, out=np.zeros_like(bound), where=diagonal > 0.0)
        self.r, self.n_iter = np.zeros(bound.shape[0]), 0
        self.place()

    @property
    def free(self) -> NDArray[np.bool_]:
        """The rows whose multipliers are inside."""
        return (self.side == 0.0) & (self.bound > 0.0)

    @property
    def weights(self) -> Floats:
        """The free rows' inverse diagonal, 0 for the others."""
        return np.where(self.free, self.metric, 0.0)

    def made_by(self, r: Floats) -> tuple[Floats, Floats]:
        """Return parameters without the intercept, and what they predict; a pass."""
        u = self.inverse * products_with(self.problem, r)
        self.n_iter += 1
        return u, predictions(self.problem, u)

    def place(self) -> None:
        """Put multipliers on their bounds, and let the others keep the sum."""
        self.r = np.where(self.free, self.r, self.side * self.bound)
        weight = self.weights
        if self.problem.fit_intercept and np.any(weight):
            self.r -= weight * (float(self.r.sum()) / float(weight.sum()))
        self.u, raw = self.made_by(self.r)
        self.rest = self.problem.y - raw

    @property
    def level(self) -> float:
        """The intercept: what the free rows have left."""
        weight = self.weights
        if not self.problem.fit_intercept or not np.any(weight):
            return 0.0
        return float(weight @ self.rest) / float(weight.sum())

    def left(self) -> float:
        """Return the free rows' weighted sum of what is left of their targets."""
        free = self.free
        return float(self.bound[free] @ np.abs(self.rest[free] - self.level))

    def penalty(self) -> float:
        """Return u'R u / 2."""
        return 0.5 * float(self.problem.ridge @ (self.u * self.u))

    def mean_square(self) -> float:
        """Return sum_i r_i^2 / s_i of what is within the bounds."""
        r, s = np.minimum(np.abs(self.r), self.bound), self.problem.weight
        return float(r @ np.divide(r, s, out=np.zeros_like(r), where=s > 0.0))

    def solve(self, enough: float, most: int) -> None:
        """Solve for the free rows, to a part of what they have left."""
        free, weight = self.free, self.weights
        target = max(SHARE * self.left(), enough * self.penalty())
        left = self.rest - self.level
        z = weight * left
        direction, size = z.copy(), float(left @ z)
        while self.n_iter < most and 0.0 < size < np.inf:
            step, along = self.made_by(direction)
            bend = float(direction @ along)
            if not 0.0 < bend < np.inf:
                break
            length = size / bend
            self.r += length * direction
            self.u += length * step
            self.rest -= length * along
            if self.left() <= max(target, enough * self.penalty()):
                break
            left = self.rest - self.level  # a level counted in would hide what is small
            z = weight * left
            before, size = size, float(left @ z)
            direction = np.where(free, z + size / before * direction, 0.0)

    def changes(self) -> int:
        """Put rows on their bounds and set others free; return how many there were."""
        beyond = self.free & (np.abs(self.r) > self.bound)
        turned = self.side * (self.rest - self.level) < 0.0
        self.side[turned] = 0.0
        self.side[beyond] = np.sign(self.r[beyond])
        return int(np.count_nonzero(beyond) + np.count_nonzero(turned))


def _diagonal(problem: Problem, inverse: Floats) -> Floats:
    """Return the diagonal of Z R^-1 Z'."""
    scaler, n = problem.scaler, problem.shape[0]
    center, q = scaler.center, inverse * scaler.inverse_std * scaler.inverse_std
    found = np.empty(n)
    if isinstance(problem.rows, Dense):
        for first, x in blocks(problem.rows.values, 0, n):
            found[first : first + x.shape[0]] = np.square(x - center) @ q
        return found
    matrix = as_matrix(problem.rows, *problem.shape)
    squares = matrix.multiply(matrix) @ q
    return np.asarray(squares - 2.0 * (matrix @ (center * q)) + (center * center) @ q)


def by_boxed_rows(problem: Problem, bound: Floats, enough: float, limit: float, most: int) -> Boxed:
    """Find the multipliers in ``most`` passes at most.

    Parameters
    ----------
    problem : Problem
        Its loss is not looked at; l2 > 0.
    bound : (n_samples,)
        Weights of the absolute errors.
    enough : float
        The part of the penalty to which errors that should be zero have to fall.
    limit : float
        Of sum_i r_i^2 / s_i: beyond it they are not looked for any longer.
    most : int
    """
    rows = _Rows(problem, bound)
    for n_sets in range(MOST_SETS):
        is_first = n_sets < FIRST_SETS
        rows.solve(enough, min(most, rows.n_iter + FIRST_STEPS) if is_first else most)
        if not is_first and rows.mean_square() > limit:
            break
        is_exact = rows.left() <= enough * rows.penalty()
        n_changes = rows.changes()
        if (n_changes == 0 and is_exact) or rows.n_iter >= most:
            break
        rows.place()
    u = rows.u.copy()
    u[-1] = rows.level
    return Boxed(u, rows.r, problem.y - predictions(problem, u), rows.n_iter)
