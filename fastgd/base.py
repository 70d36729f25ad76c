"""What the stochastic estimators share: their words, and the way from ``fit`` to the trainer."""

from abc import ABC, abstractmethod
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.linear_model._base import SparseCoefMixin
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions

from fastgd import _resolve
from fastgd._progress import Data, Progress, Settings
from fastgd._training import Score, train, warn_if_unfinished
from fastgd.kernels.optimizers import OPTIMIZERS
from fastgd.kernels.sgd import Rule
from fastgd.schedules import SCHEDULES

MAX_SEED = np.iinfo(np.int32).max


class BaseSGD(SparseCoefMixin, BaseEstimator, ABC):
    """Base class of the stochastic estimators.

    A subclass says which loss, on which targets; here is how parameters are started, trained and
    reported. Whatever a call does, it does to copies: one that fails leaves the model as it was.
    """

    _default_learning_rate: ClassVar[str]

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "penalty": [StrOptions({"l2", "l1", "elasticnet"}), None],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "l1_ratio": [Interval(Real, 0, 1, closed="both"), None],
        "fit_intercept": ["boolean"],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left"), None],
        "shuffle": ["boolean"],
        "verbose": ["verbose"],
        "epsilon": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
        "learning_rate": [StrOptions(set(SCHEDULES)), callable],
        "eta0": [Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "warm_start": ["boolean"],
        "average": [Interval(Integral, 0, None, closed="left"), "boolean"],
        "batch_size": [Interval(Integral, 1, None, closed="left"), StrOptions({"full"})],
        "optimizer": [StrOptions(set(OPTIMIZERS)), HasMethods(["update", "paces"])],
    }

    def _settings(self, n_visited: int, max_iter: int, tol: float | None, rule: Rule) -> Settings:
        """Return how to train on this many rows."""
        batch_size = n_visited if self.batch_size == "full" else min(self.batch_size, n_visited)
        # by the constructor's max_iter, so that partial_fit of 2 + 3 epochs goes on as of 5
        schedule = _resolve.schedule(
            self, rule.loss, rule.optimizer, -(-n_visited // batch_size), self.max_iter
        )
        return Settings(
            batch_size=int(batch_size),
            schedule=schedule,
            shuffle=bool(self.shuffle),
            average=int(self.average),
            max_iter=int(max_iter),
            tol=tol,
            n_iter_no_change=int(self.n_iter_no_change),
            verbose=int(self.verbose),
        )

    def _rule(self, loss: Any, *, sparse: bool) -> Rule:
        """Return what a step does, from the constructor's words."""
        penalty = _resolve.penalty(self.penalty, self.alpha, self.l1_ratio)
        optimizer = _resolve.optimizer(self.optimizer, sparse=sparse)
        return Rule(loss, penalty, optimizer, bool(self.fit_intercept))

    def _unit(self, weight: NDArray[Any]) -> float:
        """Return the mean weight that gradients are divided by.

        One row at a time a weight multiplies the step, as scikit-learn has it; in a batch the mean
        weight of the call is divided out, so that the full batch equals repeated rows.
        """
        if weight.shape[0] == 0 or self.batch_size == 1:
            return 1.0
        return float(np.mean(weight, dtype=np.float64))

    def _begin(self, shape: tuple[int, ...], dtype: Any, rule: Rule) -> Progress:
        """Return a new training that starts from ``coef_`` and ``intercept_``, or from zero."""
        params = np.zeros(shape, dtype)
        if getattr(self, "coef_", None) is not None:
            self._write_params(params)
        seed = check_random_state(self.random_state).randint(MAX_SEED)
        return Progress.begin(params, rule.optimizer, average=self.average > 0, seed=seed)

    def _write_params(self, params: NDArray[Any]) -> None:
        """Write ``coef_`` and ``intercept_`` into parameters of their shape."""
        coef = self.coef_.toarray() if hasattr(self.coef_, "toarray") else self.coef_
        if np.size(coef) != params[:-1].size or np.size(self.intercept_) != params[-1].size:
            raise ValueError(
                f"coef_ has shape {np.shape(coef)}, intercept_ {np.shape(self.intercept_)}: they "
                f"do not match dataset, which has {params.shape[0] - 1} features."
            )
        params[:-1] = np.reshape(coef, (-1, params[:-1].shape[0])).T.reshape(params[:-1].shape)
        params[-1] = np.reshape(self.intercept_, params[-1].shape)

    def _continue(self, rule: Rule) -> Progress:
        """Return the training so far, with ``coef_`` as the user may have changed it.

        Words may have been changed as well: another optimizer, or an average that is asked for
        only now, starts anew, and one that is no longer asked for is dropped.
        """
        progress: Progress = self._progress.copy()
        if progress.averaged == 0:
            self._write_params(progress.params)
        anew = Progress.begin(
            progress.params, rule.optimizer, average=self.average > 0, seed=progress.seed
        )
        if anew.state.shape != progress.state.shape:
            progress.state = anew.state
        if anew.average.shape != progress.average.shape:
            progress.average, progress.averaged = anew.average, 0
        return progress

    def _train(
        self,
        data: Data,
        rule: Rule,
        progress: Progress,
        max_iter: int,
        tol: float | None,
        score: Score | None = None,
    ) -> None:
        """Train, and take over the result."""
        settings = self._settings(data.n_visited, max_iter, tol, rule)
        progress, self.n_iter_ = train(data, rule, progress, settings, score)
        self._progress = progress
        self.history_ = progress.history
        held_out = data.y.shape[0] - data.n_visited
        counts_rows = settings.batch_size == 1  # scikit-learn counts the rows held out as well
        self._held_out = getattr(self, "_held_out", 0) + held_out * self.n_iter_ * counts_rows
        self.t_ = 1.0 + progress.steps + self._held_out
        self._report(progress.reported())
        warn_if_unfinished(self.n_iter_, settings)

    @abstractmethod
    def _report(self, params: NDArray[Any]) -> None:
        """Set ``coef_`` and ``intercept_`` from the parameters, as copies."""

    def _forget(self) -> dict[str, Any]:
        """Drop what an earlier fit learned; return it, so that a failed fit can put it back."""
        learned = {name: value for name, value in vars(self).items() if name in _LEARNED}
        keep = {"coef_", "intercept_"} if self.warm_start else set()
        for name in learned.keys() - keep:
            delattr(self, name)
        return learned

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


_LEARNED = {
    "coef_",
    "intercept_",
    "classes_",
    "t_",
    "n_iter_",
    "history_",
    "_progress",
    "_held_out",
    "n_features_in_",
    "feature_names_in_",
}
