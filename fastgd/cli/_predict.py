"""``fastgd predict`` and ``fastgd evaluate``: a saved model, and rows of a file."""

import argparse
import csv
import io
import json
import math
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from fastgd._readers.encoding import parts_of
from fastgd._readers.errors import UserError, first_line, plain, reason
from fastgd._readers.layout import Chunk
from fastgd._readers.opening import open_reader
from fastgd._readers.reader import Reader, rows_to_stream
from fastgd.cli import _archive
from fastgd.cli._asked import format_of
from fastgd.cli._measures import Scores, measure
from fastgd.cli._names import NOVELTY
from fastgd.cli._output import check_output, is_stdout, replacing
from fastgd.cli._terminal import counted, note, progress, result


def predict(args: argparse.Namespace) -> int:
    """Write a prediction for each row, as CSV."""
    if args.output is not None:
        check_output(args.output, [args.model, args.data])
    card, pipeline = _archive.load(args.model, format_of(args).limits)
    if args.proba and not hasattr(pipeline, "predict_proba"):
        raise UserError(
            f"{args.model} ({card.estimator}) has no probabilities; logistic and softmax do."
        )
    reader = _reader(args, card)
    header = _header(card, proba=args.proba)
    n_rows = 0
    with _output(args) as writer:
        writer.writerow(header)
        for chunk in _chunks(args, reader, card, target=False):
            writer.writerows(_rows(pipeline, chunk, len(header)))
            n_rows += chunk.n_rows
    if args.output is not None and not is_stdout(args.output):
        note(f"{counted(n_rows, 'prediction')} in {args.output}", quiet=args.quiet)
    return 0


def _header(card: _archive.Card, *, proba: bool) -> list[str]:
    classes = card.classes if proba and card.classes is not None else []
    return ["prediction", *(f"probability of {label}" for label in classes)]


def _rows(pipeline: Any, chunk: Chunk, width: int) -> Iterable[tuple[Any, ...]]:
    """Return predictions, followed by probabilities where more than one column is wanted."""
    encoder, model = parts_of(pipeline)
    try:
        X = encoder.transform(chunk.X)
        columns = [model.predict(X).tolist()]
        if width > 1:
            columns += model.predict_proba(X).T.tolist()
        rows = list(zip(*columns, strict=True))
    except MemoryError:
        raise
    except Exception as error:  # a model that is damaged can fail in any way
        raise UserError(f"the model refuses the data: {first_line(error)}") from None
    if len(columns) != width:
        raise UserError(f"the model is damaged: it has not the {width - 1} classes that it should.")
    return rows


class _Writer(Protocol):
    """What ``csv.writer`` returns."""

    def writerow(self, row: Iterable[Any], /) -> Any:
        """Write a row."""

    def writerows(self, rows: Iterable[Iterable[Any]], /) -> Any:
        """Write rows."""


class _Terminal:
    """Stdout where a person looks at it: what is not printable is written as Python writes it."""

    def write(self, text: str) -> int:
        """Write a line."""
        return sys.stdout.write("\n".join(map(plain, text.split("\n"))))


@contextmanager
def _output(args: argparse.Namespace) -> Iterator[_Writer]:
    """Open the file that was asked for, which appears once it is whole; else stdout."""
    if args.output is None:
        with _stdout() as writer:
            yield writer
        return
    with replacing(args.output) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        yield csv.writer(text, lineterminator="\n")
        text.flush()
        text.detach()


@contextmanager
def _stdout() -> Iterator[_Writer]:
    if sys.stdout is None:
        raise UserError("stdout is closed: there is nowhere to write to.")
    target: Any = _Terminal() if sys.stdout.isatty() else sys.stdout
    try:
        yield csv.writer(target, lineterminator="\n")
        sys.stdout.flush()
    except UnicodeEncodeError:
        raise UserError(
            f"stdout takes {sys.stdout.encoding} only, and there are other characters: "
            "PYTHONIOENCODING=utf-8 or -o FILE writes them."
        ) from None
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UserError(f"stdout cannot be written: {reason(error)}") from None


def _reader(args: argparse.Namespace, card: _archive.Card) -> Reader:
    reader = open_reader(args.data, format_of(args))
    reader.check_layout(card.layout)
    return reader


def _chunks(
    args: argparse.Namespace, reader: Reader, card: _archive.Card, *, target: bool
) -> Iterator[Chunk]:
    size = reader.size(card.layout)
    n_rows = rows_to_stream(reader, args.chunk_rows, size)
    with progress(args.command, size.n_rows, quiet=args.quiet) as bar:
        for chunk in reader.read(card.layout, n_rows, target=target):
            yield chunk
            bar.update(chunk.n_rows)


def scores_of(args: argparse.Namespace, card: _archive.Card, pipeline: Any) -> Scores:
    """Return how good a model's predictions are on the rows of a file."""
    reader = _reader(args, card)
    chunks = _chunks(args, reader, card, target=card.task != NOVELTY)
    try:
        return measure(pipeline, chunks, card.task)
    except (UserError, MemoryError):
        raise
    except Exception as error:  # a model that is damaged can fail in any way
        raise UserError(f"{args.data}: {first_line(error)}") from None


def evaluate(args: argparse.Namespace) -> int:
    """Print how good a model's predictions are."""
    card, pipeline = _archive.load(args.model, format_of(args).limits)
    scores = scores_of(args, card, pipeline)
    if args.json:
        result(
            json.dumps(
                {name: _json_number(name, value) for name, value in scores.items()}, indent=1
            )
        )
    else:
        result(f"{args.model} ({card.estimator}) on {args.data}\n{_as_table(scores)}")
    return 0


def _json_number(name: str, value: float) -> float | int | None:
    if name == "rows":
        return int(value)
    return float(value) if math.isfinite(value) else None


def _as_table(scores: Scores) -> str:
    width = max(map(len, scores))
    return "\n".join(
        f"  {name:<{width}}  {value:,.0f}" if name == "rows" else f"  {name:<{width}}  {value:.6g}"
        for name, value in scores.items()
    )
