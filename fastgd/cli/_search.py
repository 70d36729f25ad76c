"""``fastgd search``: the best of some settings by cross-validation, and a model with it."""

import argparse
import ast
import itertools
import time
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import get_scorer, get_scorer_names
from sklearn.model_selection import KFold, ParameterGrid, StratifiedKFold, cross_val_score

from fastgd._readers.errors import Misuse, UserError, first_line, listed, quoted
from fastgd.cli import _models
from fastgd.cli._names import CLASSIFICATION, MODELS, NOVELTY, REGRESSION
from fastgd.cli._output import check_output
from fastgd.cli._terminal import counted, progress, say
from fastgd.cli._train import Session, notes_beside, save

OF_SCORERS = ("is not supported", "can't handle")  # what they say of targets of another kind
STRENGTHS = tuple(float(f"1e{k}") for k in range(-3, 4))
SCORING = {CLASSIFICATION: "accuracy", REGRESSION: "r2"}
MOST_CANDIDATES = 10_000


class Candidate(NamedTuple):
    """Settings, and their scores on the folds."""

    params: dict[str, Any]
    mean: float
    deviation: float


def run(args: argparse.Namespace) -> int:
    """Cross-validate each candidate, print a table, and save the best one fitted to all rows."""
    started = time.perf_counter()
    check_output(args.output, [args.data])
    model = MODELS[args.model]
    if model.task == NOVELTY:
        raise Misuse("search: one-class has no targets to choose by.")
    scoring = _scorer(args.scoring or SCORING[model.task])
    grid = _grid(args)
    with notes_beside(args.output):
        session = Session(args)
        session.look()
        candidates = _scores(session, grid, args, scoring)
        best = max(candidates, key=lambda one: one.mean)
        say(_as_table(candidates, best, scoring), quiet=args.quiet)
        session.configure(best.params)
        pipeline = session.fit()
    save(args, session, pipeline, started)
    return 0


def _scorer(name: str) -> str:
    if name not in get_scorer_names():
        raise Misuse(f"--scoring {quoted(name)}: known are {listed(get_scorer_names(), most=99)}.")
    return name


def _grid(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the candidates; without --grid, strengths of the penalty a factor of 10 apart."""
    asked = [_values_of(setting) for setting in args.grid]
    names = [name for name, _ in asked]
    if len(set(names)) < len(names):
        raise Misuse("--grid: a parameter is there twice; its values go into one --grid.")
    fixed = _models.params_of(args.set)
    both = [name for name in names if name in fixed]
    if both:
        raise Misuse(f"--grid {both[0]} and --set {both[0]}: either one or the other.")
    values = dict(asked) or _strengths(args.model, fixed)
    n_candidates = int(np.prod([len(some) for some in values.values()]))
    if n_candidates > MOST_CANDIDATES:
        raise Misuse(f"--grid: {n_candidates:,} candidates are more than {MOST_CANDIDATES:,}.")
    grid = list(ParameterGrid(values))
    for candidate in grid:
        try:
            _models.estimator(args.model, {**fixed, **candidate}, args.seed)
        except Misuse as error:
            raise Misuse(str(error).replace("--set", "--grid", 1)) from None
    return grid


def _values_of(setting: str) -> tuple[str, list[Any]]:
    name, equals, text = setting.partition("=")
    if not equals or not name.strip() or not text.strip():
        raise Misuse(f"--grid takes NAME=VALUE,VALUE,... , got {quoted(setting)}.")
    try:
        values = list(ast.literal_eval(f"[{text}]"))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        values = [_models.value_of(part.strip()) for part in text.split(",")]
    return name.strip(), values


def _strengths(name: str, fixed: dict[str, Any]) -> dict[str, Sequence[float]]:
    known = _models.estimator(name, {}, None).get_params()
    for strength in ("C", "alpha"):
        if strength in known and strength not in fixed:
            return {strength: STRENGTHS}
    raise Misuse(f"--grid is needed: {name} has no C and no alpha to choose, or --set sets it.")


def _scores(
    session: Session, grid: Sequence[dict[str, Any]], args: argparse.Namespace, scoring: str
) -> list[Candidate]:
    X, y = session.rows()
    folds = _folds(args, np.asarray(y))
    found = []
    with progress("searching", len(grid), "candidate", quiet=args.quiet) as bar:
        for params in grid:
            model = session.candidate(params)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", ConvergenceWarning)
                    scores = cross_val_score(
                        model, X, y, scoring=get_scorer(scoring), cv=folds, error_score="raise"
                    )
            except (ValueError, TypeError) as error:
                raise UserError(_refused(first_line(error), scoring, args.model)) from None
            found.append(Candidate(params, float(np.mean(scores)), float(np.std(scores))))
            bar.update(1)
    return found


def _refused(said: str, scoring: str, model: str) -> str:
    """Return what is said of a fit or a score that is refused."""
    if not any(words in said for words in OF_SCORERS):
        return said
    what = "classes" if MODELS[model].task == CLASSIFICATION else "numbers"
    return f"--scoring {scoring} does not suit {model}, which predicts {what}: {said}"


def _folds(args: argparse.Namespace, y: NDArray[Any]) -> KFold | StratifiedKFold:
    """Return how rows are split, by their classes where there are classes."""
    seed = 0 if args.seed is None else args.seed
    if MODELS[args.model].task != CLASSIFICATION:
        if args.folds > len(y):
            raise UserError(f"--folds {args.folds:,}: there are {counted(len(y), 'row')} to split.")
        return KFold(args.folds, shuffle=True, random_state=seed)
    most = int(np.unique(y, return_counts=True)[1].max())
    if args.folds > most:
        raise UserError(
            f"--folds {args.folds:,}: each fold takes rows of each class, and no class has more "
            f"than {counted(most, 'row')}."
        )
    return StratifiedKFold(args.folds, shuffle=True, random_state=seed)


def _as_table(candidates: Sequence[Candidate], best: Candidate, scoring: str) -> str:
    names = sorted(set(itertools.chain.from_iterable(one.params for one in candidates)))
    rows = [[*names, scoring, "deviation", ""]]
    for one in candidates:
        values = [str(one.params.get(name, "")) for name in names]
        mark = "best" if one is best else ""
        rows.append([*values, f"{one.mean:.6g}", f"{one.deviation:.3g}", mark])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join(f"  {line}" for line in lines)
