"""What regressors without a learning rate share: targets in, coefficients out."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import RegressorMixin

from fastgd._data.parts import ScoredAnywhere, by_parts
from fastgd._data.shards import Shards
from fastgd._data.validation import check_X_y, in_dtype
from fastgd._monitoring.watching import Given
from fastgd._solvers._shard_sums import Kind, Look
from fastgd._solvers._sharded import ShardedTask, penalising_intercept
from fastgd._solvers._task import Solution, dtype_of
from fastgd.linear_model._solved import FLOATS, SolvedModel

Penalty = tuple[float, float]


class SolvedRegressor(ScoredAnywhere, RegressorMixin, SolvedModel):
    """Base class of the regressors that a solver fits, one target or many."""

    _keeps_column = False  # whether y of shape (n, 1) gives coefficients of shape (1, d)

    def _check(
        self, X: Any, y: Any, sample_weight: Any, *, multi_output: bool = False
    ) -> tuple[Any, NDArray[Any], NDArray[Any]]:
        """Return X, float64 targets and weights, validated; no weights are an empty array."""
        checks = {"multi_output": multi_output, "y_numeric": True}
        X, y = check_X_y(self, X, y, reset=True, dtype=FLOATS, **checks)
        return X, np.asarray(y, np.float64), self._check_weight(sample_weight, X)

    def _fit_targets(
        self, given: Given, weight: NDArray[Any], loss: Any, penalties: list[Penalty]
    ) -> None:
        """Fit each target, and take over what was found; all or nothing."""
        X, y, _ = given
        columns = [y] if y.ndim == 1 else list(np.ascontiguousarray(y.T))
        starts = self._starts(len(columns))
        positive = bool(getattr(self, "positive", False))
        dtype, is_table = X.dtype, y.ndim == 2
        many = is_table and (self._keeps_column or len(columns) > 1)

        def write(model: SolvedRegressor, found: list[Solution]) -> None:
            model._take(found, dtype, many=many)
            if is_table and model.fit_intercept:  # of one column, too, as in scikit-learn
                model.intercept_ = np.atleast_1d(model.intercept_)

        self._watch.begin_solving(given, write, len(columns))
        tasks = [
            partial(self._task, X, column, weight, loss, penalty, positive=positive)
            for column, penalty in zip(columns, penalties, strict=True)
        ]
        found = self._solve_each(tasks, starts)
        write(self, found)
        self._report(found)

    def _fit_shards(
        self,
        shards: Shards,
        loss: Any,
        penalty_of: Callable[[float], Penalty],
        constant: float = 0.0,
    ) -> None:
        """Fit one target of rows in parts; the penalty depends on the sum of their weights.

        A constant that is not 0 is a column whose coefficient is the intercept.
        """
        seen, kind = self._look(shards, classifies=False, loss=loss)
        task = self._task_of_shards(shards, seen, kind, loss, penalty_of(seen.mass))
        if constant:
            task = penalising_intercept(task, constant)
        self._take_shards(shards, seen.dtype, 1, lambda: [self._solve_shards(task)])

    def _task_of_shards(
        self, shards: Shards, seen: Look, kind: Kind, loss: Any, penalty: Penalty
    ) -> ShardedTask:
        """Return what to minimise of one target."""
        none, positive = np.empty(0), bool(getattr(self, "positive", False))
        of_rows = shards, seen, kind, none, none, seen.mass
        return ShardedTask(*of_rows, loss, *penalty, bool(self.fit_intercept), positive)

    def _take_shards(
        self, shards: Shards, dtype: Any, n_targets: int, solved: Callable[[], list[Solution]]
    ) -> None:
        """Solve rows in parts, and take over what was found for each target; all or nothing."""

        def write(model: SolvedRegressor, found: list[Solution]) -> None:
            own = [model._own(solution) for solution in found]
            model._take(own, dtype, many=n_targets > 1)

        self._watch.begin_solving(Given(shards, None, None), write, n_targets)
        found = solved()
        write(self, found)
        self._report(found)

    def _own(self, solution: Solution) -> Solution:
        """Return a solution with the user's coefficients."""
        return solution

    def _starts(self, n_targets: int) -> list[Any]:
        """Return where each target's fit begins."""
        if n_targets == 1:
            return [self._start()]
        return [None] * n_targets

    def _take(self, found: list[Solution], dtype: Any, *, many: bool) -> None:
        """Set the fitted parameters."""
        dtype = dtype_of(found, dtype)
        coef = in_dtype([s.coef for s in found], dtype)
        intercept = in_dtype([s.intercept for s in found], dtype)
        n_iter = np.array([s.n_iter for s in found], np.int32)
        self.coef_ = coef if many else coef[0]
        self.intercept_ = self._shaped_intercept(intercept, many=many)
        self.n_iter_ = self._shaped_n_iter(n_iter, many=many)
        self._remember(found[0])

    def _shaped_intercept(self, intercept: NDArray[Any], *, many: bool) -> Any:
        """Return a number for one target, 0.0 for no intercept, as scikit-learn does."""
        if not self.fit_intercept:
            return 0.0
        return intercept if many else intercept[0]

    def _shaped_n_iter(self, n_iter: NDArray[Any], *, many: bool) -> Any:
        return n_iter if many else int(n_iter[0])

    @by_parts
    def predict(self, X: Any) -> NDArray[Any]:
        """Predict targets.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_targets)
        """
        return self._raw(X)
