"""Paths of the lasso, the elastic net and their multi-task forms: many strengths, many folds.

Descent works on products of columns (``kernels.blocks``), which are had once for all strengths, and
for all folds together: a fold's are those of all rows less those of the rows that it leaves out.
Where columns are many, only those in a working set are multiplied, of each fold's own where rows
are few. Some strengths of all folds are solved on it, then one product of X with all their
residuals tells each one's duality gap, and which columns the set lacks. Residuals are zero on the
rows that a fold leaves out, and add up to zero, so that X is never copied and never centered.
(Working sets: Massias, Gramfort & Salmon, "Celer", 2018.)

Solutions and correlations are piecewise linear in the strength of l1 (Osborne, Presnell & Turlach,
"A new approach to variable selection in least squares problems", 2000): so the last two strengths
tell where the next one's descent begins, and which columns will come in.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from fastgd._runtime.threads import in_threads, one_blas_thread
from fastgd._solvers._chosen_columns import costs_of_steps
from fastgd._solvers._magnitudes import magnitudes_of
from fastgd._solvers._path_columns import CONSTANT, OwnColumns, SharedColumns, on_support
from fastgd._solvers._spectrum import Rows
from fastgd.kernels.blocks import Blocks, Columns, Penalty

Floats = NDArray[np.float64]

FEW_ROWS = 2000  # up to which each fold has columns of its own where these are more
FULL = 1000  # columns, up to which products of all of them are worth their time where rows are more
AT_ONCE = 2  # strengths that are solved before their gaps are looked at
MANY_AT_ONCE = 20  # where there is nothing to be looked at but whether to stop
FIRST = 20  # columns in the first working set
ROOM = 1.25  # times the rows, or the coefficients: working sets that are guessed
MARGIN = 0.25  # of what l1 falls by: so much may correlations turn from where they lead
SLACK = 1e-12  # relative: by so much rounding lets a correlation exceed its bound
INNER = 0.3  # of the tolerance: what descent on a working set may leave
FIRST_SWEEPS = 20
OF_FACTOR = 0.1  # of a step over one column, for each entry of a triangular factor
MOST_ROUNDS = 60


class Fold(NamedTuple):
    """The weights of the rows that are fitted and of those that are predicted; 0 leaves one out.

    fit, held_out : (n,), float64; the latter None where nothing is predicted
    """

    fit: Floats
    held_out: Floats | None = None


class Sums(NamedTuple):
    """Sums over weighted rows of the columns x of a working set and of the targets t.

    mass : float, sum of the weights
    x, t : (m,), (K,)
    xx, xt, tt : (m, m), (K, m), (K,), of products; tt of each target with itself
    """

    mass: float
    x: Floats
    t: Floats
    xx: Floats
    xt: Floats
    tt: Floats

    def less(self, other: "Sums") -> "Sums":
        """Return the sums over the rows that are not in the other ones."""
        pairs: Any = zip(self, other, strict=True)
        return Sums(*(a - b for a, b in pairs))

    def centered(self, fit_intercept: bool) -> tuple[Blocks, Floats, Floats]:
        """Return what descent takes, and the means of columns and targets."""
        mean, level = self.x / self.mass, self.t / self.mass
        if not fit_intercept:
            mean, level = 0.0 * mean, 0.0 * level
        matrix = self.xx / self.mass - np.outer(mean, mean)
        diagonal = matrix.diagonal()
        constant = diagonal <= CONSTANT * (self.xx.diagonal() / self.mass)
        matrix[constant] = 0.0
        matrix[:, constant] = 0.0
        along = np.where(constant, 0.0, self.xt / self.mass - np.outer(level, mean))
        square = float(np.sum(self.tt / self.mass - level**2))
        return Blocks(matrix, along, max(square, 0.0)), mean, level


class Strengths(NamedTuple):
    """l1 and l2 of a mean loss, each (n_alphas,), largest first."""

    l1: Floats
    l2: Floats


class Found(NamedTuple):
    """The solutions of one fold.

    coef : (n_alphas, K, m), of the columns of the working set
    gap, objective : (n_alphas,), of half the mean of squares
    sweeps : (n_alphas,), int
    floor : float, what gaps may be at any strength
    """

    coef: Floats
    gap: Floats
    objective: Floats
    sweeps: NDArray[np.int64]
    floor: float = 0.0


class Table:
    """Columns that are worked on, and their sums for each fold.

    Parameters
    ----------
    X : {ndarray, CSR matrix} of shape (n, d)
    Y : ndarray of shape (n, K), float64
    folds : sequence of Fold
        The first one is all rows: others that leave out what they predict are told from it.
    fit_intercept : bool

    Attributes
    ----------
    units : Magnitudes
        Of all that the table holds and gives, but for ``in_user_units``.
    """

    def __init__(self, X: Any, Y: Floats, folds: Sequence[Fold], fit_intercept: bool) -> None:
        whole = folds[0].fit
        self.units = magnitudes_of(X, Y)
        X, Y = self.units.of_rows(X), self.units.of_targets(Y)
        self.rows = Rows(X, Y, None, fit_intercept)  # centered, so that sums lose no digits
        self.rows.center_products()
        self.folds, self.fit_intercept = list(folds), fit_intercept
        self.whole = whole
        self.columns = np.empty(0, np.int64)
        self.values: Any = np.empty((0, self.rows.n))  # a column is a row of it
        K = Y.shape[1]
        empty = Sums(0.0, np.empty(0), np.zeros(K), np.empty((0, 0)), np.empty((K, 0)), np.zeros(K))
        self.fit_sums = [self._of_targets(empty, fold.fit) for fold in folds]
        self.held_out_sums = [
            None if fold.held_out is None else self._of_targets(empty, fold.held_out)
            for fold in folds
        ]
        self._centered: dict[int, tuple[Blocks, Floats, Floats]] = {}
        self._means: dict[int, tuple[Floats, Floats]] = {}
        self.is_full = self.rows.d <= min(FULL, self.rows.n)
        self.has_few_rows = not self.is_full and self.rows.n <= FEW_ROWS
        self.correlations = self._correlations_of_targets()
        if self.is_full:
            self.add(np.arange(self.rows.d))

    def size_of_products(self) -> float:
        """Return how large the product of an entry and a target may be."""
        X = self.rows.X.data if sp.issparse(self.rows.X) else self.rows.X
        largest_target = float(np.max(np.abs(self.rows.targets), initial=0.0))
        return float(np.max(np.abs(X), initial=0.0)) * largest_target

    def null_objective(self, f: int) -> float:
        """Return half the mean square of a fold's targets."""
        sums = self.fit_sums[f]
        level = sums.t / sums.mass if self.fit_intercept else 0.0 * sums.t
        return 0.5 * max(float(np.sum(sums.tt / sums.mass - level**2)), 0.0)

    def blocks(self, f: int) -> Blocks:
        """Return the products of all columns, over a fold's rows."""
        return self._centered_sums(f)[0]

    def means(self, f: int) -> tuple[Floats, Floats]:
        """Return what is taken off columns and targets in a fold, (m,) and (K,)."""
        if not self.has_few_rows:
            return self._centered_sums(f)[1:]
        if f not in self._means:
            weight = self.folds[f].fit / self.fit_sums[f].mass * self.fit_intercept
            self._means[f] = self.values @ weight, weight @ self.rows.targets
        return self._means[f]

    def columns_of(self, f: int, places: NDArray[np.int64]) -> Columns:
        """Return some columns, over a fold's rows."""
        mean, level = self.means(f)
        weight = self.folds[f].fit / self.fit_sums[f].mass
        values, mean = self.values[places], mean[places]
        square = (values * values) @ weight
        size = square - mean**2
        size[size <= CONSTANT * square] = 0.0
        targets = np.ascontiguousarray((self.rows.targets - level).T)
        return Columns(values, weight, mean, size, targets)

    def columns_for(self, f: int) -> OwnColumns | SharedColumns:
        """Return the columns that a fold's path is solved on."""
        return (OwnColumns if self.has_few_rows else SharedColumns)(self, f)

    def _centered_sums(self, f: int) -> tuple[Blocks, Floats, Floats]:
        if f not in self._centered:
            self._centered[f] = self.fit_sums[f].centered(self.fit_intercept)
        return self._centered[f]

    def _of_targets(self, sums: Sums, weight: Floats) -> Sums:
        T = self.rows.targets
        return sums._replace(
            mass=float(weight.sum()), t=weight @ T, tt=np.einsum("i,ik,ik->k", weight, T, T)
        )

    def _correlations_of_targets(self) -> Floats:
        """Return each fold's correlations of columns and targets, (n_folds, K, d)."""
        T = self.rows.targets
        parts = []
        for fold in self.folds:
            level = (fold.fit @ T) / fold.fit.sum() if self.fit_intercept else 0.0
            parts.append(fold.fit[:, None] * (T - level) / fold.fit.sum())
        found = self.rows.back(np.concatenate(parts, axis=1))
        return np.ascontiguousarray(found.T).reshape(len(self.folds), T.shape[1], -1)

    def add(self, columns: NDArray[np.int64]) -> None:
        """Take further columns into the working set."""
        self._centered, self._means = {}, {}
        new = self._values_of(columns)
        old = self.values.T
        self.values = np.concatenate([self.values, new.T])
        self.columns = np.concatenate([self.columns, columns])
        if self.has_few_rows:
            return
        whole = self._extended(self.fit_sums[0], self.whole, old, new)
        for f, fold in enumerate(self.folds):
            if fold.held_out is not None:
                sums = self.held_out_sums[f]
                assert sums is not None
                self.held_out_sums[f] = self._extended(sums, fold.held_out, old, new)
            if f == 0:
                self.fit_sums[0] = whole
            elif fold.held_out is not None and np.array_equal(fold.fit + fold.held_out, self.whole):
                self.fit_sums[f] = whole.less(self.held_out_sums[f])  # type: ignore[arg-type]
            else:
                self.fit_sums[f] = self._extended(self.fit_sums[f], fold.fit, old, new)

    def _values_of(self, columns: NDArray[np.int64]) -> Floats:
        """Return columns, centered at the means of all rows."""
        X = self.rows.X
        some = X[:, columns].toarray() if sp.issparse(X) else X[:, columns]
        return np.asfortranarray(some - self.rows.mean[columns], dtype=np.float64)

    def _extended(self, sums: Sums, weight: Floats, old: Floats, new: Floats) -> Sums:
        """Return sums of more columns; rows without a weight are left out of the products."""
        kept = np.flatnonzero(weight)
        all_kept = kept.shape[0] == weight.shape[0]
        w = weight if all_kept else weight[kept]
        old, new = (old, new) if all_kept else (old[kept], new[kept])
        T = self.rows.targets if all_kept else self.rows.targets[kept]
        weighted = new if np.all(w == 1.0) else new * w[:, None]
        m = old.shape[1]
        xx = np.empty((m + new.shape[1],) * 2)
        xx[:m, :m] = sums.xx
        xx[m:, m:] = weighted.T @ new
        if m > 0:
            xx[m:, :m] = weighted.T @ old
            xx[:m, m:] = xx[m:, :m].T
        return sums._replace(
            x=np.append(sums.x, weighted.sum(axis=0)),
            xx=xx,
            xt=np.concatenate([sums.xt, T.T @ weighted], axis=1),
        )

    def residuals(self, f: int, coef: Floats) -> Floats:
        """Return a fold's weighted residuals over its mass, (n, n_alphas * K); their sum is 0.

        coef : (n_alphas, K, m)
        """
        mean, level = self.means(f)
        flat = coef.reshape(-1, coef.shape[2])
        active = np.flatnonzero(np.any(flat != 0.0, axis=0))
        raw = self.values[active].T @ flat[:, active].T - flat[:, active] @ mean[active]
        targets = np.tile(self.rows.targets - level, (1, coef.shape[0]))
        found: Floats = (targets - raw) * (self.folds[f].fit / self.fit_sums[f].mass)[:, None]
        return found

    def padded(self, coef: Floats) -> Floats:
        """Return coefficients (n_alphas, K, m) with zeros for columns that came later."""
        more = self.columns.shape[0] - coef.shape[2]
        return np.pad(coef, ((0, 0), (0, 0), (0, more)))

    def held_out_squares(self, f: int, coef: Floats) -> Floats:
        """Return the mean squared error on a fold's held-out rows, (n_alphas, K)."""
        sums = self.held_out_sums[f]
        assert sums is not None
        mean, level = self.means(f)
        coef = self.padded(coef)
        if self.has_few_rows:
            return self._held_out_squares_of_rows(f, coef, mean, level)
        shift = coef @ mean - level  # (n_alphas, K): the residual is t - x w + shift
        linear = np.einsum("akm,km->ak", coef, sums.xt)
        square = np.einsum("akm,akm->ak", coef @ sums.xx, coef)
        total = sums.tt - 2.0 * linear + square + shift**2 * sums.mass
        total += 2.0 * shift * (sums.t - coef @ sums.x)
        return np.asarray(np.maximum(total, 0.0) / sums.mass)

    def _held_out_squares_of_rows(
        self, f: int, coef: Floats, mean: Floats, level: Floats
    ) -> Floats:
        held_out = self.folds[f].held_out
        assert held_out is not None
        kept = np.flatnonzero(held_out)
        weight = held_out[kept] / held_out.sum()
        raw = (coef @ self.values[:, kept]) - (coef @ mean)[:, :, None]
        errors = (self.rows.targets[kept] - level).T - raw
        return np.asarray((errors**2) @ weight)

    def intercepts(self, f: int, coef: Floats) -> Floats:
        """Return the intercepts (n_alphas, K), in the columns' and targets' own units."""
        if not self.fit_intercept:
            return np.zeros(coef.shape[:2])
        mean, level = self.means(f)
        offset = mean + self.rows.mean[self.columns]
        return np.asarray(level + self.rows.level - coef @ offset)

    def in_user_units(self, f: int, coef: Floats) -> tuple[Floats, Floats]:
        """Return coefficients (n_alphas, K, d) of all columns, and intercepts (n_alphas, K)."""
        coef = self.padded(coef)
        whole = np.zeros((*coef.shape[:2], self.rows.d))
        whole[:, :, self.columns] = self.units.user_coef(coef)
        return whole, self.units.user_intercept(self.intercepts(f, coef))

    def strengths(self, alphas: Any, l1_ratio: float) -> "Strengths":
        """Return a user's strengths, largest first, in own units."""
        alphas = np.asarray(alphas, np.float64)
        return Strengths(
            self.units.of_l1(alphas * l1_ratio), self.units.of_l2(alphas * (1.0 - l1_ratio))
        )


def solve_paths(
    table: Table,
    which: Sequence[int],
    strengths: Strengths,
    tol: float,
    max_iter: int,
    positive: bool = False,
    starts: Sequence[Floats] | None = None,
    solved: Callable[[int, list[list[Floats]]], bool] | None = None,
    at_once: int = 0,
    share_of_null: float = 0.0,
) -> list[Found]:
    """Solve folds for all strengths, each until its gap is at most ``tol`` times its objective.

    Parameters
    ----------
    table : Table
    which : sequence of int
        The folds' numbers.
    strengths : Strengths
    tol : float
    max_iter : int
        Sweeps at most, for each strength of each fold.
    positive : bool
    starts : sequence of ndarray of shape (K, m), one for each fold, default=None
    solved : callable, default=None
        Is told of strengths that are solved, some at a time: the number of the first, and each
        fold's coefficients (K, m) for them. Where it returns True, the path ends there.
    at_once : int, default=0
        How many strengths are solved together; 0 is as many as suit the table.
    share_of_null : float, default=0.0
        Of the objective without columns: a gap of ``tol`` times this is small enough as well.

    Returns
    -------
    list of Found
        For all strengths, or those before the path was ended.
    """
    with one_blas_thread():
        paths = _Paths(table, which, strengths, (tol, max_iter, positive), share_of_null)
        return paths.solve(starts, solved, at_once)


class _Ends(NamedTuple):
    """Where the folds' paths have come to.

    correlations : (n_folds, K, d), of the last strength's residuals
    trend : (n_folds, K, d) or None, their derivative by the strength of l1
    """

    correlations: Floats
    trend: Floats | None = None

    def after(self, new: Floats, l1: Floats, some: range) -> "_Ends":
        """Return the same after some strengths more, (n_folds, n_new, K, d)."""
        n_new = new.shape[1]
        if n_new == 0:
            return self
        rise = l1[some[n_new - 1]] - l1[some[0] - 1] if some[0] > 0 else 0.0
        trend = (new[:, -1] - self.correlations) / rise if rise < 0.0 else None
        return _Ends(new[:, -1], trend)


class _Paths:
    """The state of ``solve_paths``: what was found so far."""

    def __init__(
        self,
        table: Table,
        which: Sequence[int],
        strengths: Strengths,
        options: tuple[float, int, bool],
        share_of_null: float,
    ) -> None:
        self.table, self.which, self.strengths = table, list(which), strengths
        self.tol, self.max_iter, self.positive = options
        self.n_alphas = strengths.l1.shape[0]
        self.n_targets = table.rows.targets.shape[1]
        self.columns = [table.columns_for(f) for f in self.which]
        self.floors = [self.tol * share_of_null * table.null_objective(f) for f in self.which]
        self.coef: list[list[Floats]] = [[] for _ in self.which]
        self.figures: list[list[tuple[float, float, int]]] = [[] for _ in self.which]

    def solve(
        self,
        starts: Sequence[Floats] | None,
        solved: Callable[[int, list[list[Floats]]], bool] | None = None,
        at_once: int = 0,
    ) -> list[Found]:
        """Return each fold's path."""
        table, done, rounds = self.table, 0, 0
        before = starts or [np.zeros((self.n_targets, table.columns.shape[0]))] * len(self.which)
        ends = _Ends(table.correlations[self.which])
        if not table.is_full:
            self._begin(ends.correlations, before)
        while done < self.n_alphas:
            size = at_once or (MANY_AT_ONCE if table.is_full else AT_ONCE)
            some = range(done, min(done + size, self.n_alphas))
            if not table.is_full and rounds == 0:
                self._foresee(ends, some, before)
            found = in_threads(
                lambda k, start, some=some: self._descend(k, start, some),
                range(len(self.which)),
                before,
            )
            accepted = len(some)
            if not table.is_full:
                accepted, ends = self._checked(found, some, ends, rounds >= MOST_ROUNDS)
            for k, path in enumerate(found):
                self.coef[k] += [one[0] for one in path[:accepted]]
                self.figures[k] += [one[1] for one in path[:accepted]]
            if accepted > 0:
                before = [path[accepted - 1][0] for path in found]
            rounds = 0 if accepted == len(some) else rounds + 1
            done += accepted
            if solved is not None and accepted > 0:
                new = [coefs[done - accepted :] for coefs in self.coef]
                if solved(done - accepted, new):
                    break
        return [self._collected(k) for k in range(len(self.which))]

    def _begin(self, correlations: Floats, starts: Sequence[Floats]) -> None:
        """Begin with the columns that go with the targets most, and those with coefficients."""
        size = self._sizes(correlations)
        wanted = np.zeros(size.shape, bool)
        for own, most, start in zip(wanted, size, starts, strict=True):
            own[np.argsort(-most)[:FIRST]] = True
            own[self.table.columns[: start.shape[1]][np.any(start, axis=0)]] = True
        self._take_in(wanted)

    def _foresee(self, ends: "_Ends", some: range, before: Sequence[Floats]) -> None:
        """Take in the columns whose correlations will be large enough if they go on as they do.

        They are at most as many as there are already, and few more than rows or coefficients: for
        this is a guess, and one that rounding spoils where the strength is small.
        """
        l1, last = self.strengths.l1, some[-1]
        ahead, bound = ends.correlations, l1[last]
        if ends.trend is not None:
            fall = l1[some[0] - 1] - l1[last]
            ahead, bound = ahead - fall * ends.trend, bound - MARGIN * fall
        size = self._sizes(ahead)
        for own, columns, coef in zip(size, self.columns, before, strict=True):
            known = self.table.columns[columns.places]
            own[known] = 0.0
            n_chosen = int(np.count_nonzero(np.any(coef, axis=0)))
            room = int(ROOM * max(self.table.rows.n, n_chosen)) - known.shape[0]
            own[own <= _largest(own, max(0, min(room, known.shape[0])))] = 0.0
        self._take_in(size > bound)

    def _take_in(self, wanted: NDArray[np.bool_]) -> None:
        """Take columns into the folds' working sets, (n_folds, d)."""
        table = self.table
        new = np.any(wanted, axis=0)
        new[table.columns] = False
        if np.any(new):
            table.add(np.flatnonzero(new))
        for columns, own in zip(self.columns, wanted, strict=True):
            columns.take(np.flatnonzero(own[table.columns]))

    def _sizes(self, correlations: Floats) -> Floats:
        """Return the size of each column's correlation with the residuals, (..., d)."""
        if self.positive:
            correlations = np.maximum(correlations, 0.0)
        if correlations.shape[-2] == 1:
            return np.abs(correlations[..., 0, :])
        return np.asarray(np.sqrt(np.sum(correlations**2, axis=-2)))

    def _descend(
        self, k: int, start: Floats, some: range
    ) -> list[tuple[Floats, tuple[float, float, int]]]:
        """Solve a fold for some strengths on the working set."""
        whole = np.zeros((self.n_targets, self.table.columns.shape[0]))
        whole[:, : start.shape[1]] = start
        places, parts, found = self.columns[k].places, self.columns[k].parts(), []
        coef, before = np.ascontiguousarray(whole[:, places]), None
        slope = np.empty_like(coef)
        share = 1.0 if self.table.is_full else INNER
        limits = share * self.tol, share * self.floors[k]
        for a in some:
            penalty = Penalty(
                float(self.strengths.l1[a]), float(self.strengths.l2[a]), self.positive
            )
            if before is not None:
                coef, before = self._ahead(parts, penalty, a, coef, before, slope), coef
            else:
                coef, before = coef.copy(), coef
            figures = self._one(parts, penalty, limits, coef, slope)
            whole[:, places] = coef
            found.append((whole.copy(), figures))
        return found

    def _ahead(
        self, parts: Any, penalty: Penalty, a: int, coef: Floats, before: Floats, slope: Floats
    ) -> Floats:
        """Return where the last two strengths' coefficients lead to, if that is lower."""
        l1 = self.strengths.l1
        fall = l1[a - 2] - l1[a - 1] if a > 1 else 0.0
        if not fall > 0.0:
            return coef.copy()
        ahead = coef + (l1[a - 1] - l1[a]) / fall * (coef - before)
        ahead[(ahead * coef <= 0.0) | (before == 0.0)] = 0.0
        ahead = np.where(ahead == 0.0, coef, ahead)
        here = parts.descend(penalty, 0.0, 0.0, 0, coef, slope)[1]
        is_lower = parts.descend(penalty, 0.0, 0.0, 0, ahead, slope)[1] < here
        return ahead if is_lower else coef.copy()

    def _one(
        self,
        parts: Any,
        penalty: Penalty,
        limits: tuple[float, float],
        coef: Floats,
        slope: Floats,
    ) -> tuple[float, float, int]:
        """Solve one problem by sweeps; where they creep, also by the equations of its support.

        ``limits`` are what the gap may be, of the objective and at any rate.
        """
        total, most, credit = 0, min(FIRST_SWEEPS, self.max_iter), 0.0
        tol, floor = limits
        while True:
            gap, objective, sweeps = parts.descend(penalty, tol, floor, most, coef, slope)
            total += sweeps
            if gap <= max(tol * objective, floor) or total >= self.max_iter:
                return gap, objective, total
            most, cost = 2 * most, self._cost_of_steps(parts, coef)
            credit += sweeps - cost
            if credit >= 0.0:
                better = on_support(parts, penalty, coef)
                if better is not None:
                    there = parts.descend(penalty, tol, floor, 0, better, slope)
                    if there[1] <= objective:
                        coef[:] = better
                        most = most if self.n_targets == 1 else FIRST_SWEEPS
            else:
                credit += cost
            most = min(most, self.max_iter - total)

    def _cost_of_steps(self, parts: Any, coef: Floats) -> float:
        """Return how many sweeps cost what the equations of their support do."""
        n_chosen = int(np.count_nonzero(np.any(coef, axis=0)))
        if n_chosen == 0:
            return 0.0
        if self.n_targets == 1:
            return OF_FACTOR * n_chosen**2 / parts.length
        n_coefficients = n_chosen * self.n_targets
        return costs_of_steps(n_coefficients) / (n_coefficients * parts.length)

    def _checked(
        self, found: list[Any], some: range, ends: "_Ends", is_last: bool
    ) -> tuple[int, "_Ends"]:
        """Return for how many strengths all gaps are small, and how correlations are at the last.

        The working sets take in what the others lack.
        """
        table, n_some = self.table, len(some)
        parts = [
            table.residuals(f, np.stack([one[0] for one in path]))
            for f, path in zip(self.which, found, strict=True)
        ]
        flat = table.rows.back(np.concatenate(parts, axis=1))
        shape = (len(self.which), n_some, self.n_targets, -1)
        correlations = np.ascontiguousarray(flat.T).reshape(shape)
        accepted, wanted = n_some, np.zeros((len(self.which), table.rows.d), bool)
        for k, f in enumerate(self.which):
            weighted = parts[k].reshape(table.rows.n, n_some, self.n_targets)
            for i, a in enumerate(some):
                coef, (_, _, sweeps) = found[k][i]
                gap, objective = self._gap(f, a, coef, weighted[:, i], correlations[k, i])
                found[k][i] = (coef, (gap, objective, sweeps))
                if gap <= max(self.tol * objective, self.floors[k]) or sweeps >= self.max_iter:
                    continue
                bound = self.strengths.l1[a] * (1.0 + SLACK)
                size = self._sizes(correlations[k, i])
                size[table.columns[self.columns[k].places]] = 0.0
                if np.any(size > bound):
                    accepted = min(accepted, i)
                    wanted[k] |= size > max(
                        bound, _largest(size, max(FIRST, int(np.count_nonzero(coef[0]))))
                    )
        accepted = n_some if is_last else accepted
        if accepted < n_some:
            self._take_in(wanted)
        return accepted, ends.after(correlations[:, :accepted], self.strengths.l1, some)

    def _gap(
        self, f: int, a: int, coef: Floats, weighted: Floats, correlations: Floats
    ) -> tuple[float, float]:
        """Return the duality gap among all columns, and the objective; see ``kernels.blocks``.

        ``weighted`` are the residuals (n, K) times the rows' weights.
        """
        l1, l2 = float(self.strengths.l1[a]), float(self.strengths.l2[a])
        table = self.table
        active = np.flatnonzero(np.any(coef != 0.0, axis=0))
        own, squares = coef[:, active], float(np.sum(coef**2))
        weight = table.folds[f].fit / table.fit_sums[f].mass
        kept = weight > 0.0
        residual = float(np.sum(weighted[kept] ** 2 / weight[kept, None]))
        targets = table.rows.targets - table.means(f)[1]  # or rounding is most, if they are alike
        level = float(np.sum(weighted * targets))
        both = correlations.copy()
        both[:, table.columns[active]] -= l2 * own
        largest = float(self._sizes(both).max())
        share = min(1.0, l1 / largest) if largest > 0.0 else 1.0
        penalty = l1 * float(np.sqrt(np.sum(own**2, axis=0)).sum()) + 0.5 * l2 * squares
        objective = 0.5 * residual + penalty
        dual = share * level - 0.5 * share * share * (residual + l2 * squares)
        if l2 > 0.0:
            over = np.maximum(self._sizes(correlations) - l1, 0.0)
            dual = max(dual, level - 0.5 * residual - 0.5 * float(over @ over) / l2)
        return max(objective - dual, 0.0), objective

    def _collected(self, k: int) -> Found:
        n_solved = len(self.coef[k])
        coef = np.zeros((n_solved, self.n_targets, self.table.columns.shape[0]))
        for a, one in enumerate(self.coef[k]):
            coef[a, :, : one.shape[1]] = one
        figures = np.array(self.figures[k]).reshape(n_solved, 3)
        return Found(
            coef, figures[:, 0], figures[:, 1], figures[:, 2].astype(np.int64), self.floors[k]
        )


def _largest(values: Floats, k: int) -> float:
    """Return what the k largest values are above; less than all of them if they are fewer."""
    if values.shape[0] <= k:
        return -np.inf
    return float(np.partition(values, -k - 1)[-k - 1])
