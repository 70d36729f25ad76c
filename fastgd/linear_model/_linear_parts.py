"""LinearRegression, Ridge, Lasso and ElasticNet of rows in parts, of one target or many."""

from abc import abstractmethod
from collections.abc import Callable
from functools import partial

import numpy as np

from fastgd._data.parts import learn_columns
from fastgd._data.shards import Shards
from fastgd._runtime.threads import one_blas_thread
from fastgd._solvers._product_shards import Moments
from fastgd._solvers._sharded import look
from fastgd._solvers._target_shards import (
    OneTarget,
    Several,
    look_for_targets,
    squares_by_products,
)
from fastgd._solvers._task import Options, Solution
from fastgd._solvers._together import together
from fastgd.kernels.losses import SquaredError
from fastgd.linear_model._solved_regressor import Penalty, SolvedRegressor


class LinearOfParts(SolvedRegressor):
    """What these models do where rows come in parts."""

    @abstractmethod
    def _penalties(self, mass: float, n_targets: int) -> list[Penalty]:
        """Return (l1, l2) of each target's mean loss; ``mass`` is the weights' sum."""

    def _fit_parts(self, shards: Shards, *, by_products: bool) -> None:
        """Fit all targets; products of columns solve many of them where ``by_products``."""
        self._refuse_warm_start()
        self._refuse_solver_of_rows()
        by_products = by_products and not self._watch.is_watching
        found = look_for_targets(shards, by_products=by_products, seed=self._seed())
        if isinstance(found, Several):
            self._fit_each(shards, found)
            return
        if isinstance(found, Moments):
            self._fit_by_products(shards, found)
            return
        seen, kind = found
        learn_columns(self, shards.names, seen.mean.shape[0])
        penalty = self._penalties(seen.mass, 1)[0]
        task = self._task_of_shards(shards, seen, kind, SquaredError(), penalty)
        self._take_shards(shards, seen.dtype, 1, lambda: [self._solve_shards(task)])

    def _fit_by_products(self, shards: Shards, moments: Moments) -> None:
        """Fit many targets by the products of columns, which they share."""
        n_targets = moments.level.shape[0]
        penalties = self._penalties(moments.mass, n_targets)
        l2 = np.array([penalty[1] for penalty in penalties])
        learn_columns(self, shards.names, moments.mean.shape[0])

        def solved() -> list[Solution]:
            fits, options = bool(self.fit_intercept), self._options()
            found = squares_by_products(shards, moments, l2, fit_intercept=fits, options=options)
            return [one._replace(is_penalised=bool(l2.any())) for one in found]

        self._take_shards(shards, moments.dtype, n_targets, solved)

    def _fit_each(self, shards: Shards, several: Several) -> None:
        """Fit each target by a descent of its own; all take their passes together."""
        n_targets = several.n_targets
        self._penalties(1.0, n_targets)  # refuses what does not go with so many
        options = [self._options() for _ in range(n_targets)]
        seed = self._seed()

        def solve_one(own: Shards, k: int, options: Options) -> Solution:
            rows = OneTarget(own, k)
            seen, kind = look(rows, classifies=False, loss=SquaredError(), seed=seed)
            if k == 0:
                learn_columns(self, shards.names, seen.mean.shape[0])
            penalty = self._penalties(seen.mass, n_targets)[k]
            task = self._task_of_shards(rows, seen, kind, SquaredError(), penalty)
            return self._solve_shards(task, options)

        def solver(k: int) -> Callable[[Shards], Solution]:
            return partial(solve_one, k=k, options=options[k])

        def solved() -> list[Solution]:
            solvers = list(map(solver, range(n_targets)))
            if self._watch.is_watching:
                return [one(shards) for one in solvers]
            with one_blas_thread():
                return together(shards, solvers)

        self._take_shards(shards, several.dtype, n_targets, solved)
