"""``fastgd train``: from a file of rows to a file that holds a model."""

import argparse
import inspect
import itertools
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import Pipeline

from fastgd._readers.encoding import Encoder
from fastgd._readers.errors import Misuse, UserError, first_line, listed, quoted, shortened
from fastgd._readers.feed import Feed, held_out
from fastgd._readers.layout import (
    CATEGORY,
    SPARSE,
    TABLE,
    TEXT,
    Chunk,
    Layout,
    Wishes,
)
from fastgd._readers.numerals import looks_like_a_date
from fastgd._readers.opening import open_reader
from fastgd._readers.reader import Format, rows_at_a_time
from fastgd._readers.summary import Summary, preparation
from fastgd._readers.texts import HASHING, TFIDF, TextEncoding, looks_like_text
from fastgd.cli import _archive, _models
from fastgd.cli._asked import format_of
from fastgd.cli._measures import LARGEST_LABEL, Scores, as_labels, measure
from fastgd.cli._names import BY_TARGET, CLASSIFICATION, MODELS, NOVELTY, REGRESSION
from fastgd.cli._output import check_output, is_stdout
from fastgd.cli._showing import rows_shown, shown
from fastgd.cli._terminal import counted, note, progress, say
from fastgd.cli._text import columns_as_text, described

EPOCHS = 10
VALIDATION_FRACTION = 0.1  # the estimators' default
MANY_CLASSES, FEW_CLASSES = 100, 20
SHARE_OF_NAMES, FEWEST_ROWS_OF_NAMES = 0.9, 100  # from which on a column is one of identifiers
ENDED_BY_EPOCHS = "Maximum number of iteration reached"  # scikit-learn's words
OF_TEXT = ("text_encoding", "ngrams", "characters")
IN_UNITS_OF_Y = ("squared_error", "absolute_error")  # other losses have units in their parameters


def run(args: argparse.Namespace) -> int:
    """Train, and save the model."""
    started = time.perf_counter()
    check_output(args.output, [args.data, args.validation])
    with notes_beside(args.output):
        session = _session(args)
        session.look()
        pipeline = session.fit()
    save(args, session, pipeline, started)
    return 0


def save(args: argparse.Namespace, session: "Session", pipeline: Pipeline, started: float) -> None:
    """Save what was fitted, and say how good and how large it is."""
    size = _archive.save(args.output, session.card(pipeline), pipeline)
    with notes_beside(args.output):
        session.report(pipeline)
        seconds = time.perf_counter() - started
        where = "stdout" if is_stdout(args.output) else args.output
        said = f"saved: {where} ({size / 1024:,.0f} KiB), {seconds:.1f} s in all"
        say(said, quiet=args.quiet)


def _session(args: argparse.Namespace) -> "Session":
    if args.resume is None:
        return Session(args)
    from fastgd.cli._resume import Resumed

    return Resumed(args)


def notes_beside(output: Path) -> AbstractContextManager[Any]:
    """Let notes go to stderr where stdout gets the model."""
    return redirect_stdout(sys.stderr) if is_stdout(output) else nullcontext()


@contextmanager
def _told_by_the_estimator() -> Iterator[None]:
    """Tell what an estimator refuses in one line."""
    try:
        yield
    except (ValueError, OverflowError, TypeError) as error:
        raise UserError(first_line(error)) from None
    except MemoryError:
        raise UserError("there is not enough memory; --chunk-rows 50000 needs less.") from None


class Session:
    """One training: what the command line asks for, and what was found out on the way."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._args = args = argparse.Namespace(**vars(args))
        self._by_target = BY_TARGET.get(args.model)
        if self._by_target is not None:
            args.model = self._by_target[0]  # it takes any target
        self._model = MODELS[args.model]
        self._params = {**_hidden(args), **_models.params_of(args.set)}
        if "warm_start" in self._params:
            raise Misuse("--set warm_start: each training begins anew.")
        self._rows: tuple[Any, NDArray[Any] | None] | None = None  # as the model was given them
        self._reader = open_reader(args.data, format_of(args))
        self.layout = self._layout()
        n_rows = rows_at_a_time(self._reader, args.chunk_rows)
        self._in_chunks = n_rows is not None
        if self._by_target is None or self._in_chunks:
            self._estimator = self._checked_estimator()
        self._feed, self._validation = self._feeds(n_rows)
        if self._by_target is not None:
            self._choose_by_target(*self._by_target)

    def _choose_by_target(self, for_classes: str, for_numbers: str) -> None:
        """Choose between two models: numbers are predicted where they are no set of classes."""
        column = self.layout.target
        is_number = (column is None or column.kind != CATEGORY) and not _are_labels(self._feed)
        self._args.model = for_numbers if is_number else for_classes
        self._model = MODELS[self._args.model]
        self._estimator = self._checked_estimator()
        other = for_classes if is_number else for_numbers
        note(
            f"the target holds {'numbers' if is_number else 'classes'}: {self._model.estimator} "
            f"is fitted (--model {other} for the other)",
            quiet=self._args.quiet,
        )

    @property
    def _seed(self) -> int:
        return 0 if self._args.seed is None else int(self._args.seed)

    def _layout(self) -> Layout:
        args = self._args
        target = args.target
        if target is None and self._reader.form == TABLE and self._model.task != NOVELTY:
            raise Misuse(f"--target is needed: which column should {args.model} predict?")
        if target is None and self._model.task != NOVELTY:
            target = self._reader.default_target
        layout = self._reader.layout(self._wishes(target))
        column = layout.target
        if self._model.task == NOVELTY:
            return replace(layout, target=None)
        if column is not None and self._model.task != CLASSIFICATION and column.kind == CATEGORY:
            raise UserError(
                f"{args.data}: the target {quoted(column.name)} holds words, and {args.model} "
                f"predicts numbers. For classes: {listed(_names_of(CLASSIFICATION))}."
            )
        return layout

    def _wishes(self, target: str | None) -> Wishes:
        args = self._args
        text = getattr(args, "text", [])
        vain = None if text else first_given(args, OF_TEXT)
        if vain is not None:
            raise Misuse(f"{vain} is for columns that --text names, and there is none.")
        return Wishes(target, args.categorical, args.numeric, args.drop, text, dates=True)

    @property
    def _encoding(self) -> TextEncoding:
        """How text becomes numbers: words are counted in memory, and hashed in chunks."""
        args = self._args
        asked = getattr(args, "text_encoding", None)
        if self._in_chunks and asked == TFIDF:
            raise Misuse("--text-encoding tfidf: in chunks, words are hashed (hashing).")
        name = asked or (HASHING if self._in_chunks else TFIDF)
        return TextEncoding(name, args.ngrams or (1, 1), bool(args.characters))

    def _checked_estimator(self) -> Any:
        """Return what is fitted to all rows at once; in chunks it depends on what they hold."""
        args = self._args
        if self._in_chunks:
            _models.check_params_for_chunks(args.model, self._params)
            return None
        if not self._takes_epochs:
            self._refuse_epochs()
        return _models.estimator(args.model, self._params, args.seed)

    def _refuse_epochs(self) -> None:
        if self._args.epochs is not None:
            raise Misuse(
                f"--epochs: {self._args.model} finds its own end where all rows fit into memory. "
                "Epochs are for the sgd and mlp models and one-class, and for --chunk-rows."
            )

    @property
    def _takes_epochs(self) -> bool:
        return self._model.takes_epochs

    def _feeds(self, n_rows: int | None) -> tuple[Feed, Feed | None]:
        """Return the rows to train on, and those to measure by, if any."""
        feed = Feed(self._reader, self.layout, n_rows)
        wanted = self._args.validation
        if wanted is None and self._in_chunks and self._params.get("early_stopping") is True:
            wanted = float(self._params.get("validation_fraction", VALIDATION_FRACTION))
        if wanted is None:
            return feed, None
        if self._model.task == NOVELTY:
            raise Misuse("--validation: one-class has no targets to validate by.")
        if isinstance(wanted, float):
            kept, held = (held_out(wanted, self._seed, held=held) for held in (False, True))
            return feed.only(kept), feed.only(held)
        how = format_of(self._args)
        is_table = self._reader.form == TABLE
        other = open_reader(wanted, how if is_table else Format(limits=how.limits))
        other.check_layout(self.layout)
        return feed, Feed(other, self.layout, n_rows)

    # -- the pass before the training ----------------------------------------------------------

    def look(self) -> None:
        """Take the pass that learns columns and classes, and report what was found."""
        classifies = self._model.task == CLASSIFICATION
        takes_moments = self.layout.form != SPARSE or self._standardizes
        self.summary = Summary(
            self._reader,
            self.layout,
            classifies=classifies,
            takes_moments=takes_moments,
            keeps_texts=bool(self.layout.names(TEXT)) and self._encoding.name == TFIDF,
        )
        quiet = self._args.quiet or not self._in_chunks
        total = self._reader.size().n_rows
        with progress("looking at the data", total, quiet=quiet) as bar:
            for chunk in self._feed:
                self.summary.add(chunk)
                bar.update(chunk.n_rows)
        if self.summary.n_rows == 0:
            raise UserError(f"{self._args.data} has no rows to train on.")
        if self._validation is not None and not any(self._validation.sizes):
            raise UserError(f"{self._validation.reader.path} has no rows to validate by.")
        if classifies:
            self._check_classes()
        self._finish_looking()

    def _finish_looking(self) -> None:
        """Leave out columns of no use, and prepare the others."""
        empty, identifiers = self.summary.empty_columns(), self._identifiers()
        if empty or identifiers:
            self.layout = self.layout.without([*empty, *identifiers])
        if self.layout.n_features == 0:
            what = "empty or hold identifiers" if identifiers else "empty"
            raise UserError(f"{self._args.data}: all columns beside the target are {what}.")
        self._prepare = preparation(
            self.layout,
            self.summary,
            standardize=self._standardizes,
            encoding=self._encoding if self.layout.names(TEXT) else None,
        )
        self._encoder = Encoder(self._prepare)
        self._tell(empty, identifiers)

    def _identifiers(self) -> list[str]:
        """Return columns of words, nearly all of which are different: no model learns from them."""
        asked, n_rows = set(self._args.categorical), self.summary.n_rows
        if n_rows < FEWEST_ROWS_OF_NAMES:
            return []
        return [
            column.name
            for column in self.layout.columns
            if column.kind == CATEGORY
            and column.name not in asked
            and len(self.summary.categories[column.name]) > SHARE_OF_NAMES * n_rows
        ]

    def _check_classes(self) -> None:
        """Refuse what is no set of classes; call labels 0 and 1 what were 0.0 and 1.0."""
        data, classes = self._args.data, self.summary.classes
        are_numbers = any(isinstance(label, float) for label in classes)
        for label in list(classes):
            if isinstance(label, float) and not label.is_integer():
                raise UserError(
                    f"{data}: the target holds numbers such as {label:.6g}, and {self._args.model} "
                    f"predicts classes. For numbers: {listed(_names_of(REGRESSION))}."
                )
            if isinstance(label, float) and abs(label) > LARGEST_LABEL:
                raise UserError(
                    f"{data}: the target holds {label:.17g}, which is too large for a class "
                    "that is a number: classes beyond 2^53 would be mixed up. Make words of them."
                )
            classes[int(label) if isinstance(label, float) else label] = classes.pop(label)
        if len(classes) < 2:
            (only,) = classes
            raise UserError(
                f"{data}: all rows are of one class, {quoted_label(only)}. "
                f"{self._args.model} tells classes apart, and needs rows of two or more."
            )
        self._warn_of_many_classes(are_numbers=are_numbers)

    def _refuses_numbers(self, n_classes: int) -> bool:
        """Tell whether numbers are too many for classes, where a column can be said to be some."""
        return self.layout.form == TABLE and n_classes > MANY_CLASSES

    def _warn_of_many_classes(self, *, are_numbers: bool) -> None:
        """Say what a target of very many classes looks like: a fit to them may take long."""
        n_classes, n_rows = len(self.summary.classes), self.summary.n_rows
        if n_classes <= MANY_CLASSES and n_classes <= max(FEW_CLASSES, n_rows // 2):
            return
        name = "" if self.layout.target is None else f" {quoted(self.layout.target.name)}"
        if are_numbers and self.layout.target is not None and self._refuses_numbers(n_classes):
            raise UserError(
                f"{self._args.data}: the target{name} holds {n_classes:,} different numbers, and "
                f"{self._args.model} predicts classes. For numbers: "
                f"{listed(_names_of(REGRESSION))}. If they are classes: --categorical "
                f"{self.layout.target.name}"
            )
        what = "whole numbers" if are_numbers else "words"
        advice = (
            f"It looks like an amount; that is predicted by {listed(_names_of(REGRESSION))}."
            if are_numbers
            else "It looks like names; is it the right column?"
        )
        note(
            f"fastgd {self._args.command}: warning: the target{name} holds {n_classes:,} different "
            f"{what} in {n_rows:,} rows, each of which is taken for a class. {advice} If they are "
            f"classes, {self._args.model} may take long; --validation 0.2 tells whether it helps."
        )

    @property
    def _standardizes(self) -> bool:
        if self._args.standardize is not None:
            return bool(self._args.standardize)
        return (self._in_chunks or self._takes_epochs) and self.layout.form != SPARSE

    def _tell(self, empty: list[str], identifiers: list[str]) -> None:
        quiet, layout = self._args.quiet, self.layout
        found = [counted(self.summary.n_rows, "row"), described(layout)]
        if self._model.task == CLASSIFICATION:
            found.append(counted(len(self.summary.classes), "class"))
        say(f"{self._args.data}: {', '.join(found)}", quiet=quiet)
        if self._args.show_columns:
            say(columns_as_text(layout, self.summary.categories))
        if empty:
            note(f"left out, because they are empty: {listed(empty)}", quiet=quiet)
        used = set(layout.names(CATEGORY))
        for name, seen in self.summary.categories.items():
            cells = list(itertools.islice(seen, 100))
            if name in (*used, *identifiers) and len(seen) > FEW_CLASSES and looks_like_text(cells):
                what = "is left out" if name in identifiers else "is read as categories"
                note(
                    f"{shortened(name)} seems to hold text, and {what}: --text {shortened(name)} "
                    "learns from its words",
                    quiet=quiet,
                )
            elif name in identifiers and any(map(looks_like_a_date, cells[:3])):
                note(
                    f"{shortened(name)} seems to hold dates, such as {quoted(min(cells[:3]))}, and "
                    "is left out: dates are read where all are written as 2020-05-17 or "
                    "2020-05-17 08:30, and all or none have a time zone",
                    quiet=quiet,
                )
            elif name in identifiers:
                note(
                    f"{shortened(name)} is left out, since it has {len(seen):,} different values "
                    f"in {self.summary.n_rows:,} rows. If they matter: --categorical "
                    f"{shortened(name)}",
                    quiet=quiet,
                )
            elif name not in used:
                continue
            elif any(map(looks_like_a_date, itertools.islice(seen, 3))):
                example = quoted(min(seen))
                note(
                    f"{shortened(name)} seems to hold dates, such as {example}: each is a category "
                    "of its own, since dates are read as 2020-05-17 only. Write them so, or "
                    f"--drop {shortened(name)}",
                    quiet=quiet,
                )
            elif len(seen) > max(FEW_CLASSES, self.summary.n_rows // 2):
                note(
                    f"{shortened(name)} has {len(seen):,} categories in {self.summary.n_rows:,} "
                    f"rows. If it is a name or a date: --drop {shortened(name)}",
                    quiet=quiet,
                )

    # -- the training --------------------------------------------------------------------------

    def fit(self) -> Pipeline:
        """Fit the model, and return it behind the preparation of its columns."""
        with _told_by_the_estimator():
            self._estimator = self._fit_in_chunks() if self._in_chunks else self._fit_at_once()
        steps = [] if self._prepare is None else [("prepare", self._prepare)]
        return Pipeline([*steps, ("model", self._estimator)])

    def _prepared(self, chunk: Chunk) -> tuple[Any, NDArray[Any] | None]:
        X = self._encoder.transform(chunk.X)
        return X, None if chunk.y is None else as_labels(chunk.y, self.summary.classes)

    def rows(self) -> tuple[Any, NDArray[Any] | None]:
        """Return all rows as the model is given them.

        Raises
        ------
        UserError
            If they do not fit into memory.
        """
        if self._in_chunks:
            raise UserError(f"{self._args.data} does not fit into memory.")
        (chunk,) = self._feed
        return self._prepared(chunk)

    def _fit_at_once(self) -> Any:
        model: Any = self._estimator
        if self._args.epochs is not None:
            model.set_params(max_iter=self._args.epochs)
        self._rows = X, y = self.rows()
        held: dict[str, Any] = {}
        takes_held = "X_val" in inspect.signature(model.fit).parameters
        if self._validation is not None and takes_held:
            (validation,) = self._validation
            held = dict(zip(("X_val", "y_val"), self._prepared(validation), strict=True))
        unit = _unit_of(y) if self._learns_in_units(model) else Unit(0.0, 1.0)
        y = unit.scaled(y)
        if "y_val" in held:
            held["y_val"] = unit.scaled(held["y_val"])
        started = time.perf_counter()
        held |= self._weights(model)
        self._begin(model, unit)
        with shown(model, f"fastgd {self._args.command}", quiet=self._args.quiet), self._asked():
            model = model.fit(X, **held) if y is None else model.fit(X, y, **held)
        self._end(model)
        unit.put_back(model)
        self._configured = f"{self._effort(model)}, {time.perf_counter() - started:.1f} s"
        return model

    @contextmanager
    def _asked(self) -> Iterator[None]:
        """Leave unsaid that one epoch is few, where --epochs asks for one pass over the rows."""
        with warnings.catch_warnings():
            if self._args.epochs == 1:
                warnings.filterwarnings("ignore", ENDED_BY_EPOCHS, ConvergenceWarning)
            yield

    def _begin(self, model: Any, unit: "Unit") -> None:
        """Prepare a model for its fit to targets in a unit."""

    def _end(self, model: Any) -> None:
        """Undo what ``_begin`` did."""

    def candidate(self, params: dict[str, Any]) -> Any:
        """Return an estimator that is to be fitted to some of the rows, as ``fit`` is to all."""
        model = clone(self._estimator).set_params(**params)
        if not self._learns_in_units(model):
            return model
        from sklearn.compose import TransformedTargetRegressor
        from sklearn.preprocessing import StandardScaler

        return TransformedTargetRegressor(model, transformer=StandardScaler())

    def _learns_in_units(self, model: Any) -> bool:
        """Tell whether it is a network whose best predictions have the targets' unit."""
        return self._args.model == "mlp-regressor" and model.loss in IN_UNITS_OF_Y

    def configure(self, params: dict[str, Any]) -> None:
        """Set parameters before the fit."""
        self._params |= params
        self._estimator = self._checked_estimator()

    def _weights(self, model: Any) -> dict[str, Any]:
        """Return the weights of rows, if a file says that some are not 1."""
        (chunk,) = self._feed
        if not chunk.is_weighted:
            return {}
        if "sample_weight" not in inspect.signature(model.fit).parameters:
            raise UserError(
                f"{self._args.data}: rows have weights, and {self._args.model} has no use for them."
            )
        return {"sample_weight": chunk.weights}

    def _effort(self, model: Any) -> str:
        """Say how long a fit was, or which strength of the penalty it has chosen."""
        for name in ("alpha", "C"):
            if hasattr(model, f"{name}_"):
                return f"{name} {np.ravel(getattr(model, f'{name}_'))[0]:.6g} chosen"
        return counted(int(np.max(model.n_iter_)), "epoch" if self._takes_epochs else "pass")

    def _fit_in_chunks(self) -> Any:
        name, args = self._args.model, self._args
        epochs = args.epochs or (self._takes_epochs and self._params.get("max_iter")) or EPOCHS
        model = _models.chunk_learner(name, self._params, self._seed, epochs, self.summary)
        self._tell_of_chunks(model, epochs)
        classes = sorted(self.summary.classes) if self._model.task == CLASSIFICATION else None
        starts = (None, _models.start_of(name, model, self.summary))
        stops = self._takes_epochs or getattr(model, "early_stopping", False)
        started = time.perf_counter()
        given = model, f"fastgd {args.command}", self.summary.n_rows, args.quiet
        with rows_shown(*given) as told, self._asked():
            held = None
            if self._validation is not None and stops:
                held = _Prepared(self._validation, self._prepared)
            model._fit_in_chunks(_Prepared(self._feed, self._prepared, told), classes, starts, held)
        self._configured = (
            f"{counted(model.n_iter_, 'epoch')}, {time.perf_counter() - started:.1f} s"
        )
        return model

    def _tell_of_chunks(self, model: Any, epochs: int) -> None:
        sizes = list(filter(None, self._feed.sizes))
        chunks = counted(len(sizes), "chunk")
        instead = "" if self._takes_epochs else f" instead of {self._model.estimator}"
        most = "" if model.tol is None else "at most "
        say(
            f"the rows are read in {chunks} of up to {counted(max(sizes), 'row')}: "
            f"{type(model).__name__} is fitted{instead}, in {most}{counted(epochs, 'epoch')}",
            quiet=self._args.quiet,
        )

    # -- what is reported and kept -------------------------------------------------------------

    def report(self, pipeline: Pipeline) -> None:
        """Tell what was fitted, and how good it is."""
        if self._args.quiet:
            return
        say(f"{type(self._estimator).__name__}: {self._configured}")
        scores = measure(*self._rows_trained_on(pipeline), self._model.task, in_short=True)
        say(f"on the rows trained on: {_in_short(scores)}")
        if self._validation is not None:
            scores = measure(pipeline, self._validation, self._model.task, in_short=True)
            say(f"on {counted(int(scores['rows']), 'row')} held out: {_in_short(scores)}")

    def _rows_trained_on(self, pipeline: Pipeline) -> tuple[Pipeline, Iterable[Chunk]]:
        """Return a pipeline and rows for it: those in memory are prepared already."""
        if self._rows is None:
            return pipeline, self._feed
        X, y = self._rows
        return Pipeline(pipeline.steps[-1:]), [Chunk(X, y, 0)]

    def card(self, pipeline: Pipeline) -> _archive.Card:
        """Return what the model file says of the model."""
        settings = {name: repr(value) for name, value in self._estimator.get_params().items()}
        is_classifier = self._model.task == CLASSIFICATION
        return _archive.Card(
            model=self._args.model,
            estimator=type(self._estimator).__name__,
            task=self._model.task,
            layout=self.layout,
            settings=settings,
            n_rows=self.summary.n_rows,
            format=_archive.format_for(self.layout),
            classes=pipeline.classes_.tolist() if is_classifier else None,
        )


class _Prepared:
    """The chunks of a file, as the model is given them (``fastgd._data.chunks.Chunks``)."""

    def __init__(
        self,
        feed: Feed,
        prepared: Callable[[Chunk], tuple[Any, NDArray[Any] | None]],
        told: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.sizes, self.seeks = feed.sizes, feed.reader.seeks(feed.n_rows)
        self._feed, self._prepared, self._configured = feed, prepared, told

    def read(self, numbers: Sequence[int]) -> Iterator[tuple[Any, NDArray[Any] | None]]:
        """Yield X and y of the chunks of these numbers; report how many rows were used."""
        for chunk in self._feed.read(numbers):
            if chunk.is_weighted:
                raise UserError(
                    f"{self._feed.reader.path}: rows have weights, which are heeded only where all "
                    "rows are in memory: --max-memory sets how much they may take."
                )
            yield self._prepared(chunk)
            self._configured(chunk.n_rows)


def first_given(args: argparse.Namespace, names: Sequence[str]) -> str | None:
    """Return the first of these options that was given, as it is written."""
    given = (name for name in names if getattr(args, name, None) not in (None, []))
    return next((f"--{name.replace('_', '-')}" for name in given), None)


def _hidden(args: argparse.Namespace) -> dict[str, Any]:
    """Return the parameter that ``--hidden`` sets."""
    hidden = getattr(args, "hidden", None)
    if hidden is None:
        return {}
    if not MODELS[args.model].is_network:
        raise Misuse(f"--hidden: {args.model} has no hidden layers; mlp has.")
    return {"hidden_layer_sizes": hidden}


def _are_labels(feed: Feed) -> bool:
    """Tell whether targets are whole numbers of which there are few."""
    seen: set[float] = set()
    n_rows = 0
    for chunk in feed:
        if chunk.y is None or chunk.y.dtype == object:
            return True
        n_rows += chunk.n_rows
        seen.update(np.unique(chunk.y).tolist())
        if len(seen) > MANY_CLASSES or not all(map(float.is_integer, map(float, seen))):
            return False
    return len(seen) <= max(FEW_CLASSES, n_rows // 2)


class Unit(NamedTuple):
    """The unit in which a network is taught numbers: their deviation, from their mean.

    A network's steps are as long whatever the target's unit. Where predictions are the last
    layer's sums, that layer's weights are put into the target's own unit afterwards.
    """

    mean: float
    deviation: float

    def scaled(self, y: Any) -> Any:
        """Return targets in this unit."""
        return y if self == (0.0, 1.0) else (y - self.mean) / self.deviation

    def put_in(self, model: Any) -> None:
        """Let a fitted network that predicts in the targets' own unit predict in this one."""
        if self != (0.0, 1.0):
            model.coefs_[-1][...] /= self.deviation
            model.intercepts_[-1][...] = (model.intercepts_[-1] - self.mean) / self.deviation

    def put_back(self, model: Any) -> None:
        """Let a fitted network predict in the targets' own unit."""
        if self != (0.0, 1.0):
            model.coefs_[-1][...] *= self.deviation
            model.intercepts_[-1][...] = model.intercepts_[-1] * self.deviation + self.mean


def _unit_of(y: Any) -> Unit:
    """Return the unit of targets."""
    return Unit(float(np.mean(y)), float(np.std(y)) or 1.0)


def quoted_label(label: object) -> str:
    """Return a class as a message shows it."""
    return quoted(label) if isinstance(label, str) else repr(label)


def _names_of(task: str) -> list[str]:
    return [name for name, model in MODELS.items() if model.task == task]


def _in_short(scores: Scores) -> str:
    wanted = ("accuracy", "log loss", "R2", "root mean squared error", "share of outliers")
    return ", ".join(f"{name} {scores[name]:.4g}" for name in wanted if name in scores)
