"""``fastgd demo``: a linear, a logistic and a softmax model on real data, beside scikit-learn's."""

import importlib.util
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn import datasets, linear_model
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

import fastgd
from fastgd._monitoring.display import not_announcing
from fastgd.kernels._jit import cache_folder

ALPHA = 1e-3
REPEATS = 5

Split = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


class Case(NamedTuple):
    """A model, the data it is fitted to, and scikit-learn's model of the same kind."""

    name: str
    data: str
    load: Callable[..., Any]
    ours: Any
    theirs: Any

    def split(self) -> Split:
        """Return X_train, X_test, y_train, y_test."""
        X, y = self.load(return_X_y=True)
        X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
        return X_train, X_test, y_train, y_test


class Result(NamedTuple):
    """What a fit took and gave."""

    case: Case
    library: str
    model: Pipeline
    n_rows: int
    n_features: int
    seconds: float
    train_score: float
    test_score: float

    def cells(self) -> tuple[str, ...]:
        """Return the row of the table."""
        estimator = self.model[-1]
        return (
            self.case.name,
            self.library,
            self.case.data,
            f"{self.n_rows} x {self.n_features}",
            str(int(np.max(estimator.n_iter_))),
            f"{self.seconds:.4f}",
            f"{self.train_score:.3f}",
            f"{self.test_score:.3f}",
        )


HEADINGS = ("model", "library", "data", "rows x feat.", "epochs", "seconds", "train", "test")


def cases() -> list[Case]:
    """Return the models of the demonstration, one for each kind of target."""
    common: dict[str, Any] = {"alpha": ALPHA, "random_state": 0}
    logistic: dict[str, Any] = {"loss": "log_loss", **common}
    n_digits = 1347  # rows of digits in the training set: C = 1 / (alpha n) is the same penalty
    softmax = linear_model.LogisticRegression(C=1 / (ALPHA * n_digits), max_iter=1000)
    return [
        Case(
            "linear",
            "diabetes",
            datasets.load_diabetes,
            fastgd.SGDRegressor(**common),
            linear_model.SGDRegressor(**common),
        ),
        Case(
            "logistic",
            "breast cancer",
            datasets.load_breast_cancer,
            fastgd.SGDClassifier(**logistic),
            linear_model.SGDClassifier(**logistic),
        ),
        Case(
            "softmax",
            "digits",
            datasets.load_digits,
            fastgd.SGDClassifier(**logistic),
            softmax,
        ),
    ]


def run(output: Path) -> None:
    """Train, print a table, and draw the loss curves to a file, or as text without matplotlib."""
    started = time.perf_counter()
    print(_announcement(), flush=True)
    results = []
    with not_announcing():  # compilation is announced above
        for case in cases():
            split = case.split()
            for library, estimator in (("fastgd", case.ours), ("sklearn", case.theirs)):
                results.append(_measure(case, library, estimator, split))
    print(f"\n{_table([HEADINGS, *(result.cells() for result in results)])}\n\n{NOTES}")
    curves = {r.case: r.model[-1].history_["objective"] for r in results if r.library == "fastgd"}
    if not _has_matplotlib():
        for case, values in curves.items():
            print(f"\n{_title(case)}\n{_as_text(values)}")
        print('\npip install "fastgd[plot]" gets these curves as a picture.')
    else:
        _draw(curves, output)
        print(f"\nThe loss curves are in {output}.")
    print(f"All of it took {time.perf_counter() - started:.1f} s, compilation included.")


NOTES = f"""\
Each model is make_pipeline(StandardScaler(), SGD...) on three quarters of the
rows, with the same settings for both libraries. scikit-learn's SGD has no
softmax: there its line is LogisticRegression (lbfgs) with the same penalty,
whose epochs are passes of another kind. Seconds: the median of {REPEATS} fits, after
one that compiles. Scores: R2 for linear, else accuracy, on the rows trained on
and on the other quarter."""


def _has_matplotlib() -> bool:
    return importlib.util.find_spec("matplotlib") is not None


def _announcement() -> str:
    """Tell what the first seconds are spent on."""
    folder = cache_folder()
    if folder is None:
        return "compiling ... (in every process: no folder for compiled kernels is writable)"
    if any(Path(folder).glob("*.nbc")):
        return f"reading compiled kernels from {folder} ..."
    return f"compiling ... (the first time only; the kernels are kept in {folder})"


def _measure(case: Case, library: str, estimator: Any, split: Split) -> Result:
    """Fit once to compile, then time what a user waits for every other time."""
    X_train, X_test, y_train, y_test = split
    model = make_pipeline(StandardScaler(), estimator).fit(X_train, y_train)
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        model.fit(X_train, y_train)
        times.append(time.perf_counter() - started)
    train_score, test_score = model.score(X_train, y_train), model.score(X_test, y_test)
    seconds, (n_rows, n_features) = statistics.median(times), X_train.shape
    return Result(case, library, model, n_rows, n_features, seconds, train_score, test_score)


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Align columns, numbers to the right, and rule off the headings."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = zip(row, widths, range(len(row)), strict=True)
        line = "  ".join(c.ljust(w) if i < 3 else c.rjust(w) for c, w, i in cells)
        lines.append(line.rstrip())
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def _title(case: Case) -> str:
    return f"{case.name}: {case.ours.loss} on {case.data}"


def _as_text(values: Sequence[float], width: int = 64, height: int = 8) -> str:
    """Draw a curve in plain characters, as any terminal shows them."""
    points = np.interp(np.linspace(0, len(values) - 1, width), np.arange(len(values)), values)
    span = np.ptp(points)
    levels = np.rint((points - points.min()) / (span or 1.0) * (height - 1)).astype(int)
    rows = ["".join("*" if level == row else " " for level in levels) for row in range(height)]
    labels = {0: f"{min(points):.4g}", height - 1: f"{max(points):.4g}"}
    lines = [f"{labels.get(row, ''):>10} |{rows[row].rstrip()}" for row in reversed(range(height))]
    axis = f"{'epoch':>10} +{'-' * width}\n{'':>12}1{len(values):>{width - 1}}"
    return "\n".join([*lines, axis])


def _draw(curves: dict[Case, Sequence[float]], output: Path) -> None:
    """Draw one panel a model, since their losses have nothing in common but the falling."""
    # Neither pyplot nor a display: this also runs on a server, and leaves no global state.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4), layout="constrained")
    panels = figure.subplots(1, len(curves))
    # Okabe and Ito's colours, which the colour-blind can distinguish
    for panel, color, (case, values) in zip(panels, _COLORS, curves.items(), strict=True):
        _draw_curve(panel, color, values)
        panel.set_title(_title(case))
    panels[0].set_ylabel("training objective, mean over the epoch")
    figure.savefig(output, dpi=150)


_COLORS = ("#0072B2", "#D55E00", "#009E73")


def _draw_curve(panel: Any, color: str, values: Sequence[float]) -> None:
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

    epochs = np.arange(1, len(values) + 1)
    panel.plot(epochs, values, color=color, linewidth=2, marker="o", markersize=3)
    last = {"xy": (epochs[-1], values[-1]), "xytext": (6, 0), "textcoords": "offset points"}
    panel.annotate(f"{values[-1]:.4g}", **last, va="center", color=color)
    panel.set_xlabel("epoch")
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panel.set_yscale("log")
    panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    panel.yaxis.set_minor_locator(NullLocator())
    panel.yaxis.set_major_formatter(lambda value, _: f"{value:g}")  # 0.2, not 2 x 10^-1
    panel.grid(visible=True, axis="y", color="0.9")
    for side in ("top", "right"):
        panel.spines[side].set_visible(False)
