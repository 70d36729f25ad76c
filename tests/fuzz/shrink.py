"""A finding made small, and written as a script."""

from typing import Any

import numpy as np

from tests.fuzz.cases import CLASSIFIERS, Case
from tests.fuzz.checks import findings_of

TRIALS = 40  # fits that shrinking may cost, times about five


def shrunk(case: Case, kind: str) -> Case:
    """Return a case with fewer rows, columns and parameters that has a finding of the same kind."""
    left = TRIALS
    made_smaller = True
    while made_smaller and left > 0:
        made_smaller = False
        for smaller in _smaller(case):
            left -= 1
            if left <= 0:
                break
            if any(f.kind == kind for f in findings_of(smaller)):
                case, made_smaller = smaller, True
                break
    return case


def _smaller(case: Case) -> Any:
    """Yield cases with half of the rows or columns, then with one less, then plainer ones."""
    n, d = case.X.shape
    for count in (n // 2, n - 1):
        if 1 <= count < n:
            yield from (_rows(case, keep) for keep in (np.arange(count), np.arange(n - count, n)))
    for count in (d // 2, d - 1):
        if 1 <= count < d:
            for keep in (np.arange(count), np.arange(d - count, d)):
                yield case._replace(X=case.X[:, keep])
    if case.weight is not None:
        yield case._replace(weight=None)
    if case.layout not in ("C", "csr"):
        yield case._replace(layout="C")
        yield case._replace(layout="csr")


def _rows(case: Case, keep: Any) -> Case:
    weight = None if case.weight is None else case.weight[keep]
    smaller = case._replace(X=case.X[keep], y=case.y[keep], weight=weight)
    too_few = case.name in CLASSIFIERS and np.unique(smaller.y).size < np.unique(case.y).size
    nothing = case.name not in CLASSIFIERS and not smaller.y.any()
    return case if too_few or nothing or not smaller.s.any() else smaller


def script_of(case: Case, seed: int, names: tuple[str, ...] = ()) -> str:
    """Return a script that repeats a fit; numbers are written out where they are few."""
    kwargs = ", ".join(f"{key}={value!r}" for key, value in case.kwargs.items())
    if case.X.size <= 120:
        fit = "X, y, weight" if case.weight is not None else "X, y"
        lines = [
            "import numpy as np",
            "import fastgd",
            "from tests.fuzz.cases import laid_out",
            f"X = laid_out(np.array({case.X.tolist()}), {case.layout!r}, {case.dtype!r})",
            f"y = np.array({case.y.tolist()})",
            *([f"weight = np.array({case.weight.tolist()})"] if case.weight is not None else []),
            f"model = fastgd.{case.name}({kwargs}).fit({fit})",
        ]
    else:
        lines = [
            "from tests.fuzz.cases import case_of",
            f"case = case_of({seed}, {names!r})  # {case.name}({kwargs})",
            "model = case.fitted()",
        ]
    return "\n".join([*lines, "print(model.objective_, model.gap_, model.coef_)"])
