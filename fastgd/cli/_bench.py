"""``fastgd bench``: the same models by fastgd and by scikit-learn, timed on this machine."""

import argparse
import statistics
import time
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from sklearn import datasets, metrics
from sklearn import linear_model as scikit_learn_linear
from sklearn import neural_network as scikit_learn_networks
from sklearn import svm as scikit_learn_svm
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler

from fastgd._readers.errors import Misuse
from fastgd.cli import _demo, _models
from fastgd.cli._names import CLASSIFICATION, MODELS, NOVELTY
from fastgd.cli._terminal import note, progress, result

# scikit-learn has no other name for a softmax
THEIR_NAMES = {"SoftmaxRegression": "LogisticRegression"}

HEADINGS = ("model", "library", "data", "rows x feat.", "seconds", "loss", "score")

NOTES = """\
Seconds: the median of {repeats} fits, after one that compiles or reads compiled
code from the disk. Loss and score are those of the rows trained on: log loss
(hinge loss where there are no probabilities) and accuracy, or mean squared
error and R2; what is fitted sooner and worse is not faster. Both libraries are
given the same columns and settings, else their own defaults, tolerances among
them. * It did not converge."""


class Contest(NamedTuple):
    """A model by its short name, and the data to fit it to."""

    model: str
    data: str
    X: Any
    y: Any
    params: dict[str, Any]


def run(args: argparse.Namespace) -> int:
    """Print the table."""
    contests = list(_own_data(args) if args.data is not None else _known_data(args))
    repeats = 1 + args.repeats
    rows: list[Sequence[str]] = [HEADINGS]
    with progress("fitting", 2 * len(contests) * repeats, "fit", quiet=args.quiet) as bar:
        for contest in contests:
            for library, estimator in _both(contest, args.seed):
                rows.append(_measured(contest, library, estimator, repeats, bar))
    result(f"{_demo._table(rows)}\n\n{NOTES.format(repeats=args.repeats)}")
    return 0


def _known_data(args: argparse.Namespace) -> Iterator[Contest]:
    """Yield small sets that come with scikit-learn."""
    if args.model is not None or args.set:
        raise Misuse("--model and --set go with DATA; without it a fixed list of models is fitted.")
    epochs = {"max_iter": 20, "tol": None}
    for model, name, load, params in (
        ("ridge", "diabetes", datasets.load_diabetes, {}),
        ("lasso", "diabetes", datasets.load_diabetes, {}),
        ("logistic", "breast cancer", datasets.load_breast_cancer, {}),
        ("softmax", "digits", datasets.load_digits, {}),
        ("svc", "digits", datasets.load_digits, {}),
        ("sgd-classifier", "breast cancer", datasets.load_breast_cancer, epochs),
    ):
        X, y = load(return_X_y=True)
        yield Contest(model, name, StandardScaler().fit_transform(X), y, params)
    note("these sets are small; fastgd bench DATA times your own", quiet=args.quiet)


def _own_data(args: argparse.Namespace) -> Iterator[Contest]:
    from fastgd.cli._train import Session

    if args.model is None:
        raise Misuse("--model is needed: which model should be timed?")
    if MODELS[args.model].task == NOVELTY:
        raise Misuse("one-class has no score that could be compared.")
    wanted = vars(args) | {
        "standardize": None if args.standardize is False else True,
        "chunk_rows": None,
        "epochs": None,
        "validation": None,
        "show_columns": False,
    }
    session = Session(argparse.Namespace(**wanted))
    session.look()
    X, y = session.rows()
    yield Contest(args.model, args.data.name, X, y, _models.params_of(args.set))


def _both(contest: Contest, seed: int | None) -> Iterator[tuple[str, Any]]:
    """Yield both libraries' estimators; parameters that scikit-learn lacks are fastgd's alone."""
    ours = _models.of_defaults(contest.model, contest.params, 0 if seed is None else seed)
    name = THEIR_NAMES.get(type(ours).__name__, type(ours).__name__)
    modules = (scikit_learn_linear, scikit_learn_svm, scikit_learn_networks)
    theirs = next(getattr(module, name) for module in modules if hasattr(module, name))()
    known = theirs.get_params()
    same = {param: value for param, value in contest.params.items() if param in known}
    if "random_state" in known:
        same["random_state"] = 0 if seed is None else seed
    yield "fastgd", ours
    yield "sklearn", theirs.set_params(**same)


def _measured(
    contest: Contest, library: str, estimator: Any, repeats: int, bar: Any
) -> tuple[str, ...]:
    """Fit again and again; return the row of the table."""
    times = []
    for _ in range(repeats):
        model = clone(estimator)
        started = time.perf_counter()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model.fit(contest.X, contest.y)
        times.append(time.perf_counter() - started)
        bar.update()
    gave_up = any(issubclass(warning.category, ConvergenceWarning) for warning in caught)
    is_fixed = contest.params.get("tol", 0) is None  # a number of epochs is what was asked for
    n_rows, n_features = contest.X.shape
    return (
        contest.model,
        library,
        contest.data,
        f"{n_rows:,} x {n_features:,}",
        f"{statistics.median(times[1:]):.4f}{'*' if gave_up and not is_fixed else ''}",
        f"{_loss(model, contest):.4f}",
        f"{model.score(contest.X, contest.y):.4f}",
    )


def _loss(model: Any, contest: Contest) -> float:
    if MODELS[contest.model].task != CLASSIFICATION:
        return float(metrics.mean_squared_error(contest.y, model.predict(contest.X)))
    if hasattr(model, "predict_proba"):
        return float(metrics.log_loss(contest.y, model.predict_proba(contest.X)))
    raw = model.decision_function(contest.X)
    return float(metrics.hinge_loss(contest.y, raw, labels=model.classes_))
