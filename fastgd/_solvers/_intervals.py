"""Squares of the distance from an interval: Newton's steps, made without products.

    min_w  1/2 |w|^2 + sum_i c_i e_i^2,   e_i = max(low_i - x_i w, x_i w - high_i, 0)

with c_i = s_i / l2 is a parabola for each set A of rows outside of their intervals, so that
Newton's method with exact line searches ends at the minimum after finitely many steps [1]_. Where
hardly any row need be outside, e is next to nothing beside raw predictions, and a matrix of
products has lost it. So a step is a least squares problem, solved by a QR factorisation: with no
more rows in A than columns

    (X_A X_A' + diag(1 / 2c)) r = ends_A,    w = X_A'r,

which is M'M r = ends_A of the stacked M = [X_A'; diag(1 / 2c)^1/2], otherwise the other way round.
Rows of M whose sizes are wild are sorted first, and columns pivoted [2]_.

A dual point is any r with r_i >= 0 where only low_i is finite, <= 0 where only high_i is. Its gap

    sum_i c_i (e_i - |r_i| / 2 c_i)^2 + |r_i| inside_i + 1/2 |w - X'r|^2

has no term that is negative; inside_i is how far a prediction is from the end that r_i pulls to.

Where e is below the rounding of raw predictions, r still tells which rows matter. Then A is found
by exchanges: rows whose r has the wrong sign leave it, rows beyond their ends enter, all at once as
long as there are fewer of them, one by one if not, which ends as well [3]_.

References
----------
.. [1] Keerthi & DeCoste, "A modified finite Newton method for fast solution of large scale linear
   SVMs", 2005.
.. [2] Cox & Higham, "Stability of Householder QR factorization for weighted least squares
   problems", 1998.
.. [3] Judice & Pires, "A block principal pivoting algorithm for large-scale strictly monotone
   linear complementarity problems", 1994.
"""

from typing import Any, NamedTuple

import numpy as np
import scipy.linalg as sl

from fastgd._monitoring.observer import Model
from fastgd._runtime.threads import one_blas_thread
from fastgd._solvers._certificates import ALLOWANCE
from fastgd._solvers._columns import as_dense
from fastgd._solvers._costs import can_factorise
from fastgd._solvers._problem import EPSILON, Floats
from fastgd._solvers._task import Options, Solution, State, Task
from fastgd.kernels import losses

FINISHED = 1e-12  # of the objective
LEAST_GAIN = 1e-15  # of the objective: less is rounding
REFINEMENTS = 2
PATIENCE = 5  # exchanges of all rows at once that leave no fewer to exchange
MOST_EXCHANGES = 100
ROUNDINGS = 2.0  # of a raw prediction, in what it is summed from


class Intervals(NamedTuple):
    """What is minimised; rows without weight are left out.

    x : (n, d)
    low, high : (n,)
    c : (n,), the weights over l2
    order : (d,), the columns by size, the largest first
    """

    x: Floats
    low: Floats
    high: Floats
    c: Floats
    order: Any


class Look(NamedTuple):
    """What a point is like: raw predictions, distances from the intervals, objective."""

    raw: Floats
    e: Floats
    objective: float


def has_intervals(task: Task) -> bool:
    """Tell whether a task is one for this method, and so small that its steps cost little."""
    is_ridge = task.l2 > 0.0 and task.l1 == 0.0 and not (task.positive or task.fit_intercept)
    is_small = can_factorise(task.y.shape[0], task.n_features)
    return is_ridge and is_small and losses.is_of_interval(task.loss)


def by_intervals(task: Task, options: Options, start: State) -> Solution:
    """Solve a small task from where another method has ended; the result is not worse than that."""
    with one_blas_thread(), np.errstate(all="ignore"):
        return _Newton(task, options, start).run()


def intervals_of(task: Task) -> Intervals:
    """Return a task as intervals."""
    n, d = task.y.shape[0], task.n_features
    s = np.ones(n) if task.weight is None else np.asarray(task.weight, np.float64)
    used = np.flatnonzero(s > 0.0)
    low, high = type(task.loss).interval(task.loss, np.asarray(task.y, np.float64))
    x = as_dense(task.rows, n, d)[used]
    order = np.argsort(-np.max(np.abs(x), axis=0), kind="stable")
    return Intervals(x, low[used], high[used], s[used] / s.sum() / task.l2, order)


class _Newton:
    """Where the method stands, and the best lower bound of the optimum; both over l2."""

    def __init__(self, task: Task, options: Options, start: State) -> None:
        self.of, self.l2, self.options = intervals_of(task), task.l2, options
        self.w, self.lower = np.array(start.coef, np.float64), 0.0
        self.now = _look(self.of, self.w)
        self.history: dict[str, list[float]] = {"objective": [], "suboptimality": []}
        self._prove(self.now, self.w, _pull(self.of, self.now))

    @property
    def gap(self) -> float:
        """The objective less the bound, and what rounding may hide of both."""
        return max(self.now.objective - self.lower, ALLOWANCE * self.now.objective)

    def run(self) -> Solution:
        """Take steps until the gap is rounding, passes are used up, or nothing is lower."""
        while not self._must_stop() and self._moves():
            pass
        self._exchange()
        objective, gap = self.l2 * self.now.objective, self.l2 * self.gap
        converged = gap <= self.options.tol * objective
        about = len(self.history["objective"]), converged, self.history, State(self.w, 0.0)
        return Solution(self.w, 0.0, objective, gap, gap, *about)

    def _must_stop(self) -> bool:
        """Tell what there is to a watcher; return whether that is the end."""
        if len(self.history["objective"]) >= self.options.max_iter:
            return True
        figures = {"objective": self.l2 * self.now.objective, "suboptimality": self.l2 * self.gap}
        for name, value in figures.items():
            self.history[name].append(value)
        stops = self.options.observer.passed(lambda: Model(self.w, 0.0), figures)
        return bool(stops) or self._is_finished()

    def _moves(self) -> bool:
        """Take a step as far as it leads down; return whether it did."""
        w, r = _step(self.of, _sides(self.of, self.now))
        there = _look(self.of, w)
        self._prove(there, w, r)
        if not there.objective < self.now.objective or _have_changed(self.now, there):
            step = w - self.w
            w = self.w + _length(self.of, self.now, self.w, step) * step
            there = _look(self.of, w)
            self._prove(there, w, _pull(self.of, there))
        if not there.objective < (1.0 - LEAST_GAIN) * self.now.objective:
            return False
        self.w, self.now = w, there
        return True

    def _exchange(self) -> None:
        """Exchange rows until those outside are the right ones; keep what is lower."""
        sides, fewest, patience = _sides(self.of, self.now), np.inf, PATIENCE
        for _ in range(MOST_EXCHANGES):
            if self._is_finished() or self.options.observer.stops or self._must_stop():
                return
            w, r = _step(self.of, sides)
            there = _look(self.of, w)
            self._prove(there, w, np.where(r * sides > 0.0, r, 0.0))
            if there.objective < self.now.objective:
                self.w, self.now = w, there
            wrong, wanted = _wrong(self.of, there, w, sides, r)
            if wrong.shape[0] == 0:
                return
            patience = PATIENCE if wrong.shape[0] < fewest else patience - 1
            fewest = min(fewest, wrong.shape[0])
            chosen = wrong if patience >= 0 else wrong[-1:]
            sides[chosen] = wanted[chosen]

    def _is_finished(self) -> bool:
        return self.gap <= FINISHED * self.now.objective

    def _prove(self, look: Look, w: Floats, r: Floats) -> None:
        """Raise the lower bound by a dual point, in whatever way it was found."""
        x, low, high, c, _ = self.of
        r = np.where((r > 0.0) & (low == -np.inf) | (r < 0.0) & (high == np.inf), 0.0, r)
        size, beyond = np.abs(r), np.where(r > 0.0, look.raw - low, high - look.raw)
        beyond = np.where(r == 0.0, 0.0, beyond)  # of the end that r pulls to
        outside = c * (np.minimum(beyond, 0.0) + size / (2.0 * c)) ** 2
        inside = c * look.e**2 + size**2 / (4.0 * c) + size * beyond
        gap = float(np.sum(np.where(beyond < 0.0, outside, inside)))
        gap += 0.5 * float(np.sum((w - x.T @ r) ** 2))
        moved = _rounding(self.of, w)
        gap += float(np.sum(c * moved * (2.0 * look.e + moved)))
        if np.isfinite(gap):
            self.lower = max(self.lower, look.objective - gap)


def _look(of: Intervals, w: Floats) -> Look:
    """Look at a point."""
    raw = of.x @ w
    e = np.maximum(np.maximum(of.low - raw, raw - of.high), 0.0)
    return Look(raw, e, float(np.sum(of.c * e * e)) + 0.5 * float(np.sum(w * w)))


def _pull(of: Intervals, look: Look) -> Floats:
    """Return the loss's negative derivative by each raw prediction: up to ``low``, down else."""
    return np.where(look.raw < of.low, 1.0, -1.0) * 2.0 * of.c * look.e


def _have_changed(one: Look, other: Look) -> bool:
    """Tell whether other rows are outside of their intervals."""
    return bool(np.any((one.e > 0.0) != (other.e > 0.0)))


def _sides(of: Intervals, look: Look) -> Floats:
    """Return 1 for rows below their intervals, -1 for those above, 0 for the others."""
    return np.where(look.e > 0.0, np.where(look.raw < of.low, 1.0, -1.0), 0.0)


def _wrong(of: Intervals, look: Look, w: Floats, sides: Floats, r: Floats) -> tuple[Any, Floats]:
    """Return which rows' sides are wrong, and those that all should have."""
    rounding = _rounding(of, w)
    below, above = of.low - look.raw > rounding, look.raw - of.high > rounding
    wanted = np.where(
        sides == 0.0, 1.0 * below - 1.0 * above, np.where(r * sides > 0.0, sides, 0.0)
    )
    return np.flatnonzero(wanted != sides), wanted


def _rounding(of: Intervals, w: Floats) -> Floats:
    """Return what raw predictions and their distances from the ends may be off by."""
    ends = [np.where(np.isinf(end), 0.0, np.abs(end)) for end in (of.low, of.high)]
    found: Floats = ROUNDINGS * EPSILON * (np.abs(of.x) @ np.abs(w) + ends[0] + ends[1])
    return found


def _step(of: Intervals, sides: Floats) -> tuple[Floats, Floats]:
    """Return the minimum of the parabola of the rows on a side, and the dual variables there."""
    outside = np.flatnonzero(sides)
    x, c = of.x[outside], of.c[outside]
    ends = np.where(sides[outside] > 0.0, of.low[outside], of.high[outside])
    r = np.zeros(of.c.shape[0])
    n, d = x.shape
    if n == 0:
        return np.zeros(d), r
    if n <= d:
        r[outside] = _in_rows(x[:, of.order], c, ends)
        return x.T @ r[outside], r
    w = np.zeros(d)
    w[of.order] = _in_columns(x[:, of.order], c, ends)
    r[outside] = 2.0 * c * (ends - x @ w)
    return w, r


def _in_rows(x: Floats, c: Floats, ends: Floats) -> Floats:
    """Solve (x x' + diag(1 / 2c)) r = ends."""
    stacked = np.vstack([x.T, np.diag(np.sqrt(0.5 / c))])
    R, order = sl.qr(_sorted(stacked)[0], mode="r", pivoting=True, check_finite=False)
    R, r = R[: c.shape[0]], np.zeros(c.shape[0])
    for _ in range(REFINEMENTS):
        rest = (ends - x @ (x.T @ r) - 0.5 * r / c)[order]
        half = sl.solve_triangular(R, rest, trans="T", check_finite=False)
        r[order] += sl.solve_triangular(R, half, check_finite=False)
    return r


def _in_columns(x: Floats, c: Floats, ends: Floats) -> Floats:
    """Minimise sum c (ends - x w)^2 + |w|^2 / 2."""
    root, d = np.sqrt(2.0 * c), x.shape[1]
    stacked, rows = _sorted(np.vstack([root[:, None] * x, np.eye(d)]))
    wanted = np.append(root * ends, np.zeros(d))[rows]
    Q, R, order = sl.qr(stacked, mode="economic", pivoting=True, check_finite=False)
    w = np.zeros(d)
    for _ in range(REFINEMENTS):
        part = Q.T @ (wanted - stacked @ w)
        w[order] += sl.solve_triangular(R, part, check_finite=False)
    return w


def _sorted(matrix: Floats) -> tuple[Floats, Any]:
    """Return a matrix with its largest rows first, and which they were."""
    rows = np.argsort(-np.max(np.abs(matrix), axis=1), kind="stable")
    return matrix[rows], rows


def _length(of: Intervals, now: Look, w: Floats, step: Floats) -> float:
    """Return how far along a step the objective falls, exactly.

    Its slope is a line between two lengths at which some row enters or leaves its interval.
    """
    moved, along, square = of.x @ step, float(np.sum(w * step)), float(np.sum(step * step))

    def slope(length: float) -> float:
        raw = now.raw + length * moved
        e = np.maximum(of.low - raw, 0.0) - np.maximum(raw - of.high, 0.0)
        return along + length * square - 2.0 * float(np.sum(of.c * e * moved))

    turns = np.concatenate([(of.low - now.raw) / moved, (of.high - now.raw) / moved])
    turns = np.sort(turns[np.isfinite(turns) & (turns > 0.0)])
    first, last = 0, turns.shape[0]
    while first < last:
        middle = (first + last) // 2
        first, last = (first, middle) if slope(turns[middle]) >= 0.0 else (middle + 1, last)
    here = float(turns[first - 1]) if first > 0 else 0.0
    there = float(turns[first]) if first < turns.shape[0] else here + 1.0
    low, high = slope(here), slope(there)
    if not low < 0.0 < high - low:
        return here
    return here + (there - here) * -low / (high - low)
