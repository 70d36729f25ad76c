"""LinearSVC and LinearSVR: support vector machines, as liblinear poses them."""

from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils._param_validation import Interval, StrOptions

from fastgd._data.constant_column import with_constant, without_constant
from fastgd._data.parts import refuse_all_rows
from fastgd._data.shards import Shards
from fastgd._data.validation import check_X_y, fit_context, in_dtype, inverse_strength
from fastgd._monitoring.undo import or_as_before
from fastgd._monitoring.watching import Given, SolvingWatch, watched
from fastgd._solvers._crammer_singer import crammer_singer, objective_of_classes
from fastgd._solvers._on_device import shards_for
from fastgd._solvers._shard_sums import Kind, Look
from fastgd._solvers._sharded import ShardedTask, penalising_intercept
from fastgd._solvers._task import Options, Solution, State, Task, dtype_of
from fastgd.kernels.losses import (
    EpsilonInsensitive,
    Hinge,
    SquaredEpsilonInsensitive,
    SquaredHinge,
)
from fastgd.linear_model._classification import (
    SolvedClassifier,
    refuse_nothing_left,
    refuse_one_class,
)
from fastgd.linear_model._parameters import check_dual
from fastgd.linear_model._solved import FLOATS, SolvedModel
from fastgd.linear_model._solved_regressor import SolvedRegressor

CONSTRAINTS = SolvedModel._parameter_constraints
SHARED: dict[str, list[Any]] = {
    **{
        name: CONSTRAINTS[name]
        for name in (
            "tol",
            "fit_intercept",
            "solver",
            "random_state",
            "verbose",
            "callbacks",
            "device",
        )
    },
    "C": [Interval(Real, 0.0, None, closed="neither")],
    "intercept_scaling": [Interval(Real, 0, None, closed="neither")],
    "dual": ["boolean", StrOptions({"auto"})],
    "max_iter": [Interval(Integral, 0, None, closed="left")],
}


class _WithPenalisedIntercept(SolvedModel):
    """What both have in common: the intercept is the coefficient of a constant column."""

    def _extended(self, X: Any) -> Any:
        return with_constant(X, float(self.intercept_scaling)) if self.fit_intercept else X

    def _split(self, coef: NDArray[Any]) -> tuple[NDArray[Any], Any]:
        """Return coefficients and intercepts of coefficients (..., n_features + 1)."""
        if not self.fit_intercept:
            return coef, 0.0
        return without_constant(coef, float(self.intercept_scaling))

    def _penalty(self, mass: float, kind: str = "l2") -> tuple[float, float]:
        """Return (l1, l2) of the mean loss."""
        strength = inverse_strength(float(self.C), mass)
        return (strength, 0.0) if kind == "l1" else (0.0, strength)


class LinearSVC(SolvedClassifier, _WithPenalisedIntercept):
    """Linear support vector classification, one-vs-rest beyond two classes.

    Minimises  1/2 |w|^2 + C sum_i s_i loss(y_i, x_i w + b)  (|w|_1 in place of |w|^2 / 2 for
    ``penalty="l1"``), for each class against the rest. As in liblinear, the intercept is the
    coefficient of a constant column ``intercept_scaling`` and is penalised with the others.

    ``multi_class="crammer_singer"`` minimises 1/2 sum_k |w_k|^2 + C sum_i s_i max_k (1[k != y_i] +
    w_k x_i - w_{y_i} x_i) of all classes together [1]_; ``penalty``, ``loss`` and ``dual`` are
    ignored then, as in scikit-learn.

    Parameters
    ----------
    penalty : {"l1", "l2"}, default="l2"
    loss : {"hinge", "squared_hinge"}, default="squared_hinge"
    dual : "auto" or bool, default="auto"
        Not needed: the solver is chosen by the data. A bool is accepted where liblinear has a
        solver for it, as in scikit-learn.
    tol : float, default=1e-4
        Largest relative suboptimality, (F - F*) / F; a fit that is not shown to be within it warns.
        Small problems (n_samples * n_features up to 1e5) are finished to rounding.
    C : float, default=1.0
        Inverse strength of the penalty, > 0.
    multi_class : {"ovr", "crammer_singer"}, default="ovr"
        Each class against the rest, or all together.
    fit_intercept : bool, default=True
    intercept_scaling : float, default=1.0
        The larger, the less the intercept is penalised.
    class_weight : dict or "balanced", default=None
        Factors of C, by class; for more than two classes they multiply the rows of the class
        itself, not those of the rest, as in liblinear.
    verbose : int, default=0
        1 shows a bar over the passes, 2 or more writes a line for each through ``logging``.
    random_state : int, RandomState instance or None, default=None
        Seeds the order of rows; None is a fixed seed.
    max_iter : int, default=1000
        Passes over the data at most.
    solver : {"auto", "gd", "saga", "sdca"}, default="auto"
    callbacks : list or None, default=None
        What is done after each pass: objects of ``fastgd.callbacks``, or functions of a view of
        the fit (docs/watching.md).
    device : {"auto", "cpu", "cuda"}, default="auto"
        Where the model is fitted and predicts (docs/gpu.md). "auto": where X lies, so that NumPy's
        arrays stay on the processor; "cuda" sends them to the device.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    coef_ : ndarray of shape (1, n_features) or (n_classes, n_features), in the dtype of X
    intercept_ : ndarray of shape (1,) or (n_classes,); 0.0 without an intercept
    n_iter_ : int
        The most passes that a class needed.
    objective_ : float or ndarray of shape (n_classes,)
        What is minimised, divided by C * sum_i s_i.
    gap_ : float or ndarray of shape (n_classes,)
        A proven bound of ``objective_`` minus the optimum; inf where nothing proves one (no
        penalty, or a loss that is not convex).
    solver_ : str
    history_ : dict of str to list, or a list of them
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)

    References
    ----------
    .. [1] Crammer & Singer, "On the algorithmic implementation of multiclass kernel-based vector
       machines", 2001.
    """

    _parts_on_host = True

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **SHARED,
        "penalty": [StrOptions({"l1", "l2"})],
        "loss": [StrOptions({"hinge", "squared_hinge"})],
        "multi_class": [StrOptions({"ovr", "crammer_singer"})],
        "class_weight": [None, dict, StrOptions({"balanced"})],
    }

    def __init__(
        self,
        penalty: str = "l2",
        loss: str = "squared_hinge",
        *,
        dual: Any = "auto",
        tol: float = 1e-4,
        C: float = 1.0,
        multi_class: str = "ovr",
        fit_intercept: bool = True,
        intercept_scaling: float = 1,
        class_weight: Any = None,
        verbose: int = 0,
        random_state: Any = None,
        max_iter: int = 1000,
        solver: str = "auto",
        callbacks: Any = None,
        device: str = "auto",
    ) -> None:
        self.penalty = penalty
        self.loss = loss
        self.dual = dual
        self.tol = tol
        self.C = C
        self.multi_class = multi_class
        self.fit_intercept = fit_intercept
        self.intercept_scaling = intercept_scaling
        self.class_weight = class_weight
        self.verbose = verbose
        self.random_state = random_state
        self.max_iter = max_iter
        self.solver = solver
        self.callbacks = callbacks
        self.device = device

    @fit_context
    def fit(
        self, X: Any, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> "LinearSVC":
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features), or rows in parts
            Rows in parts are what ``fastgd.datasets.open`` returns, or a collection of Dask's.
        y : array-like of shape (n_samples,)
            Labels; a collection where X is one, None where X holds them.
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        self : LinearSVC

        Raises
        ------
        ValueError
            If ``dual`` is a bool for which liblinear has no solver of this penalty and loss, if y
            has one class only, or if ``solver`` is "saga" with ``multi_class="crammer_singer"``.
            If rows in parts are to be fitted with ``multi_class="crammer_singer"``, which needs
            all of them.
        """
        if self._is_together():
            self._refuse_other_solvers()
        else:
            check_dual(self.penalty, self.loss, self.dual)
        shards = shards_for(self, X, y, sample_weight)
        if shards is not None:
            self._fit_shards(shards)
            return self
        with watched(SolvingWatch, self) as watch, or_as_before(self), self._on_device(X):
            X, y = check_X_y(self, X, y, reset=True, dtype=FLOATS)
            classes, codes = self._check_labels(y)
            tasks, dtype = self._tasks(X, y, sample_weight, classes, codes), X.dtype

            def write(model: LinearSVC, found: list[Solution]) -> None:
                model.classes_ = classes
                model._take(found, dtype)

            watch.begin_solving(Given(X, y, sample_weight), write, len(tasks))
            found = self._solve_each(tasks, [None] * len(tasks))
            write(self, found)
            self._report(found)
        return self

    def _lacks_on_cuda(self, X: Any) -> str | None:
        if self._is_together():
            return "multi_class='crammer_singer', whose solver looks at one row after the other"
        return super()._lacks_on_cuda(X)

    def _fit_shards(self, shards: Shards) -> None:
        """Fit to rows in parts, each class against the rest."""
        if self._is_together():
            refuse_all_rows("multi_class='crammer_singer'", "multi_class='ovr'")
        with watched(SolvingWatch, self) as watch, or_as_before(self):
            seen, kind = self._look(shards, classifies=True)
            classes = seen.classes
            refuse_one_class(classes)
            factors = self._class_factors(classes, classes, seen.masses)
            numbers = [1] if classes.shape[0] == 2 else range(classes.shape[0])
            tasks = [self._shards_of_class(shards, seen, kind, factors, k) for k in numbers]

            def write(model: LinearSVC, found: list[Solution]) -> None:
                model.classes_ = classes
                model._take(found, seen.dtype)

            watch.begin_solving(Given(shards, None, None), write, len(tasks))
            found = self._solve_all_shards(tasks)
            write(self, found)
            self._report(found)

    def _shards_of_class(
        self, shards: Shards, seen: Look, kind: Kind, factors: NDArray[Any], k: int
    ) -> ShardedTask:
        """Return the task of one class against the rest, of rows in parts."""
        if factors.shape[0] > 2:
            factors = np.where(np.arange(factors.shape[0]) == k, factors, 1.0)
        mass = float(seen.masses @ factors)
        refuse_nothing_left(seen.masses * factors)
        of_rows = shards, seen, kind, seen.classes, factors, mass
        penalty = self._penalty(mass, self.penalty)
        task = ShardedTask(*of_rows, self._loss(), *penalty, fit_intercept=False, own_class=k)
        if self.fit_intercept:
            task = penalising_intercept(task, float(self.intercept_scaling))
        return task

    def _is_together(self) -> bool:
        """Tell whether all classes have one loss."""
        return bool(self.multi_class == "crammer_singer")

    def _refuse_other_solvers(self) -> None:
        if self.solver == "saga":
            raise ValueError(
                "solver='saga' needs a smooth loss, which that of multi_class='crammer_singer' is "
                "not; use solver='auto'."
            )

    def _tasks(
        self,
        X: Any,
        y: NDArray[Any],
        sample_weight: Any,
        classes: NDArray[Any],
        codes: NDArray[np.int32],
    ) -> list[Any]:
        """Return what makes each task: of all classes together, or of each against the rest."""
        wide = self._extended(X)
        if self._is_together():
            weight = self._weight_of_rows(sample_weight, X, y, classes, codes)
            return [partial(self._of_all_classes, wide, codes, weight, classes.shape[0])]
        weight = self._check_weight(sample_weight, X)
        factors = self._class_factors(y, classes, weight)
        numbers = [1] if classes.shape[0] == 2 else range(classes.shape[0])
        of = partial(self._one_vs_rest, wide, codes, weight, factors)
        return [partial(of, k) for k in numbers]

    def _of_all_classes(
        self, X: Any, codes: NDArray[np.int32], weight: NDArray[Any], n_classes: int
    ) -> Task:
        """Return the task of all classes, whose loss the solver knows."""
        mass = float(weight.sum()) if weight.shape[0] > 0 else float(X.shape[0])
        more: dict[str, Any] = {"n_outputs": n_classes, "fit_intercept": False}
        return self._task(X, codes, weight, None, self._penalty(mass), **more)

    def _solve(self, task: Task, start: Any = None, options: Options | None = None) -> Solution:
        if not self._is_together():
            return super()._solve(task, start, options)
        options = self._options() if options is None else options
        method = {"auto": None, "gd": "gd", "sdca": "sdca"}[self.solver]
        found = self._watch.finished(crammer_singer(task, options, method))
        coef = np.asarray(in_dtype(found.coef, task.dtype), np.float64)
        objective = objective_of_classes(task, coef)
        above = max(objective - found.objective, 0.0)
        far, gap = found.suboptimality + above, found.gap + above
        if found.converged and far > max(found.suboptimality, options.tol * abs(objective)):
            return found._replace(in_float64=True)
        return found._replace(objective=objective, gap=gap, suboptimality=far)

    def _one_vs_rest(
        self,
        X: Any,
        codes: NDArray[np.int32],
        weight: NDArray[Any],
        factors: NDArray[Any],
        k: int,
    ) -> Task:
        """Return the task of one class against the rest."""
        positive = codes == k
        rest = factors[0] if factors.shape[0] == 2 else 1.0
        if factors[k] != 1.0 or rest != 1.0:
            own = np.where(positive, factors[k], rest)
            weight = own if weight.shape[0] == 0 else own * weight
            refuse_nothing_left(weight)
        mass = float(weight.sum()) if weight.shape[0] > 0 else float(X.shape[0])
        y, penalty = np.where(positive, 1.0, -1.0), self._penalty(mass, self.penalty)
        return self._task(X, y, weight, self._loss(), penalty, fit_intercept=False)

    def _loss(self) -> Any:
        """Return the loss of one class against the rest."""
        return Hinge(1.0) if self.loss == "hinge" else SquaredHinge()

    def _take(self, found: list[Solution], dtype: Any) -> None:
        """Set the fitted parameters."""
        coef, intercept = self._split(np.vstack([solution.coef for solution in found]))
        if coef.shape[0] == 2:  # all classes together: of two, as of two classes elsewhere
            coef = np.diff(coef, axis=0)
            intercept = np.diff(intercept) if self.fit_intercept else intercept
        dtype = dtype_of(found, dtype)
        self.coef_ = np.ascontiguousarray(in_dtype(coef, dtype))
        self.intercept_ = in_dtype(intercept, dtype) if self.fit_intercept else 0.0
        self.n_iter_ = max(solution.n_iter for solution in found)


class LinearSVR(SolvedRegressor, _WithPenalisedIntercept):
    """Linear support vector regression.

    Minimises  1/2 |w|^2 + C sum_i s_i loss(y_i, x_i w + b). As in liblinear, the intercept is the
    coefficient of a constant column ``intercept_scaling`` and is penalised with the others.

    Parameters
    ----------
    epsilon : float, default=0.0
        Half the width of the tube within which a prediction costs nothing, >= 0.
    tol : float, default=1e-4
        Largest relative suboptimality, (F - F*) / F; a fit that is not shown to be within it warns.
        Small problems (n_samples * n_features up to 1e5) are finished to rounding.
    C : float, default=1.0
        Inverse strength of the penalty, > 0.
    loss : {"epsilon_insensitive", "squared_epsilon_insensitive"}, default="epsilon_insensitive"
    fit_intercept : bool, default=True
    intercept_scaling : float, default=1.0
        The larger, the less the intercept is penalised.
    dual : "auto" or bool, default="auto"
        Not needed: the solver is chosen by the data. A bool is accepted where liblinear has a
        solver for it, as in scikit-learn.
    verbose : int, default=0
        1 shows a bar over the passes, 2 or more writes a line for each through ``logging``.
    random_state : int, RandomState instance or None, default=None
        Seeds the order of rows; None is a fixed seed.
    max_iter : int, default=1000
        Passes over the data at most.
    solver : {"auto", "gd", "saga", "sdca"}, default="auto"
    callbacks : list or None, default=None
        What is done after each pass: objects of ``fastgd.callbacks``, or functions of a view of
        the fit (docs/watching.md).
    device : {"auto", "cpu", "cuda"}, default="auto"
        Where the model is fitted and predicts (docs/gpu.md). "auto": where X lies, so that NumPy's
        arrays stay on the processor; "cuda" sends them to the device.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,), in the dtype of X
    intercept_ : ndarray of shape (1,); 0.0 without an intercept
    n_iter_ : int
    objective_ : float
        What is minimised, divided by C * sum_i s_i.
    gap_ : float
        A proven bound of ``objective_`` minus the optimum; inf where nothing proves one (no
        penalty, or a loss that is not convex).
    solver_ : str
    history_ : dict of str to list
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)
    """

    _parts_on_host = True

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **SHARED,
        "epsilon": [Interval(Real, 0, None, closed="left")],
        "loss": [StrOptions({"epsilon_insensitive", "squared_epsilon_insensitive"})],
    }

    def __init__(
        self,
        *,
        epsilon: float = 0.0,
        tol: float = 1e-4,
        C: float = 1.0,
        loss: str = "epsilon_insensitive",
        fit_intercept: bool = True,
        intercept_scaling: float = 1.0,
        dual: Any = "auto",
        verbose: int = 0,
        random_state: Any = None,
        max_iter: int = 1000,
        solver: str = "auto",
        callbacks: Any = None,
        device: str = "auto",
    ) -> None:
        self.epsilon = epsilon
        self.tol = tol
        self.C = C
        self.loss = loss
        self.fit_intercept = fit_intercept
        self.intercept_scaling = intercept_scaling
        self.dual = dual
        self.verbose = verbose
        self.random_state = random_state
        self.max_iter = max_iter
        self.solver = solver
        self.callbacks = callbacks
        self.device = device

    @fit_context
    def fit(
        self, X: Any, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> "LinearSVR":
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features), or rows in parts
            Rows in parts are what ``fastgd.datasets.open`` returns, or a collection of Dask's.
        y : array-like of shape (n_samples,)
            A collection where X is one, None where X holds the targets.
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        self : LinearSVR

        Raises
        ------
        ValueError
            If ``dual`` is a bool for which liblinear has no solver of this loss.
        """
        check_dual("l2", self.loss, self.dual)
        is_squared = self.loss == "squared_epsilon_insensitive"
        epsilon = float(self.epsilon)
        loss = SquaredEpsilonInsensitive(epsilon) if is_squared else EpsilonInsensitive(epsilon)
        shards = shards_for(self, X, y, sample_weight)
        if shards is not None:
            self._fit_parts(shards, loss)
            return self
        with watched(SolvingWatch, self) as watch, or_as_before(self), self._on_device(X):
            X, y, weight = self._check(X, y, sample_weight)
            mass = float(weight.sum()) if weight.shape[0] > 0 else float(X.shape[0])
            penalty = self._penalty(mass)
            task = self._task(self._extended(X), y, weight, loss, penalty, fit_intercept=False)
            dtype = X.dtype

            def write(model: LinearSVR, found: list[Solution]) -> None:
                model._take([model._own(found[0])], dtype, many=False)

            watch.begin_solving(Given(X, y, sample_weight), write)
            found = [self._solve(task)]
            write(self, found)
            self._report(found)
        return self

    def _fit_parts(self, shards: Shards, loss: Any) -> None:
        """Fit to rows in parts."""
        constant = float(self.intercept_scaling) if self.fit_intercept else 0.0
        with watched(SolvingWatch, self), or_as_before(self):
            self._fit_shards(shards, loss, self._penalty, constant)

    def _own(self, solution: Solution) -> Solution:
        coef, intercept = self._split(solution.coef)
        return solution._replace(coef=coef, intercept=intercept, state=State(coef, intercept))

    def _shaped_intercept(self, intercept: NDArray[Any], *, many: bool) -> Any:  # noqa: ARG002
        return intercept if self.fit_intercept else 0.0
