"""``fastgd predict`` and ``fastgd evaluate``: a saved model, and rows of a file."""

import argparse
import csv
import io
import json
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from fastgd.cli import _archive
from fastgd.cli._layout import Chunk
from fastgd.cli._measures import Scores, measure
from fastgd.cli._names import NOVELTY
from fastgd.cli._problems import Problem, first_line
from fastgd.cli._sources import Source, open_source, rows_to_stream
from fastgd.cli._terminal import counted, note, progress, say


def predict(args: argparse.Namespace) -> int:
    """Write a prediction for each row, as CSV."""
    card, pipeline = _archive.load(args.model)
    if args.proba and not hasattr(pipeline, "predict_proba"):
        raise Problem(
            f"{args.model} ({card.estimator}) has no probabilities; logistic and softmax do."
        )
    source = _source(args, card)
    n_rows = 0
    with _output(args) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_header(card, proba=args.proba))
        for chunk in _chunks(args, source, card, target=False):
            writer.writerows(_rows(pipeline, chunk, proba=args.proba))
            n_rows += chunk.n_rows
    if args.output is not None:
        note(f"{counted(n_rows, 'prediction')} in {args.output}", quiet=args.quiet)
    return 0


def _header(card: _archive.Card, *, proba: bool) -> list[str]:
    classes = card.classes if proba and card.classes is not None else []
    return ["prediction", *(f"probability of {label}" for label in classes)]


def _rows(pipeline: Any, chunk: Chunk, *, proba: bool) -> Iterator[list[Any]]:
    try:
        columns = [pipeline.predict(chunk.X).tolist()]
        if proba:
            columns += pipeline.predict_proba(chunk.X).T.tolist()
    except ValueError as error:
        raise Problem(f"the model refuses the data: {first_line(error)}") from None
    return map(list, zip(*columns, strict=True))


@contextmanager
def _output(args: argparse.Namespace) -> Iterator[IO[str]]:
    """Open the file that was asked for, which appears once it is whole; else stdout."""
    if args.output is None:
        yield sys.stdout
        return
    with _archive.replacing(args.output) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        yield text
        text.flush()
        text.detach()


def _source(args: argparse.Namespace, card: _archive.Card) -> Source:
    source = open_source(args.data, args.separator)
    source.check_layout(card.layout)
    return source


def _chunks(
    args: argparse.Namespace, source: Source, card: _archive.Card, *, target: bool
) -> Iterator[Chunk]:
    n_rows = rows_to_stream(source, args.chunk_rows)
    with progress(args.command, source.size().n_rows, quiet=args.quiet) as bar:
        for chunk in source.read(card.layout, n_rows, target=target):
            yield chunk
            bar.update(chunk.n_rows)


def evaluate(args: argparse.Namespace) -> int:
    """Print how good a model's predictions are."""
    card, pipeline = _archive.load(args.model)
    source = _source(args, card)
    chunks = _chunks(args, source, card, target=card.task != NOVELTY)
    try:
        scores = measure(pipeline, chunks, card.task)
    except ValueError as error:
        raise Problem(f"{args.data}: {first_line(error)}") from None
    if args.json:
        print(
            json.dumps(
                {name: _json_number(name, value) for name, value in scores.items()}, indent=1
            )
        )
    else:
        say(f"{args.model} ({card.estimator}) on {args.data}\n{_as_table(scores)}")
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
