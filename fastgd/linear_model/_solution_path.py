"""``fastgd.path``: an estimator's coefficients for many strengths of its penalty."""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import check_scoring
from sklearn.utils import check_array
from sklearn.utils.validation import _get_feature_names

from fastgd._data.validation import ACCEPTED, check_sparse, check_weight
from fastgd._monitoring.watching import Given, GridWatch, watched
from fastgd._runtime.threads import threads
from fastgd._runtime.warned import heard
from fastgd._solvers._paths import Fold, Found, Table, solve_paths
from fastgd.linear_model._paths import _MultiTask
from fastgd.linear_model._solved import FLOATS, level_of_the_user

STRENGTHS = {"alphas": "alpha", "Cs": "C"}


class Point(NamedTuple):
    """What was found for one value; ``coef`` and ``intercept`` have the estimator's shapes."""

    coef: NDArray[Any]
    intercept: Any
    objective: float
    gap: float
    n_iter: int
    converged: bool
    score: float


@dataclass(frozen=True)
class Path:
    """The models of an estimator along a path of values of one of its parameters.

    Attributes
    ----------
    param : str
        The parameter's name.
    values : ndarray of shape (n_values,)
        Its values, the strongest penalty first.
    coefs : ndarray of shape (n_values, n_features) or (n_values, n_outputs, n_features)
    intercepts : ndarray of shape (n_values,) or (n_values, n_outputs)
    objective : ndarray of shape (n_values,)
        What the estimator minimises; for many outputs fitted apart, the sum. NaN where the
        estimator does not know it.
    gap : ndarray of shape (n_values,)
        A proven bound of ``objective`` minus the optimum; inf where nothing proves one.
    n_iter : ndarray of shape (n_values,)
        Passes over the data, or sweeps, as the estimator's ``n_iter_`` counts them.
    converged : ndarray of shape (n_values,), bool
    scores : ndarray of shape (n_values,) or None
        On the validation rows, if there are some.
    feature_names : ndarray of shape (n_features,) or None
        Of X's columns.
    """

    param: str
    values: NDArray[Any]
    coefs: NDArray[Any]
    intercepts: NDArray[Any]
    objective: NDArray[np.float64]
    gap: NDArray[np.float64]
    n_iter: NDArray[np.int64]
    converged: NDArray[np.bool_]
    scores: NDArray[np.float64] | None = None
    feature_names: NDArray[Any] | None = None

    def __len__(self) -> int:
        return len(self.values)

    @property
    def n_nonzero(self) -> NDArray[np.int64]:
        """How many features have a coefficient that is not zero, for each value."""
        used = self.coefs != 0.0
        used = used.any(axis=1) if used.ndim == 3 else used
        return np.asarray(used.sum(axis=1), np.int64)

    def best(self) -> int:
        """Return the place of the highest score, of equal ones the strongest penalty's.

        Raises
        ------
        ValueError
            If the path was made without validation rows.
        """
        if self.scores is None:
            raise ValueError("There are no scores: pass X_val and y_val to path.")
        return int(np.nanargmax(self.scores))

    def to_frame(self, *, coefs: bool = True) -> Any:
        """Return a table of the path, one row for each value.

        Parameters
        ----------
        coefs : bool, default=True
            Whether the coefficients have columns, by the features' names; of many outputs,
            (output, feature) each.

        Returns
        -------
        pandas.DataFrame
        """
        import pandas as pd

        known = {
            self.param: self.values,
            "objective": self.objective,
            "gap": self.gap,
            "n_iter": self.n_iter,
            "converged": self.converged,
            "n_nonzero": self.n_nonzero,
        }
        if self.scores is not None:
            known["score"] = self.scores
        frame = pd.DataFrame(known)
        if not coefs:
            return frame
        names = self._columns()
        values = np.hstack(
            [self.intercepts.reshape(len(self), -1), self.coefs.reshape(len(self), -1)]
        )
        return pd.concat([frame, pd.DataFrame(values, columns=names)], axis=1)

    def _columns(self) -> list[Any]:
        d = self.coefs.shape[-1]
        features = self.feature_names
        names = [f"x{j}" for j in range(d)] if features is None else list(features)
        if self.coefs.ndim == 2:
            return ["intercept", *names]
        outputs = range(self.coefs.shape[1])
        n_intercepts = 1 if self.intercepts.ndim == 1 else self.intercepts.shape[1]
        first = [(k, "intercept") for k in range(n_intercepts)]
        return [*first, *((k, name) for k in outputs for name in names)]


def path(
    estimator: Any,
    X: Any,
    y: ArrayLike,
    *,
    alphas: ArrayLike | None = None,
    Cs: ArrayLike | None = None,
    param: str | None = None,
    values: ArrayLike | None = None,
    warm: bool = True,
    sample_weight: ArrayLike | None = None,
    X_val: Any = None,
    y_val: ArrayLike | None = None,
    scoring: Any = None,
    verbose: int = 0,
    callbacks: Any = None,
) -> Path:
    """Fit an estimator for many strengths of its penalty, each from the solution before.

    The strongest penalty comes first, since its solution is the nearest to zero, and each fit
    starts where the last one ended. X is validated and converted once. For ``Lasso``,
    ``ElasticNet``, ``MultiTaskLasso`` and ``MultiTaskElasticNet`` (the group lasso over targets)
    all strengths share the products of columns and a working set of them.

    Parameters
    ----------
    estimator : estimator
        Any of fastgd's that has coefficients. It is not changed.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
    y : array-like of shape (n_samples,) or (n_samples, n_targets)
    alphas : array-like of shape (n_values,), default=None
        Strengths of the penalty to fit, for an estimator with ``alpha``. If its ``penalty`` is an
        object with a strength of its own (``fastgd.penalties.GroupLasso``), they are the values
        of that, the object's first number.
    Cs : array-like of shape (n_values,), default=None
        Inverse strengths, for an estimator with ``C``.
    param : str, default=None
        In place of these, the name of any parameter, and ``values`` for it, which are taken in
        their order; ``"penalty__l2"`` is the number ``l2`` of a penalty object.
    values : array-like of shape (n_values,), default=None
    warm : bool, default=True
        Start each fit from the last one's coefficients. False fits each from anew.
    sample_weight : array-like of shape (n_samples,), default=None
    X_val, y_val : default=None
        Validation rows, on which each model is scored.
    scoring : str, callable or None, default=None
        The score; None is that of the estimator.
    verbose : int, default=0
        1 shows a bar over the values, 2 or more writes a line for each through ``logging``.
    callbacks : list or None, default=None
        What is done after each value: objects of ``fastgd.callbacks``, or functions of a view of
        the path (docs/watching.md), whose ``coef_`` is the last model's; ``view.stop()`` ends the
        path there.

    Returns
    -------
    Path
        With an entry for each value in ``values``, ``coefs`` (n_values, n_features) or (n_values,
        n_outputs, n_features), ``intercepts``, ``objective``, ``gap`` (a proven bound of the
        suboptimality; inf where nothing proves one), ``n_iter``, ``converged``, ``n_nonzero``, and
        ``scores``, None without validation rows; ``best()`` is the place of the best score, and
        ``to_frame()`` a DataFrame of all that.

    Raises
    ------
    TypeError
        If the estimator has no parameter of that name.
    ValueError
        If there is not one of ``alphas``, ``Cs`` and ``values`` with ``param``, or there are no
        values; or what ``fit`` raises.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_diabetes
    >>> import fastgd
    >>> X, y = load_diabetes(return_X_y=True)
    >>> found = fastgd.path(fastgd.Lasso(), X, y, alphas=np.geomspace(2.0, 0.02, 5))
    >>> found.coefs.shape
    (5, 10)
    >>> found.n_nonzero.tolist()
    [2, 4, 5, 8, 10]
    """
    name, grid = _asked(estimator, {"alphas": alphas, "Cs": Cs}, param, values)
    model = clone(estimator)
    if not warm or "warm_start" in model.get_params(deep=False):
        _set_if_known(model, "warm_start", warm)
    _set_if_known(model, "verbose", 0)
    names = _get_feature_names(X)
    X, y = _validated(X, y)
    judge = _judge(model, scoring, X_val, y_val)
    holder = clone(model)
    holder.verbose, holder.callbacks = verbose, callbacks
    found: list[Point] = []

    def write(snapshot: Any) -> None:
        last = found[-1]
        snapshot.coef_, snapshot.intercept_ = last.coef, last.intercept
        snapshot.n_features_in_ = X.shape[1]
        if hasattr(model, "classes_"):
            snapshot.classes_ = model.classes_

    with watched(GridWatch, holder) as watch:
        watch.begin_grid(Given(X, y, sample_weight), len(grid), write)
        label = name.rpartition("__")[2]
        for value, point in _points(model, name, grid, (X, y, sample_weight), judge, warm=warm):
            found.append(point)
            figures = {label: float(value), "objective": point.objective, "score": point.score}
            if watch.tried({k: v for k, v in figures.items() if not np.isnan(v)}):
                break
        watch.end()
    _warn_if_unfinished(type(model).__name__, found)
    return _collected(name, grid, found, names, has_scores=judge is not None)


def _asked(
    estimator: Any, strengths: dict[str, Any], param: str | None, values: Any
) -> tuple[str, NDArray[Any]]:
    """Return the parameter's name and its values, a strength's in the order of a path."""
    given = {key: grid for key, grid in strengths.items() if grid is not None}
    if param is not None or values is not None:
        if given or param is None or values is None:
            raise ValueError("param and values go together, and in place of alphas and Cs.")
        name, grid = param, np.asarray(values)
    elif len(given) != 1:
        raise ValueError("path needs one of alphas, Cs, or param and values.")
    else:
        key, raw = next(iter(given.items()))
        name, grid = STRENGTHS[key], np.sort(np.asarray(raw, np.float64).ravel())
        grid = grid[::-1] if name == "alpha" else grid
    if grid.ndim != 1 or grid.shape[0] == 0:
        raise ValueError("The values of a path must be 1-d, one or more of them.")
    name = _of_penalty_object(estimator, name)
    known = estimator.get_params(deep=False)
    if name.partition("__")[0] not in known:
        other = [key for key, own in STRENGTHS.items() if own in known and own != name]
        hint = f": pass {other[0]}" if other else ""
        raise TypeError(f"{type(estimator).__name__} has no parameter {name!r}{hint}.")
    return name, grid


def _of_penalty_object(estimator: Any, name: str) -> str:
    """Return the name of a penalty object's own strength where ``alpha`` does not count."""
    penalty = estimator.get_params(deep=False).get("penalty")
    if name != "alpha" or not hasattr(penalty, "_fields"):
        return name
    return f"penalty__{penalty._fields[0]}"


def _set_if_known(model: Any, name: str, value: Any) -> None:
    if name in model.get_params(deep=False):
        model.set_params(**{name: value})


def _with_value(model: Any, name: str, value: Any) -> None:
    """Set a parameter, or a number of an object that is one."""
    outer, _, inner = name.partition("__")
    value = value.item() if hasattr(value, "item") else value
    current = model.get_params(deep=False)[outer]
    if inner and hasattr(current, "_replace"):
        model.set_params(**{outer: current._replace(**{inner: value})})
    else:
        model.set_params(**{name: value})


def _validated(X: Any, y: Any) -> tuple[Any, NDArray[Any]]:
    """Return X in the layout that kernels take, so that each fit uses it as it is."""
    X = check_sparse(check_array(X, dtype=FLOATS, **ACCEPTED))
    return X, np.asarray(y)


def _judge(model: Any, scoring: Any, X_val: Any, y_val: Any) -> Callable[[Any], float] | None:
    if (X_val is None) != (y_val is None):
        raise ValueError("X_val and y_val go together.")
    if X_val is None:
        if scoring is not None:
            raise ValueError("scoring needs X_val and y_val.")
        return None
    scorer = check_scoring(model, scoring)
    X_val = check_sparse(check_array(X_val, dtype=FLOATS, **ACCEPTED))
    return lambda fitted: float(scorer(fitted, X_val, y_val))


def _points(
    model: Any,
    name: str,
    grid: NDArray[Any],
    data: tuple[Any, Any, Any],
    judge: Callable[[Any], float] | None,
    *,
    warm: bool,
) -> Iterator[tuple[Any, Point]]:
    """Yield each value, and what was found for it."""
    if warm and name == "alpha" and _shares_products(model, grid, data):
        yield from _points_of_products(model, grid, data, judge)
        return
    X, y, weight = data
    given = {} if weight is None else {"sample_weight": weight}
    for value in grid:
        _with_value(model, name, value)
        with heard() as messages:
            model.fit(X, y, **given)
        others = [one for one in messages if not issubclass(one.category, ConvergenceWarning)]
        for text, category in others:
            warnings.warn(text, category, stacklevel=level_of_the_user())
        yield value, _point_of(model, judge, converged=len(others) == len(messages))


def _point_of(model: Any, judge: Callable[[Any], float] | None, *, converged: bool) -> Point:
    """Return what a fitted model knows of itself."""
    coef = np.array(model.coef_.toarray() if hasattr(model.coef_, "toarray") else model.coef_)
    intercept = np.array(getattr(model, "intercept_", 0.0))
    is_one = coef.ndim == 2 and coef.shape[0] == 1
    return Point(
        coef[0] if is_one else coef,
        intercept.reshape(-1)[0] if intercept.size == 1 else intercept,
        float(np.sum(getattr(model, "objective_", np.nan))),
        float(np.sum(getattr(model, "gap_", np.inf))),
        int(np.max(getattr(model, "n_iter_", 0))),
        converged,
        np.nan if judge is None else judge(model),
    )


# -- squared errors under an l1 penalty: all strengths share the products of columns ---------------


def _shares_products(model: Any, grid: NDArray[Any], data: tuple[Any, Any, Any]) -> bool:
    """Tell whether ``solve_paths`` fits the model: the lasso and its kind, without bounds on X."""
    if "selection" not in model.get_params(deep=False):
        return False
    y = np.asarray(data[1])
    many = isinstance(model, _MultiTask)
    is_plain = y.dtype.kind in "fiu" and y.ndim == (2 if many else 1) and bool(np.all(grid > 0.0))
    return is_plain and getattr(model, "l1_ratio", 1.0) > 0.0 and _is_asked_of_none(model)


def _is_asked_of_none(model: Any) -> bool:
    """Tell whether no particular solver and no callbacks of single fits are asked for."""
    return getattr(model, "solver", "auto") == "auto" and not getattr(model, "callbacks", None)


def _points_of_products(
    model: Any,
    grid: NDArray[Any],
    data: tuple[Any, Any, Any],
    judge: Callable[[Any], float] | None,
) -> Iterator[tuple[Any, Point]]:
    """Yield the same from one table of products."""
    X, y, weight = data
    model.set_params(alpha=float(grid[0]))
    model._validate_params()
    y = check_array(y, dtype=np.float64, ensure_2d=False, input_name="y")
    if y.shape[0] != X.shape[0]:
        raise ValueError(f"y has {y.shape[0]} entries, X has {X.shape[0]} rows.")
    own = check_weight(weight, X, np.float64)
    if np.any(own < 0.0):
        raise ValueError(f"sample_weight must not be negative, got {own.min()}.")
    own = own if own.shape[0] > 0 else np.ones(X.shape[0])
    with threads(getattr(model, "n_jobs", None)):
        Y = y if y.ndim == 2 else y[:, None]
        table = Table(X, Y, [Fold(own)], bool(model.fit_intercept))
        ratio = float(getattr(model, "l1_ratio", 1.0))
        start: list[Any] | None = None
        for value in grid:
            strengths = table.strengths([value], ratio)
            tol, most = float(model.tol), 1000 if model.max_iter is None else int(model.max_iter)
            is_positive = bool(getattr(model, "positive", False))
            found = solve_paths(table, [0], strengths, tol, most, is_positive, start)[0]
            start = [np.ascontiguousarray(found.coef[0])]
            yield value, _point_of_products(model, table, found, judge)


def _point_of_products(
    model: Any, table: Table, found: Found, judge: Callable[[Any], float] | None
) -> Point:
    """Return a point of one strength, and score it."""
    coef, intercept = (part[0] for part in table.in_user_units(0, found.coef))
    if not isinstance(model, _MultiTask):
        coef, intercept = coef[0], float(intercept[0])
    gap, objective = (float(table.units.figure(v[0])) for v in (found.gap, found.objective))
    model.coef_, model.intercept_, model.n_features_in_ = coef, intercept, table.rows.d
    score = np.nan if judge is None else judge(model)
    allowed = float(model.tol) + 8.0 * float(np.finfo(np.float64).eps)
    converged = bool(found.gap[0] <= allowed * found.objective[0])
    return Point(coef, intercept, objective, gap, int(found.sweeps[0]), converged, score)


# -- what comes out -------------------------------------------------------------------------------


def _collected(
    name: str, grid: NDArray[Any], found: list[Point], names: Any, *, has_scores: bool
) -> Path:
    columns = [np.array(column) for column in zip(*found, strict=True)]
    coefs, intercepts, objective, gap, n_iter, converged, scores = columns
    return Path(
        name.rpartition("__")[2] if name.startswith("penalty__") else name,
        grid[: len(found)],
        coefs,
        intercepts,
        objective,
        gap,
        n_iter,
        converged,
        scores if has_scores else None,
        names,
    )


def _warn_if_unfinished(name: str, found: list[Point]) -> None:
    unfinished = sum(not point.converged for point in found)
    if unfinished > 0:
        warnings.warn(
            f"{unfinished} of {len(found)} fits of {name} did not converge; ``converged`` says "
            "which. Increase max_iter or tol, or leave out the weakest penalties.",
            ConvergenceWarning,
            stacklevel=level_of_the_user(),
        )
