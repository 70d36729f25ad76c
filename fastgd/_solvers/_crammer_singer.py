"""The support vector machine of all classes, by dual coordinate ascent or an interior point method.

``kernels/crammer_singer`` has the problem and its dual. Coordinate ascent costs a read of X a pass,
and needs many where columns' scales differ or C is large. Newton's method on the central path
(Wright 1997, chapter 10) does not mind either: with the multipliers p_ik of the constraints
loss_i >= e_ik + (w_k - w_{y_i}) x_i, which add up to C_i in a row, and their slacks z, a step
solves

    (I + sum_i M_i (x) x_i x_i') dW = rhs,   M_i = diag(d) - d d' / sum(d),   d = p / z

which is the Hessian of a softmax with d / sum(d) for probabilities. It is taken where that matrix
is small. The bound of the optimum is that of dual variables that are feasible, and so is proven.
"""

from typing import Any, NamedTuple

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from numpy.typing import NDArray

from fastgd._monitoring.observer import Model
from fastgd._runtime.threads import one_blas_thread
from fastgd._solvers._certificates import ALLOWANCE
from fastgd._solvers._columns import as_matrix
from fastgd._solvers._task import Options, Solution, Task
from fastgd.kernels.crammer_singer import Memory, crammer_singer_pass
from fastgd.kernels.rows import Dense
from fastgd.kernels.sampling import shuffled_runs

Floats = NDArray[np.float64]

LARGEST_SYSTEM, LARGEST_PRODUCTS = 1500, 4e9  # parameters, flops of a step
SMALLEST_TOL = 1e-13
SHORT_OF_BOUNDARY, SHORTEST, LEAST = 0.995, 1e-8, 1e-100
MOST_IN_VAIN = {"gd": 10, "sdca": 1000}  # steps that make the gap no smaller
SHARE_OF_ACTIVE = 0.1  # of the gap that is asked for: a row with less is left out for a while
MOST_ACTIVE_PASSES = 10  # before all rows are visited again


def crammer_singer(task: Task, options: Options, method: str | None = None) -> Solution:
    """Minimise the mean loss of Crammer and Singer with an l2 penalty; ``task.loss`` is not used.

    ``task.y`` are the classes' numbers, and ``task.fit_intercept`` is False. ``method`` is "sdca"
    for coordinate ascent, "gd" for Newton's method, None for the one that the sizes speak for.
    """
    problem = _Problem(task)
    if method is None:
        method = "gd" if problem.has_small_system() else "sdca"
    with one_blas_thread():
        steps = _Interior(problem) if method == "gd" else _Ascent(problem, options)
        return _solved(problem, steps, options)


class _Problem:
    """Rows, and the scale 1 / l2 between the mean loss and the SVM's own objective."""

    def __init__(self, task: Task) -> None:
        n = task.y.shape[0]
        self.task, self.n_classes = task, task.n_outputs
        self.y = np.ascontiguousarray(task.y, np.int32)
        weight = np.ones(n) if task.weight is None else np.asarray(task.weight, np.float64)
        self.cost: Floats = weight / (weight.sum() * task.l2)
        is_dense = isinstance(task.rows, Dense)
        self.X = task.rows.values if is_dense else as_matrix(task.rows, n, task.n_features)
        self.margin = np.ones((n, self.n_classes))
        self.margin[np.arange(n), self.y] = 0.0

    def has_small_system(self) -> bool:
        """Tell whether Newton's steps are cheap."""
        n, d, K = self.y.shape[0], self.task.n_features, self.n_classes
        products = 0.5 * n * d * d * K * K
        if sp.issparse(self.X):
            products *= (self.X.nnz / max(n * d, 1)) ** 2
        return d * K <= LARGEST_SYSTEM and products <= LARGEST_PRODUCTS

    def raw(self, coef: Floats) -> Floats:
        found = self.X @ coef.T
        return np.asarray(found, np.float64)

    def coef_of(self, dual: Floats) -> Floats:
        """Return W = sum_i a_i x_i'."""
        return np.ascontiguousarray(np.asarray(self.X.T @ dual, np.float64).T)

    def loss(self, raw: Floats) -> float:
        """Return sum_i C_i loss_i."""
        own = np.take_along_axis(raw, self.y[:, None].astype(np.intp), axis=1)[:, 0]
        return float(self.cost @ (np.max(raw + self.margin, axis=1) - own))

    def objective(self, coef: Floats) -> float:
        """Return what is minimised, of the mean loss."""
        return self.task.l2 * (0.5 * float(np.sum(coef * coef)) + self.loss(self.raw(coef)))

    def bound(self, dual: Floats, coef: Floats) -> float:
        """Return a bound of the optimum from below, from feasible dual variables and their W."""
        square = 0.5 * float(np.sum(coef * coef))
        return self.task.l2 * (-square - float(np.sum(self.margin * dual)))


def objective_of_classes(task: Task, coef: Floats) -> float:
    """Return what ``crammer_singer`` minimises."""
    return _Problem(task).objective(np.asarray(coef, np.float64))


def _solved(problem: _Problem, steps: "_Ascent | _Interior", options: Options) -> Solution:
    """Take steps until the gap is small enough, or until rounding lets none shrink it."""
    tol = max(options.tol, SMALLEST_TOL)
    history: dict[str, list[float]] = {"objective": [], "suboptimality": []}
    best, zero = _Best(*steps.model()), np.zeros(problem.n_classes)
    while best.gap > tol * abs(best.objective) and len(history["objective"]) < options.max_iter:
        if steps.is_stuck or best.age > MOST_IN_VAIN[steps.name]:
            break
        steps.step(tol * abs(best.objective))
        best = best.with_next(*steps.model())
        history["objective"].append(best.objective)
        history["suboptimality"].append(best.gap)
        figures = {"objective": best.objective, "suboptimality": best.gap}
        shown = Model(best.coef, zero)
        if options.observer.passed(lambda shown=shown: shown, figures):  # type: ignore[misc]
            break
    gap, n_iter = best.gap, len(history["objective"])
    has_converged = gap <= tol * abs(best.objective)
    counts = n_iter, has_converged, history
    return Solution(best.coef, zero, best.objective, gap, gap, *counts, None, steps.name)


class _Best(NamedTuple):
    """The lowest objective and the highest bound of the optimum so far; ``age`` counts steps."""

    coef: Floats
    objective: float
    bound: float
    age: int = 0

    @property
    def gap(self) -> float:
        return max(self.objective - self.bound, 0.0) + ALLOWANCE * abs(self.objective)

    def with_next(self, coef: Floats, objective: float, bound: float) -> "_Best":
        """Return the best of this one and the next step's."""
        found = self
        if objective < self.objective:
            found = found._replace(coef=coef, objective=objective)
        if bound > self.bound:
            found = found._replace(bound=bound)
        return found._replace(age=0 if found.gap < 0.9 * self.gap else self.age + 1)


class _Ascent:
    """Passes of dual coordinate ascent, most of them over rows that still have a gap."""

    name, is_stuck = "sdca", False

    def __init__(self, problem: _Problem, options: Options) -> None:
        self._problem, self._seed, self._number = problem, options.seed, 0
        n, K = problem.y.shape[0], problem.n_classes
        params = np.zeros((problem.task.n_features, K))
        self._memory = Memory(params, np.zeros((n, K)), np.zeros(n))
        self._order = np.empty(n, np.int32)

    def step(self, wanted: float) -> None:
        """Visit all rows once, then those that still have a gap."""
        self._visit(self._shuffled())
        least = SHARE_OF_ACTIVE * wanted / self._problem.task.l2 / self._order.shape[0]
        for _ in range(MOST_ACTIVE_PASSES):
            order = self._shuffled()
            active = order[self._memory.gap[order] > least]
            if 2 * active.shape[0] > order.shape[0] or active.shape[0] == 0:
                break
            self._visit(active)

    def _shuffled(self) -> NDArray[np.int32]:
        shuffled_runs(self._order[:0], 1, self._seed, self._number, self._order)
        self._number += 1
        return self._order

    def _visit(self, order: NDArray[np.int32]) -> None:
        problem = self._problem
        crammer_singer_pass(problem.task.rows, problem.y, problem.cost, self._memory, order)

    def model(self) -> tuple[Floats, float, float]:
        """Return coefficients, objective and a bound of the optimum.

        W is summed anew, so that rounding does not part it from the dual variables.
        """
        coef = self._problem.coef_of(self._memory.dual)
        self._memory.params[:] = coef.T
        return coef, self._problem.objective(coef), self._problem.bound(self._memory.dual, coef)


class _Interior:
    """Newton's steps along the central path; columns are scaled to length 1."""

    name, is_stuck = "gd", False

    def __init__(self, problem: _Problem) -> None:
        self._problem = problem
        n, K = problem.y.shape[0], problem.n_classes
        self._rows = np.flatnonzero(problem.cost > 0.0)
        X = problem.X[self._rows].astype(np.float64)
        squares = X.multiply(X).sum(axis=0) if sp.issparse(X) else np.sum(X * X, axis=0)
        length = np.sqrt(np.asarray(squares)).ravel()
        self._length = np.where(length > 0.0, length, 1.0)
        self._X = X @ sp.diags_array(1.0 / self._length) if sp.issparse(X) else X / self._length
        self._own = problem.y[self._rows].astype(np.intp)[:, None]
        self._cost = problem.cost[self._rows][:, None]
        self._p = np.broadcast_to(self._cost / K, (self._rows.shape[0], K)).copy()
        self._coef = np.zeros((K, X.shape[1]))  # times the columns' lengths
        self._z = self._slack(self._coef, np.full((self._rows.shape[0], 1), 2.0))
        self._dual = np.zeros((n, K))

    def _slack(self, coef: Floats, bound: Floats) -> Floats:
        """Return z = loss bound - e - (raw_k - raw_y)."""
        raw = np.asarray(self._X @ coef.T)
        own = np.take_along_axis(raw, self._own, axis=1)
        z: Floats = bound - self._problem.margin[self._rows] - raw + own
        return z

    def step(self, wanted: float) -> None:  # noqa: ARG002
        """Take Mehrotra's two steps, predictor and corrector, with one factorisation."""
        p, z = self._p, self._z
        d = p / z
        factor = self._factor(d)
        if factor is None:
            self.is_stuck = True
            return
        mean = float(np.mean(p * z))
        affine = self._direction(d, factor, -p * z)
        reach = _reach(p, affine[1]), _reach(z, affine[2])
        after = float(np.mean((p + reach[0] * affine[1]) * (z + reach[1] * affine[2])))
        centre = mean * max((after / mean) ** 3, 1e-10) if mean > 0.0 else 0.0
        change = self._direction(d, factor, centre - p * z - affine[1] * affine[2])
        along = min(_reach(p, change[1]), _reach(z, change[2])) * SHORT_OF_BOUNDARY
        along = min(along, 1.0)
        self._coef = self._coef + along * change[0]
        self._p = np.maximum(p + along * change[1], LEAST * self._cost)
        self._z = np.maximum(z + along * change[2], LEAST)
        self.is_stuck = not along > SHORTEST

    def _factor(self, d: Floats) -> Any:
        """Factorise the penalty plus sum_i M_i (x) x_i x_i'."""
        K, columns = self._coef.shape
        matrix = np.empty((K, columns, K, columns))
        total = d.sum(axis=1)
        for k in range(K):
            for m in range(k + 1):
                # a row of M sums to zero: so the diagonal keeps its digits
                others = d[:, np.arange(K) != k].sum(axis=1) if k == m else -d[:, m]
                weight = d[:, k] * (others / total)
                block = self._product(weight)
                matrix[k, :, m, :], matrix[m, :, k, :] = block, block
        # The classes' common shift changes no margin, and no step has one: it may be made as stiff
        # as the rest, where the penalty alone would hold it by less than rounding.
        at = np.arange(columns)
        shared = np.einsum("kjkj->j", matrix) / K**2
        matrix[:, at, :, at] += shared[:, None, None]
        matrix = matrix.reshape(K * columns, K * columns)
        ridge = np.tile(1.0 / self._length**2, K)
        matrix[np.diag_indices_from(matrix)] += ridge
        scale = 1.0 / np.sqrt(np.diag(matrix))
        scaled = matrix * scale * scale[:, None]
        scaled[np.diag_indices_from(scaled)] += 4.0 * np.finfo(float).eps
        try:
            return scipy.linalg.cho_factor(scaled, lower=True), scale
        except (np.linalg.LinAlgError, ValueError):
            return None

    def _product(self, weight: Floats) -> Floats:
        if sp.issparse(self._X):
            product: Floats = (self._X.T @ (sp.diags_array(weight) @ self._X)).toarray()
            return product
        return np.asarray(self._X.T @ (weight[:, None] * self._X))

    def _direction(self, d: Floats, factor: Any, target: Floats) -> tuple[Floats, Floats, Floats]:
        """Return the change of W, p and z that changes p z by ``target`` to first order."""
        (cholesky, scale), total = factor, d.sum(axis=1, keepdims=True)
        lacking = target / self._z
        short = self._cost - self._p.sum(axis=1, keepdims=True) - lacking.sum(axis=1, keepdims=True)
        lacking = lacking + d * (short / total)
        dual = -(self._p + lacking)
        np.put_along_axis(dual, self._own, np.take_along_axis(dual, self._own, 1) + self._cost, 1)
        right = np.asarray(self._X.T @ dual).T - self._coef / self._length**2
        move = scale * scipy.linalg.cho_solve(cholesky, scale * right.ravel())
        move = move.reshape(self._coef.shape)
        raw = np.asarray(self._X @ move.T)
        mean = np.sum(d * raw, axis=1, keepdims=True) / total
        change = lacking + d * (raw - mean)
        return move, change, (target - self._z * change) / self._p

    def model(self) -> tuple[Floats, float, float]:
        """Return coefficients, objective and a bound of the optimum by the dual variables.

        The step's own coefficients are as good as those of the dual variables, or better where
        rounding of these moves predictions by much.
        """
        share = np.maximum(self._p, 0.0)
        share *= self._cost / share.sum(axis=1, keepdims=True)
        dual = -share
        np.put_along_axis(dual, self._own, np.take_along_axis(dual, self._own, 1) + self._cost, 1)
        self._dual[self._rows] = dual
        problem, of_dual = self._problem, self._problem.coef_of(self._dual)
        bound = problem.bound(self._dual, of_dual)
        models = of_dual, self._coef / self._length
        objectives = [problem.objective(coef) for coef in models]
        best = int(np.argmin(objectives))
        return models[best], objectives[best], bound


def _reach(values: Floats, change: Floats) -> float:
    """Return how far one can go, 1 at most, until a value is zero."""
    falls = change < 0.0
    return float(min(1.0, np.min(-values[falls] / change[falls], initial=np.inf)))
