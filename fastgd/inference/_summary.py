"""Tables of coefficients: estimates, standard errors, tests and confidence intervals."""

import warnings
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg
import scipy.stats
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.validation import check_array, check_consistent_length, check_is_fitted

from fastgd._data.validation import check_weight, check_X
from fastgd._runtime.threads import one_blas_thread, threads
from fastgd.inference._passes import Covariance, Data, Sums, add_up, sandwich
from fastgd.inference._stated import CLASSES, GAUSSIAN, Floats, Stated, stated
from fastgd.linear_model._solved import FLOATS, level_of_the_user

COVARIANCES = ("classic", "HC0", "HC1", "HC2", "HC3", "cluster")
LEVERAGE = {"HC2": 0.5, "HC3": 1.0}
DEPENDENT = 1e-11  # of the largest singular value of columns of length 1: less is none
UNDETERMINED = 1e-8  # of such columns' direction without effect, a coefficient's share
FAR = 0.01  # standard errors


class Note(NamedTuple):
    """What to know before numbers are believed."""

    text: str
    category: type[Warning] = UserWarning


PENALISED = Note(
    "The model is penalised: coefficients are shrunk towards zero. Standard errors are those of "
    "the penalised estimator around its own mean, not around the coefficients of the population: "
    "intervals do not cover those at their level, and p-values test nothing about them."
)

SEPARATED = Note(
    "The classes are separated: the model fits every row, coefficients without a penalty have no "
    "optimum, and standard errors mean nothing.",
    ConvergenceWarning,
)


class CoefSummary(NamedTuple):
    """What is known of a model's coefficients; ``str()`` of it is a text.

    Parameters
    ----------
    table : pandas.DataFrame
        One row a coefficient: "estimate", "std_error", "t" or "z", "p", "lower" and "upper".
    covariance : pandas.DataFrame of shape (n_coefficients, n_coefficients)
        Of the estimates, with the names of ``table``; 0 between the targets of a regression of
        several, which are not estimated together.
    model : str
        The estimator's class.
    cov : str
        "classic", "HC0", "HC1", "HC2", "HC3" or "cluster".
    n_samples : float
        Rows, those of weight zero left out; the sum of the weights for ``weights="frequency"``.
    n_groups : int or None
        Clusters.
    df_model : float or ndarray of shape (n_targets,)
        Parameters, the intercept among them; the effective number where they are penalised,
        tr(H^-1 F).
    df_resid : float or ndarray of shape (n_targets,)
        ``n_samples`` minus ``df_model``.
    dispersion : float or ndarray of shape (n_targets,)
        The variance that is not explained (regression), or its factor (log links).
    level : float
        Of the confidence intervals.
    use_t : bool
        Whether p-values and intervals are those of a t distribution.
    notes : tuple of str
        What to know before the numbers are believed; also given as warnings.
    """

    table: Any
    covariance: Any
    model: str
    cov: str
    n_samples: float
    n_groups: int | None
    df_model: Any
    df_resid: Any
    dispersion: Any
    level: float
    use_t: bool
    notes: tuple[str, ...]

    def __str__(self) -> str:
        groups = "" if self.n_groups is None else f" of {self.n_groups} groups"
        head = (
            f"{self.model}: {self.n_samples:.10g} rows, covariance {self.cov}{groups}\n"
            f"parameters {_listed(self.df_model)}, residual degrees of freedom "
            f"{_listed(self.df_resid)}, dispersion {_listed(self.dispersion)}\n"
            f"intervals at {self.level:g}, of {'t' if self.use_t else 'the normal distribution'}"
        )
        p = {"p": "{:.3g}".format}
        shown = self.table.to_string(float_format="{:.5g}".format, formatters=p)
        return "\n\n".join([head, shown, *self.notes])

    def __repr__(self) -> str:
        return str(self)


def coef_table(
    model: Any,
    X: Any,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
    cov: str = "classic",
    *,
    groups: ArrayLike | None = None,
    level: float = 0.95,
    weights: str = "precision",
    use_t: bool | None = None,
    dispersion: str | float | None = None,
    reference: Any = None,
    n_jobs: int | None = None,
) -> Any:
    """Return a model's coefficients with standard errors, tests and intervals, by name.

    The parameters are those of :func:`coef_summary`, of which this is the table; ``attrs`` of the
    table has the rest, numbers and notes.

    Parameters
    ----------
    model : estimator
        Fitted on X and y.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        The rows of the fit.
    y : array-like of shape (n_samples,) or (n_samples, n_targets)
        The targets of the fit.
    sample_weight : array-like of shape (n_samples,), default=None
        The weights of the fit.
    cov : {"classic", "HC0", "HC1", "HC2", "HC3", "cluster"}, default="classic"
        Which errors are allowed for.
    groups : array-like of shape (n_samples,), default=None
        Which rows belong together, for ``cov="cluster"``.
    level : float, default=0.95
        Of the confidence intervals, between 0 and 1.
    weights : {"precision", "frequency"}, default="precision"
        What weights are.
    use_t : bool or None, default=None
        Whether to use a t distribution in place of the normal one.
    dispersion : {"pearson"}, float or None, default=None
        The residual variance or its factor.
    reference : label or None, default=None
        The class that others are compared with.
    n_jobs : int or None, default=None
        Threads for passes over X.

    Returns
    -------
    pandas.DataFrame
        Columns "estimate", "std_error", "t" or "z", "p", "lower" and "upper"; the index has the
        names of the features and "intercept", below classes or targets where there are several.

    Raises
    ------
    TypeError
        If the estimator is none that has standard errors.
    ValueError
        See :func:`coef_summary`.
    ImportError
        If pandas is not installed.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from fastgd import LinearRegression
    >>> from fastgd.inference import coef_table
    >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
    >>> table = coef_table(LinearRegression().fit(X, y), X, y, cov="HC3")
    >>> round(float(table.loc["bmi", "std_error"]), 2)
    68.58
    """
    found = coef_summary(
        model,
        X,
        y,
        sample_weight,
        cov,
        groups=groups,
        level=level,
        weights=weights,
        use_t=use_t,
        dispersion=dispersion,
        reference=reference,
        n_jobs=n_jobs,
    )
    return found.table


def coef_summary(
    model: Any,
    X: Any,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
    cov: str = "classic",
    *,
    groups: ArrayLike | None = None,
    level: float = 0.95,
    weights: str = "precision",
    use_t: bool | None = None,
    dispersion: str | float | None = None,
    reference: Any = None,
    n_jobs: int | None = None,
) -> CoefSummary:
    """Return standard errors of a model's coefficients, their covariance, and a text.

    With the objective sum_i s_i loss_i(eta_i) + penalty, its expected Hessian H, the information F
    (H without the penalty), scores g_i and the dispersion phi, the covariance is

        classic     phi H^-1 F H^-1
        HC0         H^-1 (sum_i g_i g_i') H^-1, for errors whose variance differs from row to row
        HC1         HC0 times n / (n - k)
        HC2, HC3    HC0 with g_i (1 - h_i)^-1/2 or g_i (1 - h_i)^-1, h_i a row's leverage
        cluster     HC0 with the sums of g_i over groups, times G / (G - 1) (n - 1) / (n - k)

    (White 1980; MacKinnon and White 1985; Liang and Zeger 1986). In all but "classic" H is the
    observed Hessian, which differs for gamma and Tweedie regression. X is read once, and once more
    for all but "classic"; once more, too, where rows are sparse or classes many and columns nearly
    dependent.

    Parameters
    ----------
    model : estimator
        A fitted ``LinearRegression``, ``Ridge``, ``RidgeCV``, ``LogisticRegression``,
        ``LogisticRegressionCV``, ``SoftmaxRegression``, ``PoissonRegressor``, ``GammaRegressor`` or
        ``TweedieRegressor``, or an ``ElasticNet`` of ``l1_ratio=0``: of this package or of
        scikit-learn.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        The rows of the fit; CSR is made dense in small blocks at most.
    y : array-like of shape (n_samples,) or (n_samples, n_targets)
        The targets of the fit.
    sample_weight : array-like of shape (n_samples,), default=None
        The weights of the fit. Those of ``class_weight`` are multiplied in.
    cov : {"classic", "HC0", "HC1", "HC2", "HC3", "cluster"}, default="classic"
        Which errors are allowed for.
    groups : array-like of shape (n_samples,), default=None
        Which rows belong together, for ``cov="cluster"``: numbers or labels.
    level : float, default=0.95
        Of the confidence intervals, between 0 and 1.
    weights : {"precision", "frequency"}, default="precision"
        A weight of 2 is a row of half the variance, or two equal rows.
    use_t : bool or None, default=None
        Whether to use a t distribution, of ``df_resid`` degrees of freedom or of one less than
        there are groups. None: for regression with classic errors.
    dispersion : {"pearson"}, float or None, default=None
        phi: Pearson's chi-squared over ``df_resid`` (of K classes, over (K - 1) times as many rows
        less the parameters), or a number. None is 1 for classes and Poisson regression, else
        "pearson". Only "classic" depends on it.
    reference : label or None, default=None
        Coefficients of classes are differences from this class's. None is the first one.
    n_jobs : int or None, default=None
        Threads for passes over X, which results do not depend on.

    Returns
    -------
    CoefSummary

    Raises
    ------
    TypeError
        If the estimator is none that has standard errors.
    ValueError
        If the model has an l1 penalty or bounds, if there are no more rows than parameters, or if
        an argument is not as above.
    ImportError
        If pandas is not installed.

    Warns
    -----
    ConvergenceWarning
        If the model is more than a hundredth of a standard error away from its optimum, or if
        there is none because classes are separated.
    UserWarning
        If the model is penalised; if columns are linearly dependent, so that coefficients are not
        determined: those have no standard errors (NaN), and the others what they have with any
        choice of columns.
    """
    pandas = _pandas()
    _check_arguments(cov, groups, level, weights)
    _check_dispersion(dispersion)
    check_is_fitted(model)
    with threads(n_jobs), one_blas_thread():
        X, y, weight = _checked(model, X, y, sample_weight)
        is_counted = weights == "frequency"
        data = Data(X, y, weight, bool(model.fit_intercept), weight if is_counted else None)
        given = stated(model, float(weight.sum()))
        asked = _Asked(cov, _grouped(cov, groups, weight), use_t, dispersion, reference)
        parts = _Parts(model, data, given, asked).all()
    notes = list(dict.fromkeys(note for part in parts for note in part.notes))
    for note in notes:
        warnings.warn(note.text, note.category, stacklevel=level_of_the_user())
    return _summary(pandas, model, parts, asked, level)


class _Grouped(NamedTuple):
    """Rows in the order of their groups."""

    order: NDArray[np.int64]
    groups: NDArray[np.int64]
    n_groups: int


class _Asked(NamedTuple):
    cov: str
    grouped: _Grouped | None
    use_t: bool | None
    dispersion: str | float | None
    reference: Any


class _Part(NamedTuple):
    """One target, or the classes together; arrays by parameter."""

    names: list[Any]
    estimate: Floats
    covariance: Floats
    n_samples: float
    df_model: float
    dispersion: float
    use_t: bool
    notes: list[Note]


class _Parts:
    """The model's targets, one after the other."""

    def __init__(self, model: Any, data: Data, given: Stated, asked: _Asked) -> None:
        self._model, self._data, self._given, self._asked = model, data, given, asked
        names = getattr(model, "feature_names_in_", None)
        names = [f"x{j}" for j in range(data.X.shape[1])] if names is None else list(names)
        self._columns = ["intercept", *names] if data.has_intercept else names

    def all(self) -> list[_Part]:
        """Return each target's part."""
        if self._given.family == CLASSES:
            return [self._of_classes()]
        y = self._data.y.reshape(self._data.X.shape[0], -1)
        n_targets, known, parts = self._given.params.shape[0], None, []
        if y.shape[1] != n_targets:
            raise ValueError(f"y has {y.shape[1]} targets, but the model {n_targets}.")
        for j in range(n_targets):
            one = self._given._replace(params=self._given.params[[j]], l2=self._given.l2[[j]])
            names = [(j, name) if n_targets > 1 else name for name in self._columns]
            data = self._data._replace(y=np.ascontiguousarray(y[:, [j]], np.float64))
            sums = add_up(data, one, known)
            known = sums.factor if one.family == GAUSSIAN else None
            parts.append(self._part(data, one, sums, names, np.ones((1, 1))))
        return parts

    def _of_classes(self) -> _Part:
        """Return the part of the classes, each against the reference."""
        classes = self._model.classes_
        codes = _codes(classes, self._data.y)
        at = _place(classes, self._asked.reference)
        others = np.delete(np.arange(classes.shape[0]), at)
        ranks = np.empty(classes.shape[0], np.int64)
        ranks[at], ranks[others] = 0, np.arange(1, classes.shape[0])
        weight = self._data.weight * _class_factors(self._model, codes, self._data.weight)
        data = self._data._replace(y=ranks[codes], weight=weight)
        params = self._given.params[others] - self._given.params[at]
        r, many = others.shape[0], others.shape[0] > 1
        names = [(classes[k], name) if many else name for k in others for name in self._columns]
        share = np.eye(r)
        if self._given.is_symmetric:  # what is left of the penalty when the classes' shift is free
            share -= (1.0 - np.sqrt(1.0 / (r + 1))) / r
        one = self._given._replace(params=params, l2=self._given.l2[:r])
        part = self._part(data, one, sums := add_up(data, one, None), names, share)
        if sums.n_wrong == 0 and not one.l2.any():
            part.notes.insert(0, SEPARATED)
        return part

    def _part(self, data: Data, one: Stated, sums: Sums, names: list[Any], share: Floats) -> _Part:
        """Return estimates and their covariance from what was summed."""
        penalty_root, theta = self._penalty(data, one, share)
        bread = _bread(sums.factor, penalty_root)
        df_model = float(np.sum(bread.projected**2))
        n = np.count_nonzero(data.weight) if data.repeats is None else data.repeats.sum()
        _refuse_too_few(float(n), df_model)
        dispersion = self._dispersion(one, sums, float(n) * one.params.shape[0] - df_model)
        classic = bread.covariance(dispersion * (bread.projected.T @ bread.projected))
        gradient = sums.gradient + penalty_root.T @ (penalty_root @ theta)
        notes = self._notes(bread, theta, gradient, dispersion)
        if not bread.is_determined.all():
            notes.append(_undetermined(names, bread.is_determined))
        notes += [PENALISED] if penalty_root.any() else []
        covariance = classic
        if self._asked.cov != "classic":
            sizes = float(n), df_model
            covariance = bread.covariance(self._robust(data, one, bread.inverse, sizes))
        covariance[~bread.is_determined] = covariance[:, ~bread.is_determined] = np.nan
        used_t = self._asked.use_t
        if used_t is None:
            used_t = one.family == GAUSSIAN and self._asked.cov == "classic"
        return _Part(names, theta, covariance, float(n), df_model, dispersion, used_t, notes)

    def _notes(
        self, bread: "_Bread", theta: Floats, gradient: Floats, dispersion: float
    ) -> list[Note]:
        """Say how far away the optimum is, in standard errors: by one step of Newton's."""
        hessian = bread.covariance(np.eye(bread.inverse.shape[1]))
        rounding = 10.0 * np.finfo(self._model.coef_.dtype).eps * np.abs(theta)
        error = np.sqrt(dispersion * np.maximum(np.diag(hessian), 0.0)) + rounding
        far = np.abs(hessian @ gradient) / (error + np.finfo(float).tiny)
        farthest = float(far[bread.is_determined].max(initial=0.0))
        return [] if farthest <= FAR else [_far_off(type(self._model).__name__, farthest)]

    def _penalty(self, data: Data, one: Stated, share: Floats) -> tuple[Floats, Floats]:
        """Return a root of the penalty's Hessian, and the parameters in one row."""
        params = one.params if data.has_intercept else one.params[:, 1:]
        columns = np.ones(params.shape[1])
        if data.has_intercept:
            columns[0] = one.of_intercept
        root = np.kron(share * np.sqrt(one.l2)[:, None], np.diag(np.sqrt(columns)))
        return root if root.any() else root[:0], params.ravel()

    def _dispersion(self, one: Stated, sums: Sums, df_resid: float) -> float:
        asked = self._asked.dispersion
        if isinstance(asked, Real):
            return float(asked)
        known = one.family == CLASSES or (one.family != GAUSSIAN and one.power == 1.0)
        return 1.0 if asked is None and known else sums.pearson / df_resid

    def _robust(
        self, data: Data, one: Stated, inverse: Floats, sizes: tuple[float, float]
    ) -> Floats:
        """Return the sums of squared scores, with the factor for few rows."""
        n, k = sizes
        cov, grouped = self._asked.cov, self._asked.grouped
        if grouped is None:
            middle = sandwich(data, one, inverse, Covariance(LEVERAGE.get(cov, 0.0)))
            return middle * (n / (n - k)) if cov == "HC1" else middle
        middle = sandwich(data, one, inverse, Covariance(0.0, grouped.order, grouped.groups))
        G = grouped.n_groups
        return middle * (G / (G - 1.0)) * ((n - 1.0) / (n - k))


class _Bread(NamedTuple):
    """The inverse of the expected Hessian H, as U U'.

    inverse : (q, rank), U
    projected : (q, rank), R U of the information's factor R: orthogonal where nothing is penalised
    is_determined : (q,)
    """

    inverse: Floats
    projected: Floats
    is_determined: NDArray[np.bool_]

    def covariance(self, middle: Floats) -> Floats:
        found: Floats = self.inverse @ middle @ self.inverse.T
        return found


def _bread(factor: Floats, penalty_root: Floats) -> _Bread:
    """Return the inverse of what ``factor`` and the penalty add up to.

    Where columns are dependent it is a pseudo-inverse, of columns of length 1; what is determined
    does not depend on which one (Searle 1971, section 5.4).
    """
    rows = np.vstack([factor, penalty_root])
    length = np.sqrt(np.sum(rows**2, axis=0))
    length[length == 0.0] = np.inf
    (triangle,) = scipy.linalg.qr(rows / length, mode="r", check_finite=False)
    triangle, is_determined = triangle[: rows.shape[1]], np.ones(rows.shape[1], bool)
    if np.all(np.diag(triangle) != 0.0):
        inverse = scipy.linalg.solve_triangular(triangle, np.eye(rows.shape[1]))
    else:
        inverse = np.full_like(triangle, np.inf)
    if not np.linalg.norm(inverse) < 1.0 / DEPENDENT:
        _, sizes, directions = np.linalg.svd(triangle)
        rank = int(np.sum(sizes > DEPENDENT * sizes[0]))
        inverse = (directions[:rank] / sizes[:rank, None]).T
        is_determined = np.linalg.norm(directions[rank:], axis=0) < UNDETERMINED
    inverse = inverse / length[:, None]
    return _Bread(inverse, factor @ inverse, is_determined)


def _undetermined(names: list[Any], is_determined: NDArray[np.bool_]) -> Note:
    which = np.flatnonzero(~is_determined)
    shown = ", ".join(str(names[j]) for j in which[:10]) + (", ..." if which.shape[0] > 10 else "")
    return Note(
        f"{which.shape[0]} coefficients are not determined, because columns are linearly dependent "
        "(a constant column is one of the intercept): their estimates are one choice of many, and "
        f"have no standard errors. They are {shown}. Leave columns out and fit again."
    )


def _far_off(name: str, far: float) -> Note:
    return Note(
        f"The {name} is {far:.2g} standard errors away from the optimum of these rows: either its "
        "fit ended early (use a smaller tol, or increase max_iter), or X, y and sample_weight are "
        "not those of the fit.",
        ConvergenceWarning,
    )


def _refuse_too_few(n_samples: float, df_model: float) -> None:
    if n_samples <= df_model:
        raise ValueError(
            f"There must be more rows than parameters, got {n_samples:.10g} rows and "
            f"{df_model:.4g} parameters that they determine: none are left for errors."
        )


def _check_arguments(cov: str, groups: Any, level: float, weights: str) -> None:
    """Refuse values that mean nothing."""
    if cov not in COVARIANCES:
        raise ValueError(f"cov must be one of {', '.join(COVARIANCES)}, got {cov!r}.")
    if (groups is None) == (cov == "cluster"):
        raise ValueError("groups go with cov='cluster', which needs them, and with no other cov.")
    if not (isinstance(level, Real) and 0.0 < float(level) < 1.0):
        raise ValueError(f"level must be between 0 and 1, got {level!r}.")
    if weights not in ("precision", "frequency"):
        raise ValueError(f"weights must be 'precision' or 'frequency', got {weights!r}.")


def _check_dispersion(dispersion: Any) -> None:
    is_number = isinstance(dispersion, Real) and 0.0 < float(dispersion) < np.inf
    if not (dispersion is None or dispersion == "pearson" or is_number):
        raise ValueError(
            f"dispersion must be 'pearson', a finite number > 0 or None, got {dispersion!r}."
        )


def _checked(model: Any, X: Any, y: Any, sample_weight: Any) -> tuple[Any, NDArray[Any], Floats]:
    """Return X, y and weights, validated."""
    X = check_X(model, X, reset=False, dtype=FLOATS)
    y = check_array(y, ensure_2d=False, dtype=None, input_name="y")
    check_consistent_length(X, y)
    weight = check_weight(sample_weight, X, np.float64)
    if np.any(weight < 0.0):
        raise ValueError(f"sample_weight must not be negative, got {weight.min()}.")
    return X, y, weight if weight.shape[0] > 0 else np.ones(X.shape[0])


def _grouped(cov: str, groups: Any, weight: Floats) -> _Grouped | None:
    """Return rows sorted by their groups."""
    if cov != "cluster":
        return None
    labels = check_array(groups, ensure_2d=False, dtype=None, input_name="groups")
    if labels.ndim != 1 or labels.shape != weight.shape:
        raise ValueError(
            f"groups must have one label for each of the {weight.shape[0]} rows, got the shape "
            f"{labels.shape}."
        )
    _, codes = np.unique(labels, return_inverse=True)
    n_groups = np.unique(codes[weight > 0.0]).shape[0]
    if n_groups < 2:
        raise ValueError(f"groups must be two at least, got {n_groups}.")
    order = np.argsort(codes, kind="stable")
    return _Grouped(order, codes[order], n_groups)


def _codes(classes: NDArray[Any], y: NDArray[Any]) -> NDArray[np.int64]:
    """Return each label's place among the classes."""
    y = y.ravel()
    unknown = ~np.isin(y, classes)
    if unknown.any():
        raise ValueError(f"y has labels that the model has not: {np.unique(y[unknown])[:5]}.")
    return np.searchsorted(classes, y)


def _place(classes: NDArray[Any], reference: Any) -> int:
    """Return the number of the reference."""
    if reference is None:
        return 0
    found = np.flatnonzero(classes == reference)
    if found.shape[0] != 1:
        raise ValueError(f"reference must be one of the classes {classes}, got {reference!r}.")
    return int(found[0])


def _class_factors(model: Any, codes: NDArray[np.int64], weight: Floats) -> Any:
    """Return what ``class_weight`` multiplies each row's weight with."""
    if getattr(model, "class_weight", None) is None:
        return 1.0
    classes = model.classes_
    factors = compute_class_weight(
        model.class_weight, classes=classes, y=classes[codes], sample_weight=weight
    )
    return factors[codes]


def _summary(
    pandas: Any, model: Any, parts: list[_Part], asked: _Asked, level: float
) -> CoefSummary:
    """Put the parts together."""
    names = [name for part in parts for name in part.names]
    of_many = isinstance(names[0], tuple)
    what = "class" if hasattr(model, "classes_") else "target"
    index: Any = pandas.Index(names, name="feature", tupleize_cols=False)
    if of_many:
        index = pandas.MultiIndex.from_tuples(names, names=[what, "feature"])
    n_groups = None if asked.grouped is None else asked.grouped.n_groups
    tables = [_numbers(part, n_groups, level) for part in parts]
    statistic = "t" if parts[0].use_t else "z"
    columns = ["estimate", "std_error", statistic, "p", "lower", "upper"]
    table = pandas.DataFrame(np.vstack(tables), index=index, columns=columns)
    matrix = scipy.linalg.block_diag(*(part.covariance for part in parts))
    covariance = pandas.DataFrame(matrix, index=index, columns=index)
    notes = tuple(dict.fromkeys(note.text for part in parts for note in part.notes))
    found = CoefSummary(
        table,
        covariance,
        type(model).__name__,
        asked.cov,
        parts[0].n_samples,
        n_groups,
        _one_or_all([part.df_model for part in parts]),
        _one_or_all([part.n_samples - part.df_model for part in parts]),
        _one_or_all([part.dispersion for part in parts]),
        float(level),
        parts[0].use_t,
        notes,
    )
    rest = {name: value for name, value in found._asdict().items() if name not in _ARRAYS}
    table.attrs = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in rest.items()}
    return found


_ARRAYS = ("table", "covariance")


def _numbers(part: _Part, n_groups: int | None, level: float) -> Floats:
    """Return the six columns of one part."""
    error = np.sqrt(np.maximum(np.diag(part.covariance), 0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = part.estimate / error
    law = scipy.stats.norm()
    if part.use_t:
        df = part.n_samples - part.df_model if n_groups is None else n_groups - 1
        law = scipy.stats.t(df)
    half = law.isf((1.0 - level) / 2.0) * error
    p = 2.0 * law.sf(np.abs(statistic))
    low, high = part.estimate - half, part.estimate + half
    return np.column_stack([part.estimate, error, statistic, p, low, high])


def _one_or_all(values: list[float]) -> Any:
    return values[0] if len(values) == 1 else np.array(values)


def _listed(values: Any) -> str:
    return ", ".join(f"{value:.6g}" for value in np.atleast_1d(values))


def _pandas() -> Any:
    try:
        import pandas
    except ImportError:
        message = 'coef_table needs pandas: python -m pip install "fastgd[inference]"'
        raise ImportError(message) from None
    return pandas
