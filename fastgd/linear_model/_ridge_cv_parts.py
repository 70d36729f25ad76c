"""RidgeCV and RidgeClassifierCV of rows in parts: the choice and the fit by sums over them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_classifier
from sklearn.exceptions import ConvergenceWarning

from fastgd._data.held_out import held_out_by
from fastgd._data.parts import learn_columns
from fastgd._data.shards import Shards
from fastgd._monitoring.watching import Given, GridWatch
from fastgd._runtime.warned import warn
from fastgd._solvers._magnitudes import Magnitudes, magnitudes_of_peaks
from fastgd._solvers._product_shards import (
    Frame,
    Moments,
    SummedTable,
    frame_of_numbers,
    look_for_products,
)
from fastgd._solvers._ridge_shards import RidgeOfSums
from fastgd._solvers._spectrum import Fitted
from fastgd.linear_model._solved import level_of_the_user

TOL = 1e-4  # of the objective: Ridge's own
SCORINGS = (None, "r2", "neg_mean_squared_error"), (None, "accuracy")


def units_of_columns(moments: Moments, alphas: NDArray[np.float64]) -> Magnitudes:
    """Return the units of X, in which no strength leaves float64; targets are taken as they are."""
    return magnitudes_of_peaks(moments.peak, moments.height)._replace(y=0).for_l2(alphas)


class RidgeCVOfParts:
    """What both estimators do where rows come in parts; they are mixed with ``BaseRidgeCV``."""

    _watch: GridWatch
    alphas: Any
    cv: Any
    fit_intercept: Any
    scoring: Any
    alpha_per_target: Any
    store_cv_results: Any
    alpha_: Any
    _choose: Any
    _refuse_for_folds: Any
    _refuse_interrupted: Any
    _take_fitted: Any
    _warn_if_inexact: Any

    def _fit_numbers_in_parts(self, shards: Shards, alphas: NDArray[np.float64]) -> None:
        moments = look_for_products(shards, classifies=False)
        units = units_of_columns(moments, alphas)
        frame = frame_of_numbers(moments, units, bool(self.fit_intercept))
        self._fit_summed(shards, moments, frame, alphas)

    def _fit_summed(
        self, shards: Shards, moments: Moments, frame: Frame, alphas: NDArray[np.float64]
    ) -> None:
        """Choose ``alpha_`` and fit all rows with it."""
        self._refuse_what_needs_rows(alphas, moments.n_rows)
        learn_columns(self, shards.names, moments.mean.shape[0])
        if self.cv is not None:
            folds = held_out_by(self.cv, moments.counts, classifies=is_classifier(self))
            frame = frame._replace(held_out=folds)
        table = SummedTable(shards, moments, frame, bool(self.fit_intercept))
        ridge, units = RidgeOfSums(shards, table, frame), frame.units
        K = table.rows.targets.shape[1]
        shape = (moments.n_rows, K) if moments.is_table or frame.classifies else (moments.n_rows,)

        def refit(model: Any) -> Fitted:
            alpha = np.broadcast_to(np.asarray(model.alpha_, np.float64), (K,))
            own = ridge.fit_at(units.of_l2(alpha))
            own = own._replace(coef=units.user_coef(own.coef))
            found: Fitted = model._take_fitted(own, moments.dtype, shape)
            return found

        self._watch.begin_grid(Given(shards, None, None), alphas.shape[0], refit)
        scores = self._scores_of_sums(ridge, units.of_l2(alphas))
        self._refuse_interrupted()
        self._choose(alphas, scores, np.empty((0, *shape[1:])))
        fitted, watch = refit(self), self._watch
        if not watch.warn_if_interrupted(f"after {watch.epoch} strengths", 5):
            self._warn_if_inexact(fitted)
            self._warn_if_blunt(ridge, float(units.of_l2(alphas).min()))
        watch.end()

    def _refuse_what_needs_rows(self, alphas: NDArray[np.float64], n_rows: int) -> None:
        """Refuse what sums do not tell."""
        scorings = SCORINGS[is_classifier(self)] if self.cv is not None else (None,)
        if self.scoring not in scorings:
            known = " or ".join(map(repr, scorings))
            raise ValueError(
                f"scoring={self.scoring!r} needs all rows in memory; of data in parts it must be "
                f"{known}{' without cv' if self.cv is None else ''}."
            )
        if self.store_cv_results:
            raise ValueError("store_cv_results=True needs all rows in memory.")
        if self.cv is not None:
            self._refuse_for_folds()
        if not alphas.min() > 0.0:
            raise ValueError("alphas must be > 0 where data come in parts, got 0.")
        if self.cv is None and n_rows < 2:
            raise ValueError("Leave-one-out needs 2 rows or more, got 1 sample.")

    def _scores_of_sums(
        self, ridge: RidgeOfSums, alphas: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the score of each strength, or of each strength and target."""
        table = ridge.table
        if self.cv is None:
            mean = -ridge.left_out_squares(alphas) / table.rows.n
            is_per_target = bool(self.alpha_per_target) and mean.shape[0] > 1
            return mean.T if is_per_target else np.asarray(mean.mean(axis=0))
        which = range(1, len(table.folds))
        if is_classifier(self):
            masses = np.array([table.held_out_sums[f].mass for f in which])  # type: ignore[union-attr]
            return np.asarray((ridge.right_at(alphas) / masses[:, None]).mean(axis=0))
        return np.mean([self._score_of_fold(table, ridge, f, alphas) for f in which], axis=0)

    def _score_of_fold(
        self, table: SummedTable, ridge: RidgeOfSums, f: int, alphas: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the score of each strength on the rows that a fold holds out."""
        errors = table.held_out_squares(f, ridge.paths(f, alphas))
        if self.scoring == "neg_mean_squared_error":
            return np.asarray(-errors.mean(axis=1))
        sums = table.held_out_sums[f]
        assert sums is not None
        spread = sums.tt / sums.mass - (sums.t / sums.mass) ** 2
        with np.errstate(divide="ignore", invalid="ignore"):
            scores = np.where(spread > 0.0, 1.0 - errors / spread, np.where(errors > 0.0, 0.0, 1.0))
        return np.asarray(scores.mean(axis=1))

    def _warn_if_blunt(self, ridge: RidgeOfSums, weakest: float) -> None:
        if not ridge.is_sharp(weakest):
            warn(
                f"{type(self).__name__}: the products of columns, by which data in parts are "
                "judged, leave the weakest of alphas few digits. Bring the columns to similar "
                "scales, or use larger alphas.",
                ConvergenceWarning,
                stacklevel=level_of_the_user(),
            )
