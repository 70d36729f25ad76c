"""The driver of SDCA: set-up, passes, and when to stop. The kernels say how a pass works."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from fastgd._monitoring.observer import Model, Observer
from fastgd._runtime.threads import one_blas_thread
from fastgd._solvers._certificates import ALLOWANCE
from fastgd._solvers._problem import least_and_terms, rounding_of
from fastgd._solvers._requirements import Requires
from fastgd._solvers._sdca_multi import ManyOutputs
from fastgd._solvers._sdca_one import OneOutput
from fastgd._solvers._task import Options, Solution, Task
from fastgd.kernels import losses
from fastgd.kernels.rows import Dense
from fastgd.kernels.sampling import shuffled_runs
from fastgd.kernels.sdca import DualProblem, Samples, largest_together, mean_row

# Runs of neighbours: longer ones are read faster (1,000 entries in 0.7 of the time of 256), but
# long ones, counted in rows, fix their error among themselves.
ENTRIES_A_RUN, MOST_ENTRIES_A_RUN, ROWS_A_RUN = 256, 1024, 32
FEWEST_RUNS = 256
# Checked gaps were 1.5 to 4 times what passes led to expect, of texts with C from 0.1 to 5; half of
# them less than this. A check takes less than a pass, so that an even chance is worth it.
FIRST_TRUST, MOST_TRUST = 2.2, 10.0
MEAN_SHARE, MEAN_ROWS = 16, 1000  # the centre is the mean of 1/16 of the rows, or 1000
SMALLEST_TOL = 1e-14
LARGEST_PLAIN_Q = 100.0  # |x_i|^2 / (l2 n): from there on a step may undo many digits of others
# Softmax's coefficients are most of its memory traffic: in float32 a pass took 3/4 of the time
# (60,019 texts, 47 classes). The gap fell as in float64 down to 1e-8, then stayed near 3e-8; what
# can be proven of sums in float32 is 1e-6.
NARROW_TOL = 1e-5
# Steps of a face: the first one after some passes, which find it; then after every third. Where
# passes leave less than a share of the gap, they need no help: two digits take four of them. That
# does not ask for the tolerance, so that a smaller one takes the same steps. Products are doubled
# where a step met no bound, so that the face is right, and halved where little was taken of it.
FACE_FROM, FACE_EVERY, QUICK = 6, 3, 0.3
FEWEST_PRODUCTS, FIRST_PRODUCTS, MOST_PRODUCTS = 8, 16, 128
LITTLE_SHARE = 0.125
LEAST_GAP = 1e-290  # of a gap that is not zero


REQUIRES = Requires(
    ("value", "gradient", "conjugate", "dual_bounds", "dual_curvature", "dual_step"),
    l2=True,
    free=True,
)


class DualState(NamedTuple):
    """What continues a fit: coefficients alone cannot start SDCA.

    dual : ndarray of shape (n_samples,) or (n_samples, n_outputs), the loss's derivatives
    intercept : float or ndarray of shape (n_outputs,)
    """

    dual: np.ndarray
    intercept: Any


class Stop(NamedTuple):
    """When to stop.

    tol : float, of the duality gap over F
    max_iter : int, passes
    observer : Observer, may stop it as well
    rounding : callable
        Returns how far an objective may be off by rounding; a gap below it is none.
    """

    tol: float
    max_iter: int
    observer: Observer
    rounding: Callable[[float], float]

    def target(self, objective: float) -> float:
        """Return the gap that suffices."""
        return max(self.tol * abs(objective), self.rounding(objective), LEAST_GAP)


def sdca(task: Task, options: Options, start: DualState | None = None) -> Solution:
    """Solve a task by dual coordinate ascent; the loss needs its dual hooks, and l2 > 0.

    l2 should not be small: the number of passes grows with the mean of q = |x_i|^2 / (l2 n). It
    stops by the duality gap. ``start`` is the ``state`` of a solution to the same rows, perhaps
    with other penalties or weights.
    """
    if not task.l2 > 0.0:
        raise ValueError(f"SDCA needs l2 > 0, got {task.l2}")
    n_samples = task.y.shape[0]
    weight = np.empty(0) if task.weight is None else np.asarray(task.weight, np.float64)
    mass = float(weight.sum()) if weight.size else float(n_samples)
    together, q = largest_together(losses.curvature_bound(task.loss)), mean_q(task)
    rule = DualProblem(
        task.loss,
        mass,
        1.0 / (mass * task.l2),
        task.l1 / task.l2,
        task.fit_intercept,
        together if q <= together else 0.0,
    )
    engine = _engine(task, rule, weight, options.tol)
    order = _Order(n_samples, _n_entries(task.rows), options.seed)
    tol = max(options.tol, SMALLEST_TOL)
    stop = Stop(tol, options.max_iter, options.observer, _rounding(task, weight, mass))
    with one_blas_thread():  # its threads wait for each other longer than a dot product takes
        drifts = q > LARGEST_PLAIN_Q
        return _ascend(engine, order, (task.l1, task.l2), stop, start, drifts=drifts)


def _engine(
    task: Task, rule: DualProblem, weight: np.ndarray, tol: float
) -> OneOutput | ManyOutputs:
    """Return the kernels of one output or many, with their memory."""
    if losses.kind_of(task.loss) != losses.MULTINOMIAL:
        samples = Samples(np.ascontiguousarray(task.y, np.float64), weight)
        return OneOutput(task.rows, samples, rule, task.n_features, task.dtype)
    samples = Samples(np.ascontiguousarray(task.y, np.int32), weight)
    is_narrow = task.rows[0].dtype == np.float32 and tol >= NARROW_TOL
    dtype = np.float32 if is_narrow else np.float64
    return ManyOutputs(task.rows, samples, rule, (task.n_features, task.n_outputs), dtype)


def _ascend(
    engine: OneOutput | ManyOutputs,
    order: "_Order",
    penalty: tuple[float, float],
    stop: Stop,
    start: DualState | None,
    *,
    drifts: bool,
) -> Solution:
    """Pass over the rows until the gap is small enough.

    ``drifts``: rounding may have parted the coefficients from the dual variables; a proof ties them
    anew, which is a pass. Where passes end too soon, the null model is returned if it is better.
    """
    memory, rule = engine.memory, engine.rule
    null: Any
    null, null_loss = engine.null_model()
    if rule.fit_intercept and rule.threshold == 0.0:
        n_samples = memory.along.shape[0]
        count = min(n_samples, max(n_samples // MEAN_SHARE, MEAN_ROWS))
        mean_row(engine.rows, order.of_pass(0), count, memory.mean)
    if start is None:
        engine.set_intercept(null)
    else:
        engine.restore(start.dual, start.intercept)
    watch, faces = _Checks(stop), _Faces(engine, stop.max_iter)
    must_stop = False
    if stop.max_iter == 0:
        order.of_pass(0)
        coef, intercept, objective, gap = _proven(engine, order, penalty)
        watch.is_done = True
    while not (watch.is_done or must_stop):
        gap, loss = engine.one_pass(order.of_pass(watch.n_iter), watch.n_iter == 0)
        must_stop = _report(stop.observer, engine, penalty, gap, loss, 1 + watch.owed)
        if watch.expects_success(gap, loss, engine.penalty_now(*penalty)) or must_stop:
            if drifts:
                engine.couple()
            coef, intercept, objective, gap = _proven(engine, order, penalty)
            if watch.sees_rounding(objective, gap) and engine.keep_digits():
                coef, intercept, objective, gap = _proven(engine, order, penalty)
            watch.decide(objective, gap)
        if faces.are_due(watch) and not (watch.is_done or must_stop):
            watch.owed = faces.step(watch.n_iter)
    state = DualState(memory.dual, intercept)
    if not watch.has_converged and not objective <= null_loss:
        # rows that move themselves much have coefficients far off until their r are nearly right
        lower = objective - gap
        coef, intercept, objective = np.zeros_like(coef), null, null_loss
        gap = max(objective - lower, 0.0) if np.isfinite(lower) else np.inf
    counts = watch.n_iter, watch.has_converged, watch.history
    return Solution(coef, intercept, objective, gap, gap, *counts, state)


def _proven(
    engine: OneOutput | ManyOutputs, order: "_Order", penalty: tuple[float, float]
) -> tuple[Any, Any, float, float]:
    """Return the coefficients and intercepts, their objective, and a bound of its distance."""
    coef, intercept, loss, gap = engine.certify(order.current)
    objective = loss + engine.penalty(coef, *penalty)
    gap += engine.penalty_gap(coef, *penalty) + ALLOWANCE * objective
    return coef, intercept, objective, gap


def _rounding(task: Task, weight: np.ndarray, mass: float) -> Callable[[float], float]:
    """Return what rounding hides of an objective, however small it is beside the null model's."""
    terms = 0.0
    if losses.kind_of(task.loss) == losses.REGRESSION:
        shares = weight / mass if weight.size else np.full(task.y.shape[0], 1.0 / mass)
        terms = least_and_terms(task.loss, np.ascontiguousarray(task.y, np.float64), shares)[1]
    return partial(rounding_of, task.loss, terms)


def _report(
    observer: Observer,
    engine: OneOutput | ManyOutputs,
    penalty: tuple[float, float],
    gap: float,
    loss: float,
    passes: int,
) -> bool:
    """Report a pass by its own estimates, and steps since the last one; return whether to stop."""
    if not observer.is_watching:
        return observer.stops
    objective = loss + engine.penalty(engine.estimate()[0], *penalty)
    figures = {"objective": objective, "suboptimality": gap}
    figures |= {"gap_estimate": gap, "loss_estimate": loss}
    return observer.passed(lambda: Model(*engine.estimate()), figures, passes)


def mean_q(task: Task) -> float:
    """Return the mean of |x_i|^2 / (l2 n) over the rows."""
    if isinstance(task.rows, Dense):
        some = task.rows.values[:: max(1, task.y.shape[0] // 1000)].astype(np.float64)
        some -= some.mean(axis=0) * task.fit_intercept
        square = float(np.einsum("ij,ij->", some, some)) / some.shape[0]
    else:
        data = task.rows.data
        square = float(np.vdot(data, data)) / task.y.shape[0]
    return square / (task.l2 * task.y.shape[0])


def median_q(task: Task) -> float:
    """Return the median of |x_i|^2 / (l2 n) over the rows: some large ones do not matter."""
    rows = task.rows
    if isinstance(rows, Dense):
        some = rows.values[:: max(1, task.y.shape[0] // 1000)].astype(np.float64)
        squares = np.einsum("ij,ij->i", some, some)
    else:
        with np.errstate(over="ignore"):
            entries = np.append(np.square(rows.data, dtype=np.float64), 0.0)
            squares = np.add.reduceat(entries, rows.indptr[:-1])
        squares[np.diff(rows.indptr) == 0] = 0.0
    return float(np.median(squares)) / (task.l2 * task.y.shape[0])


def _n_entries(rows: Any) -> int:
    return int(rows.data.size if rows.is_sparse else rows.values.size)


class _Order:
    """The rows' order in each pass: runs of neighbours, shuffled.

    The rows are not shuffled one by one, as for SGD: an exact step can wait for the others, and
    runs are read up to four times as fast.
    """

    def __init__(self, n_samples: int, n_entries: int, seed: int) -> None:
        self.current = np.empty(n_samples, np.int32)
        entries_a_row = max(n_entries // max(n_samples, 1), 1)
        longest = max(n_samples // FEWEST_RUNS, 1)
        length = min(MOST_ENTRIES_A_RUN // entries_a_row, ROWS_A_RUN)
        self._run_length = min(max(ENTRIES_A_RUN // entries_a_row, length, 1), longest)
        self._seed = seed

    def of_pass(self, number: int) -> np.ndarray:
        """Return the order of a pass, counted from 0; the array is used again."""
        shuffled_runs(self.current[:0], self._run_length, self._seed, number, self.current)
        return self.current


class _Faces:
    """Decides when free derivatives are moved together, and with how many products."""

    def __init__(self, engine: OneOutput | ManyOutputs, max_iter: int) -> None:
        self._engine: OneOutput | None = None
        if isinstance(engine, OneOutput) and engine.has_faces:
            self._engine = engine
        self._max_iter = max_iter
        self._since, self._most = FACE_EVERY - FACE_FROM, FIRST_PRODUCTS

    def are_due(self, watch: "_Checks") -> bool:
        """Note a pass; tell whether a step is due, and passes alone are slow."""
        self._since += 1
        is_due = self._engine is not None and self._since >= FACE_EVERY
        return is_due and watch.ratio > QUICK and self._left(watch.n_iter) > 0

    def _left(self, n_iter: int) -> int:
        """Return for how many passes products may count, beside the search for F and a pass."""
        return self._max_iter - n_iter - 2

    def step(self, n_iter: int) -> int:
        """Take a step; return for how many passes it counts."""
        self._since = 0
        assert self._engine is not None
        share, passes = self._engine.move_face(self._most, self._left(n_iter))
        if share == 1.0:
            self._most = min(2 * self._most, MOST_PRODUCTS)
        elif share <= LITTLE_SHARE:
            self._most = max(self._most // 2, FEWEST_PRODUCTS)
        return passes


class _Checks:
    """Judges passes: from their own estimates when a check is worth its read of the data.

    A pass sees each row's gap a pass old. As each pass lowers the gap by about the same factor,
    the gap now is the estimate times the last two estimates' ratio.
    """

    def __init__(self, stop: Stop) -> None:
        self._stop = stop
        self._trust, self._last, self._expected = FIRST_TRUST, np.inf, np.inf
        self.n_iter, self.owed, self.ratio = 0, 0, 1.0  # of the last two estimates
        self.is_done = self.has_converged = False
        self.history: dict[str, list[float]] = {"gap_estimate": [], "loss_estimate": []}

    def expects_success(self, gap: float, loss: float, cost: float) -> bool:
        """Note a pass's estimates; tell whether to check, as one does at the end in any case."""
        passes, self.owed = 1 + self.owed, 0
        self.n_iter += passes
        self.history["gap_estimate"] += [gap] * passes
        self.history["loss_estimate"] += [loss] * passes
        self.ratio = min(gap / self._last, 1.0) if np.isfinite(self._last) else 0.1
        self._last, self._expected = max(gap, 1e-300), max(gap * self.ratio, 1e-300)
        is_last = self.n_iter >= self._stop.max_iter or not np.isfinite(gap)
        excess = self._trust * self._expected / self._stop.target(loss + cost)
        return is_last or excess <= 1.0

    def decide(self, objective: float, gap: float) -> None:
        """Decide by the checked values; the next estimate learns from what this one missed."""
        self.has_converged = gap <= self._stop.target(objective)
        is_last = self.n_iter >= self._stop.max_iter or not np.isfinite(self._last)
        self.is_done = self.has_converged or is_last
        is_known = np.isfinite(gap)
        self._trust = min(max(gap / self._expected, 0.1), MOST_TRUST) if is_known else FIRST_TRUST

    def sees_rounding(self, objective: float, gap: float) -> bool:
        """Tell whether a checked gap is too large, and far above what passes led to expect."""
        return gap > max(self._stop.target(objective), MOST_TRUST * self._expected)
