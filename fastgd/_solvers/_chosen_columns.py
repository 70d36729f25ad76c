"""Newton's method of the multi-task lasso on the columns that it has chosen.

Where a column's coefficients W_j of K targets are not zero, the norm |W_j| is smooth, and

    f(W) = tr(W G W') / 2 - tr(W Q') + l1 sum_j |W_j| + l2/2 |W|^2

has the gradient W G - Q + l1 W_j / |W_j| + l2 W and the Hessian

    G (x) I + l2 I + diag_j l1 / |W_j| (I - W_j W_j' / |W_j|^2)

(Yuan and Lin 2006, section 3, for the norm's derivatives). Steps are halved until they descend; a
column that a step would turn round is dropped, and coordinate descent may take it in again. Where
the Hessian is large, its equations are solved by conjugate gradients.
"""

import numpy as np
import scipy.linalg
import scipy.sparse.linalg
from numpy.typing import NDArray

Floats = NDArray[np.float64]

STEPS, HALVINGS = 10, 20
BLAS_IS_FASTER = 20.0  # than loops over single columns
LARGEST_MATRIX = 1500  # coefficients, up to which the Hessian is factorised
MOST_ITERATIONS, ACCURACY = 200, 1e-10  # of conjugate gradients
ENOUGH = 1e-15  # relative to the objective: what a step promises is rounding then
SUFFICIENT = 1e-4  # share of the promised decrease (Armijo)


class Chosen:
    """The problem on the chosen columns; ``coef`` and all else is (K, m).

    Parameters
    ----------
    matrix : (m, m), G
    along : (K, m), Q
    l1, l2 : float
    """

    def __init__(self, matrix: Floats, along: Floats, l1: float, l2: float) -> None:
        self._matrix, self._along, self._l1, self._l2 = matrix, along, l1, l2

    def objective(self, coef: Floats) -> float:
        """Return f, but for a constant."""
        smooth = np.sum(coef * (0.5 * (coef @ self._matrix) - self._along + 0.5 * self._l2 * coef))
        return float(smooth + self._l1 * np.sum(np.linalg.norm(coef, axis=0)))

    def gradient(self, coef: Floats) -> Floats:
        """Return its gradient where no column's coefficients are all zero."""
        pull = self._l2 + self._l1 / np.linalg.norm(coef, axis=0)
        found: Floats = coef @ self._matrix - self._along + pull * coef
        return found

    def step(self, coef: Floats, gradient: Floats) -> Floats | None:
        """Return Newton's step; None where the Hessian is singular."""
        norm = np.linalg.norm(coef, axis=0)
        if coef.size <= LARGEST_MATRIX:
            return self._solved(coef / norm, self._l1 / norm, gradient)
        return self._by_conjugate_gradients(coef / norm, self._l1 / norm, gradient)

    def _solved(self, unit: Floats, bend: Floats, gradient: Floats) -> Floats | None:
        n_targets, m = unit.shape
        hessian = np.zeros((m, n_targets, m, n_targets))
        targets, columns = np.arange(n_targets), np.arange(m)
        hessian[:, targets, :, targets] = self._matrix
        own = bend[:, None, None] * (np.eye(n_targets) - np.einsum("kj,lj->jkl", unit, unit))
        hessian[columns, :, columns, :] += own + self._l2 * np.eye(n_targets)
        try:
            factor = scipy.linalg.cho_factor(
                hessian.reshape(unit.size, unit.size), check_finite=False
            )
        except scipy.linalg.LinAlgError:
            return None
        found: Floats = scipy.linalg.cho_solve(factor, -gradient.T.ravel(), check_finite=False)
        return found.reshape(m, n_targets).T

    def _by_conjugate_gradients(self, unit: Floats, bend: Floats, gradient: Floats) -> Floats:
        size = gradient.shape

        def image(flat: Floats) -> Floats:
            v = flat.reshape(size)
            turned = bend * (v - unit * np.sum(unit * v, axis=0))
            return np.ravel(v @ self._matrix + self._l2 * v + turned)

        diagonal = np.diag(self._matrix) + self._l2 + bend * (1.0 - unit**2)
        found, _ = scipy.sparse.linalg.cg(
            scipy.sparse.linalg.LinearOperator((gradient.size,) * 2, image, dtype=np.float64),
            -gradient.ravel(),
            rtol=ACCURACY,
            maxiter=MOST_ITERATIONS,
            M=scipy.sparse.linalg.LinearOperator(
                (gradient.size,) * 2, lambda flat: flat / diagonal.ravel(), dtype=np.float64
            ),
        )
        step: Floats = found.reshape(size)
        return step

    def of(self, kept: NDArray[np.bool_]) -> "Chosen":
        """Return the problem on some of the columns."""
        matrix = self._matrix[np.ix_(kept, kept)]
        return Chosen(matrix, self._along[:, kept], self._l1, self._l2)


def costs_of_steps(n_coefficients: int) -> float:
    """Return about how many products of descent take as long as Newton's steps."""
    if n_coefficients <= LARGEST_MATRIX:
        return STEPS * n_coefficients**3 / (3.0 * BLAS_IS_FASTER)
    return STEPS * MOST_ITERATIONS * n_coefficients**2 / BLAS_IS_FASTER


def least_on_columns(chosen: Chosen, coef: Floats) -> Floats:
    """Return coefficients (K, m) with a lower objective, near the least of those columns.

    A column whose coefficients a step would turn round is left out, if that lowers the objective.
    """
    coef = coef.copy()
    kept = np.any(coef, axis=0)
    for _ in range(STEPS):
        if not kept.any():
            return coef
        problem, own = chosen.of(kept), coef[:, kept]
        there = _after_a_step(problem, own)
        if there is None:
            return coef
        coef[:, kept] = there
        kept = np.any(coef, axis=0)
    return coef


def _after_a_step(problem: Chosen, coef: Floats) -> Floats | None:
    """Return lower coefficients; None where rounding lets none be found."""
    value, gradient = problem.objective(coef), problem.gradient(coef)
    step = problem.step(coef, gradient)
    slope = 0.0 if step is None else float(np.sum(gradient * step))
    if step is None or not slope < -ENOUGH * abs(value):
        return None
    share = 1.0
    for _ in range(HALVINGS):
        there = coef + share * step
        there[:, np.sum(coef * there, axis=0) <= 0.0] = 0.0
        if problem.objective(there) <= value + SUFFICIENT * share * slope:
            return there
        share *= 0.5
    return None
