"""What estimators that the trainer trains do with rows in parts, of which few are in memory."""

import functools
from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgd._data.chunks import ArrayChunks, Chunks, InChunks, filled, first_rows, of_named
from fastgd._data.labels import Labels
from fastgd._data.parts import chunks_of, is_in_parts, named
from fastgd._data.row_source import RowSource
from fastgd._data.source import Data
from fastgd._data.targets import Targets
from fastgd._data.validation import check_weight, fit_context
from fastgd._engines.protocol import LINEAR
from fastgd._monitoring.undo import or_as_before
from fastgd._monitoring.watching import Given, TrainingWatch, watched
from fastgd._runtime.devices import chosen, refuse_device
from fastgd._training.estimator import FLOATS, Call, TrainedModel, Trains, Validation, seed_of
from fastgd._training.linear import in_memory
from fastgd._training.progress import Progress, Settings
from fastgd._training.stopping import Score

_NOT_GIVEN = Given(None, None, None)


class TrainedOnParts(TrainedModel):
    """Base class of what may be trained on a data set in parts."""

    # -- what a subclass says -----------------------------------------------------------------

    @abstractmethod
    def _check_X_y(self, X: Any, y: Any, *, first: bool, dtype: Any) -> tuple[Any, Any]:
        """Validate training data."""

    @abstractmethod
    def _rule_and_progress(
        self, targets: Targets, X: Any, *, first: bool = True
    ) -> tuple[Any, Progress]:
        """Return what a step does, and where the training stands that it begins or goes on with."""

    @abstractmethod
    def _settings(
        self,
        n_visited: int,
        max_iter: int,
        tol: float | None,
        rule: Any,
        *,
        full_batch: int | None = None,
    ) -> Settings:
        """Return how to train on this many rows, by default with all of them in a full batch."""

    @abstractmethod
    def _rows_of(self, targets: Targets, X: Any, codes: NDArray[Any], weight: NDArray[Any]) -> Data:
        """Return rows as the engine takes them; a weight of no rows is 1."""

    @abstractmethod
    def _raw_at(self, params: NDArray[Any], X: Any, targets: Targets) -> NDArray[Any]:
        """Return the raw predictions of these parameters."""

    def _take_starts(self, coef_init: Any, intercept_init: Any, shape: tuple[int, ...]) -> None:
        """Take where training starts, where a user says it."""

    def _classes_of(self, chunks: Chunks) -> Labels | None:  # noqa: ARG002
        """Return all labels there are: a pass, for classifiers."""
        return None

    def _sizes(self, params: NDArray[Any]) -> tuple[slice, int]:
        """Return which parameters are penalised, and how many are trained."""
        return LINEAR.penalised, params.size

    # -- fit and partial_fit --------------------------------------------------------------------

    def _partial_fit(self, X: Any, y: Any, classes: Any, sample_weight: Any, max_iter: int) -> None:
        """Take further epochs, from where the last call stopped."""
        if is_in_parts(X):
            self._partial_fit_in_chunks(chunks_of(X, y, sample_weight), classes, max_iter)
            return
        self._check_further(max_iter)
        device = chosen(self, X)
        with watched(TrainingWatch, self, "partial_fit"), or_as_before(self):
            first = not hasattr(self, "_progress")
            dtype = FLOATS if first else self._progress.params.dtype
            X, y = self._check_X_y(X, y, first=first, dtype=dtype)
            self._learn_targets_of_call(y, classes, first=first)
            targets = self._targets()
            targets.check(y)
            weight = check_weight(sample_weight, X, X.dtype, all_zero=True)
            rule, progress = self._rule_and_progress(targets, X, first=first)
            data = self._rows_of(targets, X, targets.encode(y), weight)
            moves = data.weight.shape[0] == 0 or bool(data.weight.any())
            settings = self._settings(data.n_visited, int(max_iter) * moves, None, rule)
            given, source = Given(X, y, sample_weight), in_memory(data, settings)
            self._train(Call(given, targets, source, rule, settings, device=device), progress)

    def _fit_parts(
        self,
        chunks: Chunks,
        held_out: Validation,
        starts: tuple[Any, Any] = (None, None),
    ) -> None:
        """Fit anew to a data set in parts; the rows to stop by are another one, or part of it."""
        if held_out.weight is not None:
            raise ValueError("sample_weight_val goes with rows in memory.")
        stops_by: Chunks | None = None
        if held_out.X is not None:
            stops_by = chunks_to_stop_by(held_out)
        elif getattr(self, "early_stopping", False):
            rows = chunks if isinstance(chunks, RowSource) else RowSource(chunks)
            chunks, stops_by = rows.split(self.validation_fraction, seed_of(self.random_state))
        self._fit_in_chunks(chunks, self._classes_of(chunks), starts, stops_by)

    @fit_context
    def _fit_in_chunks(
        self,
        chunks: Chunks,
        classes: Any = None,
        starts: tuple[Any, Any] = (None, None),
        held_out: Chunks | None = None,
        trains: Trains | None = None,
    ) -> None:
        """Fit anew to rows of which some are in memory at a time.

        Parameters
        ----------
        chunks : Chunks
            See ``fastgd._data.chunks`` for the order in which rows are visited. A full batch is as
            many rows as the largest chunk has.
        classes : array-like, default=None
            All labels there are; for classifiers.
        starts : tuple of array-like
            Coefficients and intercept to start from, as ``coef_init`` and ``intercept_init``.
        held_out : Chunks, default=None
            Rows by whose score training stops; the best parameters are kept.
        trains : callable, default=None
            What trains in place of the trainer, with the chunks as its source.

        Raises
        ------
        ValueError
            As ``fit``, if a chunk has another number of rows in a later epoch, and with
            ``device="cuda"`` where something else trains.
        """
        if trains is not None:
            refuse_device(self, "steps on a cluster")
        if held_out is None and getattr(self, "early_stopping", False):  # of the command line
            raise ValueError("early_stopping=True needs the rows to stop by: held_out.")
        with watched(TrainingWatch, self), or_as_before(self, self._forget()), named(self, chunks):
            X, targets = self._look_at(chunks, classes, first=True)
            self._take_starts(*starts, targets.shape(X.shape[1]))
            rule, progress = self._rule_and_progress(targets, X)
            score = None
            if held_out is not None:
                score = self._score_in_chunks(targets, held_out, X.dtype)
            settings = self._settings_of_chunks(chunks, self.max_iter, self.tol, rule)
            source = self._source(chunks, targets, X, settings)
            device = chosen(self, X)
            call = Call(
                *(_NOT_GIVEN, targets, source, rule, settings, score), trains=trains, device=device
            )
            self._train(call, progress)

    @fit_context
    def _partial_fit_in_chunks(
        self, chunks: Chunks, classes: Any = None, max_iter: int = 1
    ) -> None:
        """Take further epochs on rows in chunks, from where the last call stopped."""
        self._check_further(max_iter)
        watching = watched(TrainingWatch, self, "partial_fit")
        with watching, or_as_before(self), named(self, chunks):
            first = not hasattr(self, "_progress")
            X, targets = self._look_at(chunks, classes, first=first)
            rule, progress = self._rule_and_progress(targets, X, first=first)
            settings = self._settings_of_chunks(chunks, int(max_iter), None, rule)
            source = self._source(chunks, targets, X, settings)
            device = chosen(self, X)
            call = Call(_NOT_GIVEN, targets, source, rule, settings, device=device)
            self._train(call, progress)

    def _look_at(self, chunks: Chunks, classes: Any, *, first: bool) -> tuple[Any, Targets]:
        """Return the first rows, validated, and what the targets are."""
        dtype = FLOATS if first else self._progress.params.dtype
        check = functools.partial(self._check_X_y, first=first, dtype=dtype)
        rows = first_rows(chunks)
        X, y = of_named(f"chunk {filled(chunks)[0]}", check, *rows)
        self._learn_targets_of_call(y, classes, first=first)
        return X, self._targets()

    def _settings_of_chunks(
        self, chunks: Chunks, max_iter: int, tol: float | None, rule: Any
    ) -> Settings:
        full = max(chunks.sizes)
        return self._settings(sum(chunks.sizes), max_iter, tol, rule, full_batch=full)

    def _source(self, chunks: Chunks, targets: Targets, X: Any, settings: Settings) -> InChunks:
        """Return the source of rows in chunks, the first of which are X."""
        return InChunks(
            chunks,
            self._written(targets, X.dtype),
            n_features=X.shape[1],
            is_sparse=not isinstance(X, np.ndarray),
            batch_size=settings.batch_size,
            shuffles=settings.shuffle,
        )

    def _written(self, targets: Targets, dtype: Any) -> Callable[[Any, Any], Data]:
        """Return what validates rows, and writes them as the kernels take them."""

        def written(X: Any, y: Any) -> Data:
            X, y = self._check_X_y(X, y, first=False, dtype=dtype)
            targets.check(y)
            return self._rows_of(targets, X, targets.encode(y), np.empty(0, dtype))

        return written

    def _score_in_chunks(self, targets: Targets, chunks: Chunks, dtype: Any) -> Score:
        """Return the score on rows that are read in chunks as a function of the parameters."""
        if sum(chunks.sizes) < targets.n_rows_to_score:
            raise ValueError(
                f"the rows to stop by are too few to score: {sum(chunks.sizes)}, and "
                f"{targets.n_rows_to_score} are needed."
            )
        check = functools.partial(self._check_X_y, first=False, dtype=dtype)

        def score(params: NDArray[Any]) -> NDArray[np.float64]:
            codes, raw = [], []
            for rows in chunks.read(filled(chunks)):
                X, y = check(*rows)
                targets.check(y)
                codes.append(targets.encode(y))
                raw.append(self._raw_at(params, X, targets))
            return np.array([targets.score(np.concatenate(codes), np.concatenate(raw), None)])

        return score


def chunks_to_stop_by(held_out: Validation) -> Chunks:
    """Return the rows to stop by in chunks, whatever they were given as."""
    if is_in_parts(held_out.X):
        return chunks_of(held_out.X, held_out.y)
    held_out.is_given()
    X = held_out.X if hasattr(held_out.X, "shape") else np.asarray(held_out.X)
    return ArrayChunks(X, np.asarray(held_out.y), max(X.shape[0], 1))
