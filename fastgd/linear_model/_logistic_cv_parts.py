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
from fastgd._solvers._auto import solve
from fastgd._solvers._fold_shards import (
    Judged,
    look_and_count,
    look_at_folds,
    scores_of_held_out,
    solve_folds,
)
from fastgd._solvers._shard_sums import Kind, Look
from fastgd._solvers._sharded import ShardedTask, by_shards, penalising_intercept
from fastgd._solvers._task import Options, Solution
from fastgd.kernels.losses import LogLoss, Softmax
from fastgd.linear_model._classification import refuse_one_class
from fastgd.linear_model._parameters import check_number_of_classes

MOST_OF_HESSIANS = 1 << 24  # entries at once, of all folds: 128 MB
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

    def solved(self, shards: Shards, seen: Look, kind: Kind, C: float, share: float) -> Solution:
        """Return the solution for some rows, C, and l1's share."""
        mass = float(seen.masses @ self.factors)
        strength = inverse_strength(C, mass)
        loss = LogLoss() if self.is_binary else Softmax()
        of_rows = shards, seen, kind, seen.classes, self.factors, mass
        l1, l2 = share * strength, (1.0 - share) * strength
        task = ShardedTask(*of_rows, loss, l1, l2, self._fits)
        if self._scaling is not None:
            task = penalising_intercept(task, self._scaling)
        return by_shards(task, self.options, solve)


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
    _warn_of_last: Any
    _take_fits: Any
    _watch: Any
    _write: Any
    cv: Any
    solver: Any

    def _fit_parts(self, shards: Shards, ratios: Any, shares: list[float], scoring: Any) -> Any:
        """Try the grid on all folds; return it, and what fits all rows for a place in it."""
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
        self._fit_grid(grid, shards, held_out, problems)
        d = seen.mean.shape[0]
        flat = grid.coefs.reshape(held_out.n_folds, -1, *grid.coefs.shape[3:])
        intercepts = flat[..., d] if flat.shape[-1] > d else np.zeros(flat.shape[:3])
        judged = Judged(held_out, kind, classes, flat[..., :d], intercepts, is_accuracy)
        scores = scores_of_held_out(shards, judged)
        self._tell_scores(grid, scores.reshape(grid.scores.shape))

        def refit(r: int, c: int) -> None:
            found = problems.solved(shards, seen, kind, grid.Cs[c], grid.shares[r])
            self._set_last(found._replace(solver="gd"))
            self._warn_of_last(found)

        return grid, refit

    def _fit_grid(self, grid: Any, shards: Shards, held_out: HeldOut, problems: Problems) -> None:
        """Fit all folds for all strengths, in common passes."""
        looks = look_at_folds(shards, held_out, self.classes_, self._seed())
        places = list(np.ndindex(grid.scores.shape[1:]))

        def solver(f: int, r: int, c: int) -> Callable[[Shards], Solution]:
            C, share = float(grid.Cs[c]), grid.shares[r]
            return lambda own: problems.solved(own, *looks[f], C, share)

        solvers = [[solver(f, *place) for place in places] for f in range(held_out.n_folds)]
        size = grid.coefs[0, 0, 0].size
        most = max(1, MOST_OF_HESSIANS // (held_out.n_folds * size * size))
        found = solve_folds(shards, held_out, self.classes_, solvers, most)
        self._unfinished = 0
        for k, place in enumerate(places):
            self._take_fits(grid, place, [fits[k] for fits in found])

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
