"""LogisticRegression and SoftmaxRegression."""

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from sklearn.utils._param_validation import Hidden, Interval, StrOptions
from sklearn.utils.extmath import softmax
from sklearn.utils.validation import check_is_fitted

from fastgd._data.constant_column import with_constant, without_constant
from fastgd._data.parts import by_parts, is_in_parts
from fastgd._data.shards import Shards
from fastgd._data.validation import check_X_y, fit_context, in_dtype, inverse_strength
from fastgd._monitoring.undo import or_as_before
from fastgd._monitoring.watching import Given, SolvingWatch, watched
from fastgd._runtime.threads import threads
from fastgd._solvers._on_device import shards_for
from fastgd._solvers._sharded import ShardedTask, penalising_intercept
from fastgd._solvers._task import Solution, State, Task, dtype_of
from fastgd.kernels.losses import LogLoss, Softmax
from fastgd.linear_model._classification import SolvedClassifier, refuse_one_class
from fastgd.linear_model._parameters import check_number_of_classes, logistic_strength
from fastgd.linear_model._solved import FLOATS, SolvedModel, solver_names


class LogisticRegression(SolvedClassifier):
    """Logistic regression, softmax beyond two classes, without a learning rate.

    Minimises  C * sum_i s_i loss(y_i, x_i w + b) + l1_ratio |w|_1 + (1 - l1_ratio)/2 |w|^2

    with the logistic loss for two classes and the cross-entropy of a softmax for more; the
    intercept is not penalised, but with ``solver="liblinear"``. Objective and arguments are
    scikit-learn's, and so are the defaults but for ``solver`` and ``max_iter``. Columns need not be
    scaled: solvers work on standardised columns, and ``coef_`` is in the user's units.

    Parameters
    ----------
    penalty : {"l1", "l2", "elasticnet", None}, default="deprecated"
        As in scikit-learn, which deprecates it: use ``l1_ratio``, and ``C=np.inf`` for none.
    C : float, default=1.0
        Inverse strength of the penalty, > 0; ``np.inf`` for no penalty.
    l1_ratio : float, default=0.0
        Share of l1 in the penalty, in [0, 1]; l1 gives exact zeros.
    dual : bool, default=False
        Not needed: the solver is chosen by the data. True is accepted where it is in scikit-learn,
        and with "auto" and "sdca".
    tol : float, default=1e-4
        Largest relative suboptimality, (F - F*) / F; a fit that is not shown to be within it warns.
        Small problems (n_samples * n_features up to 1e5) are finished to rounding.
    fit_intercept : bool, default=True
    intercept_scaling : float, default=1
        With ``solver="liblinear"``: the larger, the less the intercept is penalised.
    class_weight : dict or "balanced", default=None
        Factors of the sample weights, by class.
    random_state : int, RandomState instance or None, default=None
        Seeds samples and the order of rows; None is a fixed seed.
    solver : {"auto", "gd", "saga", "sdca"}, default="auto"
        Full-batch descent in a metric, mini-batch SAGA, dual coordinate ascent. "lbfgs",
        "liblinear", "newton-cg", "newton-cholesky" and "sag" are accepted, mean "auto", and are
        refused with the penalties that they do not have in scikit-learn. Under "liblinear", as
        there, the intercept is the coefficient of a constant column ``intercept_scaling`` and is
        penalised with the others, more than two classes are refused, and there is no warm start.
    max_iter : int, default=1000
        Passes over the data at most.
    verbose : int, default=0
        1 shows a bar over the passes, 2 or more writes a line for each through ``logging``.
    warm_start : bool, default=False
        Start from the last fit's coefficients.
    n_jobs : int or None, default=None
        Threads for passes over X; results do not depend on it. None: one job, on as many threads as
        the environment allows (docs/performance.md).
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
    intercept_ : ndarray of shape (1,) or (n_classes,)
    n_iter_ : ndarray of shape (1,)
        Passes over the data.
    objective_ : float
        What is minimised, divided by C * sum_i s_i: the mean loss and its penalty.
    gap_ : float
        A proven bound of ``objective_`` minus the optimum; inf where nothing proves one (no
        penalty, or a loss that is not convex).
    solver_ : str
        The solver that found the solution.
    history_ : dict of str to list
        One entry a pass.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from fastgd import LogisticRegression
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = LogisticRegression().fit(X, y)
    >>> round(float(model.score(X, y)), 3)
    0.958
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **SolvedModel._parameter_constraints,
        "penalty": [
            StrOptions({"l1", "l2", "elasticnet"}),
            None,
            Hidden(StrOptions({"deprecated"})),
        ],
        "C": [Interval(Real, 0, None, closed="right")],
        "l1_ratio": [Interval(Real, 0, 1, closed="both"), None],
        "dual": ["boolean"],
        "solver": solver_names("lbfgs", "liblinear", "newton-cg", "newton-cholesky", "sag"),
        "max_iter": [Interval(Integral, 0, None, closed="left")],
        "intercept_scaling": [Interval(Real, 0, None, closed="neither")],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "n_jobs": [None, Integral],
    }

    def __init__(
        self,
        penalty: Any = "deprecated",
        *,
        C: float = 1.0,
        l1_ratio: float | None = 0.0,
        dual: bool = False,
        tol: float = 1e-4,
        fit_intercept: bool = True,
        intercept_scaling: float = 1,
        class_weight: Any = None,
        random_state: Any = None,
        solver: str = "auto",
        max_iter: int = 1000,
        verbose: int = 0,
        warm_start: bool = False,
        n_jobs: int | None = None,
        callbacks: Any = None,
        device: str = "auto",
    ) -> None:
        self.penalty = penalty
        self.C = C
        self.l1_ratio = l1_ratio
        self.dual = dual
        self.tol = tol
        self.fit_intercept = fit_intercept
        self.intercept_scaling = intercept_scaling
        self.class_weight = class_weight
        self.random_state = random_state
        self.solver = solver
        self.max_iter = max_iter
        self.verbose = verbose
        self.warm_start = warm_start
        self.n_jobs = n_jobs
        self.callbacks = callbacks
        self.device = device

    @fit_context
    def fit(
        self, X: Any, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> "LogisticRegression":
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features), or rows in parts
            float32 and float64 in C order, and CSR, are used without a copy. Rows that do not fit
            into memory: what ``fastgd.datasets.open`` returns, or a collection of Dask's.
        y : array-like of shape (n_samples,)
            Labels; a collection where X is one, None where X holds them.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows; none means 1 each.

        Returns
        -------
        self : LogisticRegression

        Raises
        ------
        ValueError
            If X or y do not fit each other or hold what is no number, if y has one class only, or
            if a parameter is unknown or contradicts another one. The model is left as it was.
        """
        C, l1_ratio = logistic_strength(self)
        shards = shards_for(self, X, y, sample_weight)
        if shards is not None:
            self._fit_shards(shards, C, l1_ratio)
            return self
        with (
            watched(SolvingWatch, self) as watch,
            or_as_before(self),
            threads(self.n_jobs),
            self._on_device(X),
        ):
            X, y = check_X_y(self, X, y, reset=True, dtype=FLOATS)
            classes, codes = self._check_labels(y)
            check_number_of_classes(self.solver, classes.shape[0])
            weight = self._weight_of_rows(sample_weight, X, y, classes, codes)
            mass = weight.sum(dtype=np.float64) if weight.shape[0] > 0 else X.shape[0]
            strength = inverse_strength(C, float(mass))
            penalty = (l1_ratio * strength, (1.0 - l1_ratio) * strength)
            dtype, start = X.dtype, self._start()

            def write(model: LogisticRegression, found: list[Solution]) -> None:
                model.classes_ = classes
                model._take(found[0], dtype)

            watch.begin_solving(Given(X, y, sample_weight), write)
            found = [self._solve(self._problem(X, codes, weight, classes, penalty), start)]
            write(self, found)
            self._report(found)
        return self

    def _fit_shards(self, shards: Shards, C: float, l1_ratio: float) -> None:
        """Fit to rows in parts."""
        with watched(SolvingWatch, self) as watch, or_as_before(self), threads(self.n_jobs):
            seen, kind = self._look(shards, classifies=True)
            classes = seen.classes
            refuse_one_class(classes)
            check_number_of_classes(self.solver, classes.shape[0])
            factors = self._class_factors(classes, classes, seen.masses)
            mass = float(seen.masses @ factors)
            strength = inverse_strength(C, mass)
            l1, l2 = self._penalty_solved(
                classes, (l1_ratio * strength, (1.0 - l1_ratio) * strength)
            )
            loss = LogLoss() if classes.shape[0] == 2 else Softmax()
            of_rows = shards, seen, kind, classes, factors, mass
            task = ShardedTask(*of_rows, loss, l1, l2, bool(self.fit_intercept))
            if self._penalises_intercept():
                task = penalising_intercept(task, float(self.intercept_scaling))

            def write(model: LogisticRegression, found: list[Solution]) -> None:
                model.classes_ = classes
                model._take(found[0], seen.dtype)

            watch.begin_solving(Given(shards, None, None), write)
            found = [self._solve_shards(task)]
            write(self, found)
            self._report(found)

    def _lacks_on_cuda(self, X: Any) -> str | None:
        if self._penalises_intercept() and is_in_parts(X):
            return "solver='liblinear' of data in parts"
        return super()._lacks_on_cuda(X)

    def _needs_rows(self) -> bool:
        return self._penalises_intercept() or super()._needs_rows()

    def _penalises_intercept(self) -> bool:
        """Tell whether the intercept is a coefficient, as it is in liblinear."""
        return self.solver == "liblinear" and bool(self.fit_intercept)

    def _task(self, X: Any, *args: Any, **more: Any) -> Task:
        if self._penalises_intercept():
            X = with_constant(X, float(self.intercept_scaling))
            more["fit_intercept"] = False
        return super()._task(X, *args, **more)

    def _start(self) -> Any:
        return None if self._penalises_intercept() else super()._start()

    def _problem(
        self,
        X: Any,
        codes: NDArray[np.int32],
        weight: NDArray[Any],
        classes: NDArray[Any],
        penalty: tuple[float, float],
    ) -> Task:
        """Return what to minimise."""
        penalty = self._penalty_solved(classes, penalty)
        if classes.shape[0] == 2:
            return self._task(X, codes, weight, LogLoss(), penalty)
        return self._task(X, codes, weight, Softmax(), penalty, n_outputs=classes.shape[0])

    def _penalty_solved(
        self,
        classes: NDArray[Any],  # noqa: ARG002
        penalty: tuple[float, float],
    ) -> tuple[float, float]:
        """Return (l1, l2) of the coefficients that are solved for."""
        return penalty

    def _split(self, found: Any) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return coefficients (K, n_features) and intercepts (K,) of what was solved for."""
        coef, intercept = np.atleast_2d(found.coef), np.atleast_1d(found.intercept)
        if self._penalises_intercept():
            coef, intercept = without_constant(coef, float(self.intercept_scaling))
        return coef, intercept

    def _take(self, solution: Solution, dtype: Any) -> None:
        """Set the fitted parameters."""
        coef, intercept = self._split(solution)
        dtype = dtype_of([solution], dtype)
        self.coef_ = np.ascontiguousarray(in_dtype(coef, dtype))
        self.intercept_ = in_dtype(intercept, dtype)
        self.n_iter_ = np.array([solution.n_iter], np.int32)
        self._remember(solution)

    @by_parts
    def predict_proba(self, X: Any) -> NDArray[Any]:
        """Return the probability of each class.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            In the order of ``classes_``.
        """
        check_is_fitted(self)
        raw = self.decision_function(X)
        if raw.ndim == 2:
            return softmax(raw, copy=False)
        return np.column_stack([expit(-raw), expit(raw)])

    @by_parts
    def predict_log_proba(self, X: Any) -> NDArray[Any]:
        """Return the logarithm of ``predict_proba``, which does not underflow.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        check_is_fitted(self)
        raw = self.decision_function(X)
        if raw.ndim == 1:
            return -np.column_stack([np.logaddexp(0.0, raw), np.logaddexp(0.0, -raw)])
        raw -= raw.max(axis=1, keepdims=True)
        return raw - np.log(np.exp(raw).sum(axis=1, keepdims=True))


class SoftmaxRegression(LogisticRegression):
    """Softmax regression: one vector of coefficients a class, for two classes as well.

    Minimises  C * sum_i s_i (log sum_k e^raw_ik - raw_i,y_i) + l1_ratio |W|_1
    + (1 - l1_ratio)/2 |W|^2,  raw_i = W x_i + b. Parameters and attributes are those of
    ``LogisticRegression``, from which it differs for two classes only: there ``coef_`` has two
    rows, and the penalty counts both.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from fastgd import SoftmaxRegression
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> SoftmaxRegression().fit(X, y).coef_.shape
    (2, 30)
    """

    def _penalty_solved(
        self, classes: NDArray[Any], penalty: tuple[float, float]
    ) -> tuple[float, float]:
        # Of two classes only w = w_1 - w_0 matters, and half of it each is the cheapest way to
        # have it: |w/2|^2 twice is |w|^2 / 2, |w/2|_1 twice is |w|_1.
        return (penalty[0], 0.5 * penalty[1]) if classes.shape[0] == 2 else penalty

    def _take(self, solution: Solution, dtype: Any) -> None:
        if solution.coef.ndim == 1:
            half, b = 0.5 * solution.coef, 0.5 * solution.intercept
            halves = np.stack([-half, half]), np.array([-b, b])
            solution = solution._replace(coef=halves[0], intercept=halves[1])
        super()._take(solution, dtype)

    def _start(self) -> Any:
        start = super()._start()
        if isinstance(start, State) and self.classes_.shape[0] == 2:
            return State(*(np.diff(part, axis=0)[0] for part in start))
        return start

    @by_parts
    def decision_function(self, X: Any) -> NDArray[Any]:
        """Return the raw predictions.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,) for two classes (of the second minus of the first), else
        (n_samples, n_classes)
        """
        raw = super().decision_function(X)
        return raw[:, 1] - raw[:, 0] if raw.shape[1] == 2 else raw
