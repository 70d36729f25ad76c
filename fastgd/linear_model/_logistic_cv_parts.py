"""LogisticRegressionCV of rows in parts: each fold and strength descends, in common passes."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import get_scorer

from fastgd._data.held_out import HeldOut, held_out_by
from fastgd._data.parts import learn_columns
from fastgd._data.shards import Shards
from fastgd._data.validation import inverse_strength
from fastgd._monitoring.observer import Silenced
from fastgd._monitoring.watching import Given
from fastgd._runtime.threads import one_blas_thread
from fastgd._solvers._auto import solve
from fastgd._solvers._fold_shards import (
    Judged,
    look_and_count,
    look_at_folds,
    scores_of_held_out,
    solve_folds,
)
from fastgd._solvers._folds import FoldFit
from fastgd._solvers._joint_shards import (
    FoldedTask,
    JointShards,
    can_be_joint,
    fit_in_memory,
    folded,
)
from fastgd._solvers._shard_sums import Kind, Look
from fastgd._solvers._sharded import ShardedTask, by_shards, penalising_intercept
from fastgd._solvers._stored_shards import as_stored_in_parts
from fastgd._solvers._task import Options, Solution, State
from fastgd.kernels.losses import LogLoss, Softmax
from fastgd.linear_model._classification import refuse_one_class
from fastgd.linear_model._parameters import check_number_of_classes

MOST_OF_HESSIANS = 1 << 24  # entries at once, of all folds: 128 MB
Place = tuple[int, int, int]  # in the grid: fold, l1's share, strength
SCORINGS = ("accuracy", "neg_log_loss")


class Problems:
    """What is fitted: the problem of a fold, or of all rows, for any strength.

    Parameters
    ----------
    model : LogisticRegressionCV
    factors : (n_classes,)
        The weights of the classes.
    """

    def __init__(self, model: Any, factors: NDArray[Any]) -> None:
        self.factors, self.is_binary = factors, factors.shape[0] == 2
        self._fits, self._scaling = bool(model.fit_intercept), None
        if model._penalises_intercept():
            self._scaling = float(model.intercept_scaling)
        most = 1000 if model.max_iter is None else int(model.max_iter)
        self.options = Options(float(model.tol), most, model._seed(), Silenced(model._watch))

    def task(self, shards: Shards, seen: Look, kind: Kind) -> ShardedTask:
        """Return the problem of some rows without a penalty."""
        mass = float(seen.masses @ self.factors)
        loss = LogLoss() if self.is_binary else Softmax()
        of_rows = shards, seen, kind, seen.classes, self.factors, mass
        task = ShardedTask(*of_rows, loss, 0.0, 0.0, self._fits)
        return task if self._scaling is None else penalising_intercept(task, self._scaling)

    def penalised(
        self, shards: Shards, seen: Look, kind: Kind, C: float, share: float
    ) -> ShardedTask:
        """Return the problem of some rows for C and l1's share."""
        task = self.task(shards, seen, kind)
        strength = inverse_strength(C, task.mass)
        return task._replace(l1=share * strength, l2=(1.0 - share) * strength)

    def solved(self, task: ShardedTask, start: State | None = None) -> Solution:
        """Return a problem's solution, by a descent from ``start`` if it is given."""
        return by_shards(task, self.options, solve, start=start)


class LogisticCVOfParts:
    """What ``LogisticRegressionCV`` does where rows come in parts."""

    _check_labels: Any
    _class_factors: Any
    _choose: Any
    _empty_grid: Any
    _report_grid: Any
    _refuse_solver_of_rows: Any
    _seed: Any
    _set_last: Any
    _start_of: Any
    _warn_of_last: Any
    _take_fit: Any
    _watch: Any
    _write: Any
    cv: Any
    solver: Any
    tol: Any

    def _fit_parts(self, shards: Shards, ratios: Any, shares: list[float], scoring: Any) -> Any:
        """Try the grid on all folds; return it, what refits for a place in it, and X's dtype."""
        is_accuracy = _is_accuracy(scoring)
        self._refuse_solver_of_rows()
        seen, kind, counts = look_and_count(shards, self._seed())
        classes = self.classes_ = seen.classes
        refuse_one_class(classes)
        check_number_of_classes(self.solver, classes.shape[0])
        learn_columns(self, shards.names, seen.mean.shape[0])
        held_out = held_out_by(self.cv, counts, classifies=True)
        problems = Problems(self, self._class_factors(classes, classes, seen.masses))
        grid = self._empty_grid(ratios, shares, held_out.n_folds, seen.mean.shape[0])
        self._watch.begin_grid(Given(shards, None, None), grid.scores[0].size, self._write(grid))
        self._fit_grid(grid, problems.task(shards, seen, kind), held_out, problems)
        d = seen.mean.shape[0]
        flat = grid.coefs.reshape(held_out.n_folds, -1, *grid.coefs.shape[3:])
        intercepts = flat[..., d] if flat.shape[-1] > d else np.zeros(flat.shape[:3])
        judged = Judged(held_out, kind, classes, flat[..., :d], intercepts, is_accuracy)
        scores = scores_of_held_out(shards, judged)
        self._tell_scores(grid, scores.reshape(grid.scores.shape))

        def refit(r: int, c: int) -> Solution:
            task = problems.penalised(shards, seen, kind, grid.Cs[c], grid.shares[r])
            found = problems.solved(task, self._start_of(grid.coefs[:, r, c], task))
            found = as_stored_in_parts(task, found, float(self.tol))
            self._set_last(found._replace(solver="gd"))
            self._warn_of_last(found)
            return found

        return grid, refit, seen.dtype

    def _fit_grid(
        self, grid: Any, task: ShardedTask, held_out: HeldOut, problems: Problems
    ) -> None:
        """Fit all folds for all strengths, in common passes."""
        self._unfinished: list[int] = []
        with one_blas_thread():
            given = folded(task, held_out)
        order = np.argsort(grid.Cs, kind="stable")
        l2 = np.array(
            [[inverse_strength(grid.Cs[c], mass) for mass in given.masses] for c in order]
        )
        apart: list[Place] = []
        for r, share in enumerate(grid.shares):
            fits = _joint_fits(given, share, l2, problems.options)
            for k, c in enumerate(order.tolist()):
                for f in range(held_out.n_folds):
                    if fits is None or not (fits[k][f].converged or given.has_all_rows):
                        apart.append((f, r, c))
                    else:
                        self._take_fit(grid, (f, r, c), fits[k][f])
        if apart:
            self._fit_apart(grid, task.shards, held_out, problems, apart)

    def _fit_apart(
        self,
        grid: Any,
        shards: Shards,
        held_out: HeldOut,
        problems: Problems,
        places: list[Place],
    ) -> None:
        """Fit places (fold, share, strength) of the grid, each by a descent of its own."""
        looks = look_at_folds(shards, held_out, self.classes_, self._seed())

        def solver(f: int, r: int, c: int) -> Callable[[Shards], Solution]:
            C, share = float(grid.Cs[c]), grid.shares[r]
            return lambda own: problems.solved(problems.penalised(own, *looks[f], C, share))

        of_folds = [[place for place in places if place[0] == f] for f in range(held_out.n_folds)]
        solvers = [[solver(*place) for place in own] for own in of_folds]
        size = grid.coefs[0, 0, 0].size
        most = max(1, MOST_OF_HESSIANS // (held_out.n_folds * size * size))
        found = solve_folds(shards, held_out, self.classes_, solvers, most)
        for own, fits in zip(of_folds, found, strict=True):
            for place, fit in zip(own, fits, strict=True):
                self._take_fit(grid, place, fit)

    def _tell_scores(self, grid: Any, scores: NDArray[np.float64]) -> None:
        """Tell the callbacks of each strength, the strongest penalty first, until they stop."""
        for r, share in enumerate(grid.shares):
            for c in np.argsort(grid.Cs, kind="stable"):
                if self._watch.stops:
                    grid.n_iter[:, r, c] = -1
                    continue
                grid.scores[:, r, c] = scores[:, r, c]
                figures = {"C": grid.Cs[c], "score": scores[:, r, c].mean()}
                if len(grid.shares) > 1:
                    figures["l1_ratio"] = share
                self._watch.tried(figures)


def _joint_fits(
    given: FoldedTask, share: float, l2: NDArray[np.float64], options: Options
) -> list[list[FoldFit]] | None:
    """Return the fits (n_strengths, n_folds) for l1's share; None if each is a problem apart."""
    if given.has_all_rows:
        return fit_in_memory(given, share * l2, (1.0 - share) * l2, options)
    if share == 0.0 and can_be_joint(given):
        return JointShards(given, options).fits(l2)
    return None


def _is_accuracy(scoring: Any) -> bool:
    """Tell whether a score is the accuracy, or else the log loss.

    Raises
    ------
    ValueError
        If it is another one, which needs all rows at once.
    """
    for name in SCORINGS:
        if scoring == name or scoring is get_scorer(name):
            return name == "accuracy"
    if scoring is None:
        return True
    raise ValueError(
        f"scoring={scoring!r} needs all rows in memory; of data in parts it must be None, "
        "'accuracy' or 'neg_log_loss'."
    )
