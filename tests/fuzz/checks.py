"""What must hold of every fit."""

import signal
import time
import traceback
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from fastgd._runtime.threads import threads
from tests.fuzz.cases import SPARSE, Case, laid_out
from tests.fuzz.objectives import Pose, Wide, params_of, pose_of, summed, value
from tests.fuzz.reference import best_of, is_log

LIMIT = 60  # seconds of CPU time for one fit; then it does not return
KNOWN = ("With alpha=0", "'penalty' is deprecated")  # how other warnings begin that are right


HONEST = ("beyond tol, and says so", "warns, but is within tol")


class Finding(NamedTuple):
    """What does not hold: a kind, and in words how much."""

    kind: str
    said: str

    @property
    def misleads(self) -> bool:
        """Tell whether a user is told something wrong; a needless warning is only a nuisance."""
        return self.kind not in HONEST


INFINITE = Finding("not finite", "predictions of the rows of the fit")


class OutOfTimeError(Exception):
    """A fit took more than its share."""


class Fit(NamedTuple):
    """A fitted model, or what was raised; and what was said."""

    model: Any
    error: BaseException | None
    warned: list[Any]
    seconds: float

    @property
    def says_unfinished(self) -> bool:
        """Tell whether it warned that it is not within its tolerance."""
        return any(issubclass(w.category, ConvergenceWarning) for w in self.warned)


def fit(case: Case, layout: str | None = None, **kwargs: Any) -> Fit:
    """Fit ours, within limits, and keep what it said."""
    return _kept(lambda: case.fitted(layout, **kwargs))


def _kept(call: Callable[[], Any]) -> Fit:
    def out_of_time(*_: Any) -> None:
        raise OutOfTimeError(f"more than {LIMIT} s of CPU time")

    before = signal.signal(signal.SIGVTALRM, out_of_time)
    signal.setitimer(signal.ITIMER_VIRTUAL, LIMIT)
    start, model, error = time.process_time(), None, None
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            model = call()
    except Exception as raised:
        error = raised
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
    return Fit(model, error, list(warned), time.process_time() - start)


def findings_of(case: Case) -> list[Finding]:
    """Return all that does not hold for a case."""
    first = fit(case)
    if first.error is not None:
        is_refused = "use solver='auto'" in str(first.error)
        return [] if is_refused else [_of_error(first.error)]
    found = [*_of_warnings(first), *_of_numbers(case, first.model)]
    if first.says_unfinished:  # such a model may predict infinities under a log link
        found = [f for f in found if f != INFINITE]
    if any(f.kind == "not finite" for f in found):
        return found
    pose = pose_of(case)
    other = "csr" if case.layout not in SPARSE else "C"
    second, tight = fit(case, other), fit(case, "C", tol=1e-12)
    if second.error is not None:
        return [*found, Finding("raises in one layout only", repr(second.error))]
    models = {"ours": first.model, other: second.model}
    if tight.error is None and not any(
        f.kind == "not finite" for f in _of_numbers(case, tight.model)
    ):
        models["tight"] = tight.model
    with np.errstate(all="ignore"):
        found += _of_optimum(case, pose, models, first, second)
    return [*found, *_of_repetition(case, first.model)]


def _of_error(error: BaseException) -> Finding:
    last = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{last.filename.rsplit('/', 1)[-1]}:{last.lineno}"
    kind = "no end" if isinstance(error, OutOfTimeError) else "raises"
    return Finding(kind, f"{type(error).__name__}: {error} ({where})")


def _of_warnings(fitted: Fit) -> list[Finding]:
    return [
        Finding("warns", f"{w.category.__name__}: {w.message}")
        for w in fitted.warned
        if w.category is not ConvergenceWarning and not str(w.message).startswith(KNOWN)
    ]


def _of_numbers(case: Case, model: Any) -> list[Finding]:
    """Check that what was found is finite, and predicts something finite."""
    found = [
        Finding("not finite", f"{name} = {np.ravel(getattr(model, name))[:5]}")
        for name in ("coef_", "intercept_", "objective_")
        if not np.isfinite(getattr(model, name)).all()
    ]
    if np.isnan(model.gap_).any() or np.min(model.gap_) < 0:
        found.append(Finding("gap_ is no bound", f"gap_ = {model.gap_}"))
    if case.kwargs.get("positive") and np.min(model.coef_) < 0:
        found.append(Finding("negative coefficient", str(np.min(model.coef_))))
    X = laid_out(case.X, case.layout, case.dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        predicted = (
            model.decision_function(X) if hasattr(model, "decision_function") else model.predict(X)
        )
    predicted = predicted[case.s > 0]  # a row that does not count may lie anywhere
    # e^raw may be more than any float64, at the optimum as well
    if np.isnan(predicted).any() or not (is_log(case) or np.isfinite(predicted).all()):
        found.append(INFINITE)
    return found


def _precision(case: Case) -> float:
    """Return what the numbers of ``coef_`` are rounded to, a little generously."""
    return 2.0 * float(np.finfo(case.dtype).eps)


def _of_optimum(
    case: Case, pose: Pose, models: dict[str, Any], first: Fit, second: Fit
) -> list[Finding]:
    best = best_of(case, pose, models)
    null = value(case, pose, _zero(models["ours"])).objective
    eps = np.finfo(np.float64).eps
    # of what is summed; and where that is next to nothing, of residuals that are 256 ulp of targets
    noise = 64 * eps * summed(case, pose, best.params) + (256 * eps) ** 2 * np.abs(null)
    found: list[Finding] = []
    reached = {}
    for name, fitted in (("ours", first), ("other layout", second)):
        own = value(case, pose, params_of(fitted.model), _precision(case))
        slack = own.rounding + noise
        reached[name] = own.objective
        found += _of_objective(fitted.model, own.objective, slack, name)
        allowed = case.kwargs["tol"] * np.abs(own.objective)
        above = own.objective - best.objective
        if (above > allowed + slack).any():
            found.append(_of_distance(above, allowed, slack, own.objective, best, fitted, name))
        elif fitted.says_unfinished and _is_sure(best, fitted, above, allowed):
            found.append(Finding("warns, but is within tol", f"{name}: {_said(fitted)}"))
        if (np.asarray(fitted.model.gap_) < above - slack).any():
            said = f"{name}: gap_ = {fitted.model.gap_}, at least {_text(above)} above the optimum"
            found.append(Finding("gap_ is no bound", said))
    if "tight" in models:
        tight = value(case, pose, params_of(models["tight"]), _precision(case))
        dense = reached["other layout" if case.layout in SPARSE else "ours"]
        worse = tight.objective - dense
        if (worse > tight.rounding + noise + 1e-9 * np.abs(dense)).any():
            said = f"tol=1e-12 ends {_text(worse)} above tol={case.kwargs['tol']}"
            found.append(Finding("a smaller tol is worse", said))
    return found


def _zero(model: Any) -> Any:
    params = params_of(model)
    return params._replace(coef=0 * params.coef, intercept=0 * params.intercept)


def _of_objective(model: Any, own: Any, slack: Any, name: str) -> list[Finding]:
    difference = np.abs(np.asarray(model.objective_) - own)
    if (difference > 2 * slack + 1e-9 * np.abs(own)).any():
        said = f"{name}: objective_ = {model.objective_}, the model's is {_text(own)}"
        return [Finding("objective_ is not the model's", said)]
    return []


def _of_distance(
    above: Any, allowed: Any, slack: Any, own: Any, best: Any, fitted: Fit, name: str
) -> Finding:
    worst = np.argmax(above - allowed - slack)
    at = [np.ravel(v)[worst if np.size(v) > 1 else 0] for v in (above, own, best.objective, slack)]
    kind = "beyond tol, and says so" if fitted.says_unfinished else "beyond tol, silently"
    relative = float(at[0] / max(abs(at[2]), Wide(1e-300)))
    said = (
        f"{name}: {float(at[1]):.10g}, best known {float(at[2]):.10g} "
        f"(by {best.by[worst if len(best.by) > 1 else 0]}), {relative:.1e} of it above, rounding "
        f"allows {float(at[3]):.1e}, gap_ {np.max(fitted.model.gap_):.1e}, "
        f"n_iter_ {np.max(fitted.model.n_iter_)}"
    )
    return Finding(kind, said)


def _is_sure(best: Any, fitted: Fit, above: Any, allowed: Any) -> bool:
    """Tell whether the optimum is known well enough to call a warning needless."""
    proven = (np.asarray(fitted.model.gap_) <= allowed).all()
    is_near = (above <= 0.5 * allowed).all() and any(by.startswith("newton") for by in best.by)
    return bool(proven or is_near)


def _of_repetition(case: Case, model: Any) -> list[Finding]:
    """Check that the same call gives the same bits, on any number of threads."""
    found = []
    again = fit(case)
    for name, other in (("the same call", again), ("one thread", _on_threads(case, 1))):
        if other.error is not None:
            found.append(Finding("raises when repeated", f"by {name}: {other.error!r}"))
            continue
        for key in ("coef_", "intercept_"):
            own, repeated = (np.asarray(getattr(m, key)) for m in (model, other.model))
            if not np.array_equal(own, repeated):
                said = f"by {name}: {key} = {repeated}, was {own}, "
                said += f"n_iter_ = {other.model.n_iter_}, was {model.n_iter_}"
                found.append(Finding("other bits", said))
    return found


def _on_threads(case: Case, n_jobs: int) -> Fit:
    with threads(n_jobs):
        return fit(case)


def _said(fitted: Fit) -> str:
    return next(str(w.message) for w in fitted.warned if w.category is ConvergenceWarning)


def _text(values: Any) -> str:
    return np.array2string(np.asarray(np.ravel(values)[:6], np.float64), precision=12)
