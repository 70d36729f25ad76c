"""What all estimators have in common that the trainer trains: the way from a call to it."""

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable
from numbers import Integral
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_consistent_length

from fastgd._data.source import Source, checksum
from fastgd._data.targets import NONE, Targets
from fastgd._data.validation import check_weight, check_X
from fastgd._export.hooks import OnnxExport
from fastgd._export.notebook import NotebookView
from fastgd._monitoring.sklearn_callbacks import CallbackSupport
from fastgd._monitoring.watching import Given, TrainingWatch
from fastgd._parameters.checked_once import CheckedOnce
from fastgd._runtime.devices import to_host
from fastgd._training.divergence import Diverged
from fastgd._training.labels import dense_labels
from fastgd._training.progress import History, Progress, Settings, cut_back_on_failure
from fastgd._training.stopping import Score
from fastgd._training.trainer import warn_if_unfinished

MAX_SEED = np.iinfo(np.int32).max
FLOATS = [np.float64, np.float32]


def _splitter(*, is_stratified: bool) -> Any:
    """Return scikit-learn's class; its package takes longer to import than all that is here."""
    from sklearn import model_selection

    if is_stratified:
        return model_selection.StratifiedShuffleSplit
    return model_selection.ShuffleSplit


class Validation(NamedTuple):
    """Rows to stop by, as a user gives them to ``fit``; None where there are none."""

    X: Any = None
    y: Any = None
    weight: Any = None

    def is_given(self) -> bool:
        """Tell whether there are such rows.

        Raises
        ------
        ValueError
            If only a part of them was given.
        """
        given = {"X_val": self.X is not None, "y_val": self.y is not None}
        if self.weight is not None:
            given["sample_weight_val"] = True
        if any(given.values()) and not all(given.values()):
            missing = " and ".join(name for name, there in given.items() if not there)
            there = " and ".join(name for name, there in given.items() if there)
            raise ValueError(f"{there} is provided, but {missing} was not provided.")
        return given["X_val"]


Trains = Callable[["Call", Progress], tuple[Progress, int]]


class Call(NamedTuple):
    """What one call of ``fit`` or ``partial_fit`` trains, and by what if not by the trainer."""

    given: Given
    targets: Targets
    source: Source
    rule: Any
    settings: Settings
    score: Score | None = None
    n_held_out: int = 0
    trains: Trains | None = None
    device: str = "cpu"


class TrainedModel(NotebookView, OnnxExport, CallbackSupport, CheckedOnce, ABC):
    """Base class of what is trained.

    A subclass says what its targets are (``fastgd._data.targets``), how its parameters begin, and
    how they are reported. Whatever a call does, it does to copies: one that fails leaves the model
    as it was.
    """

    _learned: ClassVar[frozenset[str]]  # names of what a fit sets
    _watch: TrainingWatch  # while a fit runs
    _progress: Progress  # once there was one

    # -- what a subclass says -----------------------------------------------------------------

    @abstractmethod
    def _targets(self) -> Targets:
        """Return what the targets are, by parameters and by what was learned of y."""

    def _learn_targets(self, y: Any) -> None:
        """Take from the targets of ``fit`` what later ones have to agree with."""

    def _learn_targets_of_call(self, y: Any, classes: Any, *, first: bool) -> None:  # noqa: ARG002
        """Take the targets of a call to ``partial_fit``; the classes are for classifiers."""
        if first:
            self._learn_targets(y)

    @abstractmethod
    def _run(self, call: Call, progress: Progress) -> tuple[Progress, int]:
        """Train; return where training stands, and the epochs taken."""

    @abstractmethod
    def _take_over(self, call: Call, progress: Progress, n_iter: int) -> None:
        """Report what was trained."""

    def _kept(self) -> set[str]:
        """Return what ``warm_start`` keeps of an earlier fit."""
        return set()

    def _write_params(self, params: NDArray[Any]) -> None:
        """Write fitted attributes, which the user may have changed, into the parameters."""

    # -- a call -----------------------------------------------------------------------------------

    def _check_further(self, max_iter: int) -> None:
        """Refuse what further epochs cannot be asked for."""
        if self.early_stopping:
            raise ValueError("early_stopping should be False with partial_fit")
        if not isinstance(max_iter, Integral) or int(max_iter) < 1:
            raise ValueError(f"max_iter must be an integer >= 1, got {max_iter!r}.")

    def _continue(self, rule: Any) -> Progress:
        """Return the training so far, with what the user may have changed.

        Parameters may have been changed as well: another optimizer, or an average that is asked for
        only now, starts anew, and one that is no longer asked for is dropped.
        """
        progress: Progress = self._progress.with_own_params()  # a trainer copies the others
        progress.history = progress.continued_history()
        progress.is_shared, progress.unfinished = False, None
        if progress.is_as_reported:
            self._write_params(progress.params)
        progress.go_on_with(rule.optimizer, average=self.average > 0)
        return progress

    def _train(self, call: Call, progress: Progress) -> None:
        """Train, and take over the result."""

        def write(estimator: TrainedModel, now: Progress) -> None:
            estimator._take_over(call, now, now.epochs - progress.epochs)

        progress.is_shared = self._watch.is_watching  # a callback may keep the lists
        if self._watch.resumes:
            of_rows = call.source.fingerprint(whole=True)
            self._watch.rows = checksum(progress.params, start=of_rows)
        with cut_back_on_failure(progress.history):
            self._watch.begin_training(call.given, progress, call.settings.max_iter, write)
            try:
                trained, n_iter = self._trained(call, self._watch.resumed or progress)
            except Exception as error:
                self._watch.keep_in(error)  # before its history is cut back
                raise
            self._take_over(call, trained, n_iter)
            self._warn(n_iter, call.settings)
            self._watch.end()

    def _trained(self, call: Call, progress: Progress) -> tuple[Progress, int]:
        """Train; a training that explodes names the feature as the user does."""
        unfinished = progress.unfinished
        if unfinished is not None and unfinished.is_fitted:
            progress.unfinished = None
            return progress, progress.epochs - unfinished.first
        try:
            return (call.trains or self._run)(call, progress)
        except Diverged as explosion:
            explosion.names = getattr(self, "feature_names_in_", None)
            raise

    def _warn(self, n_iter: int, settings: Settings) -> None:
        """Say what a user may not expect of what was trained."""
        watch = self._watch
        if not (watch.warn_if_interrupted(f"in epoch {n_iter}", 7) or watch.was_notified):
            warn_if_unfinished(n_iter, settings)

    def _forget(self) -> dict[str, Any]:
        """Drop what an earlier fit learned; return it, so that a failed fit can put it back."""
        learned = {name: value for name, value in vars(self).items() if name in self._learned}
        keep = self._kept() if self.warm_start else set()
        for name in learned.keys() - keep:
            delattr(self, name)
        return learned

    @property
    def history_(self) -> History:
        """One entry an epoch for each figure of the training."""
        if not hasattr(self, "_progress"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute 'history_'")
        self._progress.is_shared = True
        return self._progress.history

    def __getstate__(self) -> Any:
        """Return what is pickled; ``copy.copy`` shares it, the lists of the history included."""
        if hasattr(self, "_progress"):
            self._progress.is_shared = True
        return super().__getstate__()

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


class StoppedByScore(TrainedModel):
    """Base class of those that have a score by which training may stop."""

    @abstractmethod
    def _score_on(
        self, targets: Targets, X: Any, codes: NDArray[Any], weight: NDArray[Any] | None
    ) -> Score:
        """Return the score on these rows as a function of the parameters."""

    def _stop_by(
        self, targets: Targets, given: Given, held_out: Validation
    ) -> tuple[NDArray[Any], Score | None]:
        if held_out.is_given():
            return NONE, self._score_on_given(targets, held_out, given.X.dtype)
        return self._hold_out(targets, given) if self.early_stopping else (NONE, None)

    def _hold_out(self, targets: Targets, given: Given) -> tuple[NDArray[Any], Score]:
        """Split the rows into those to train on, and those whose score stops the training."""
        X, codes, weight = given
        splitter = _splitter(is_stratified=targets.is_stratified)
        split = splitter(test_size=self.validation_fraction, random_state=self.random_state)
        rows, held_out = map(np.sort, next(split.split(np.zeros((codes.shape[0], 1)), codes)))
        if held_out.shape[0] < targets.n_rows_to_score:
            raise ValueError(
                f"validation_fraction={self.validation_fraction!r} of {codes.shape[0]} rows holds "
                "out one row, of which there is no R2; take a larger fraction, or pass X_val and "
                "y_val."
            )
        held_out_weight = weight[held_out] if weight.shape[0] > 0 else None
        if held_out_weight is not None and not np.any(held_out_weight):
            raise ValueError(
                "The sample weights for validation set are all zero, consider using a different "
                "random state."
            )
        return rows, self._score_on(targets, X[held_out], codes[held_out], held_out_weight)

    def _score_on_given(self, targets: Targets, held_out: Validation, dtype: Any) -> Score:
        """Return the score on a user's own rows."""
        X = self._check_X_val(held_out.X, dtype)
        y = self._check_y_val(to_host(held_out.y))
        check_consistent_length(X, y)
        if X.shape[0] < targets.n_rows_to_score:
            raise ValueError("X_val has one row, of which there is no R2; give two or more.")
        targets.check(y)
        weight = check_weight(held_out.weight, X, dtype)
        return self._score_on(
            targets, X, targets.encode(y), weight if weight.shape[0] > 0 else None
        )

    def _check_y_val(self, y: Any) -> NDArray[Any]:
        """Validate targets that are not trained on."""
        return np.asarray(dense_labels(y))

    def _check_X_val(self, X: Any, dtype: Any) -> Any:
        """Validate rows that are not trained on."""
        return check_X(self, X, reset=False, dtype=dtype)


def seed_of(random_state: Any) -> int:
    """Draw a seed, as scikit-learn does; a generator is advanced."""
    if type(random_state) is int:
        return _seed_of_number(random_state)
    return int(check_random_state(random_state).randint(MAX_SEED))


@functools.lru_cache(maxsize=1024)
def _seed_of_number(number: int) -> int:
    return int(check_random_state(number).randint(MAX_SEED))
