"""To scikit-learn: fitted estimators of its own, for tools that know those only."""

from typing import Any

import numpy as np
from sklearn import linear_model, svm
from sklearn.base import BaseEstimator
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils.validation import check_is_fitted

from fastgd._data.targets import Multiclass, Multilabel
from fastgd.base import BaseSGD
from fastgd.kernels.losses import LOG, LOGIT, link_of
from fastgd.linear_model import (
    PassiveAggressiveClassifier,
    PassiveAggressiveRegressor,
    Perceptron,
    SGDClassifier,
    SGDOneClassSVM,
    SGDRegressor,
)
from fastgd.linear_model._paths import PathModel
from fastgd.linear_model._ridge_cv import BaseRidgeCV
from fastgd.linear_model._solved import SolvedModel
from fastgd.neural_network._base import BaseNetwork
from fastgd.neural_network._export import converted

OURS = (BaseSGD, SolvedModel, BaseRidgeCV, PathModel, BaseNetwork)
CARRIED = (
    *("coef_", "intercept_", "offset_", "classes_", "scale_", "outliers_", "alpha_", "best_score_"),
    *("alphas_", "l1_ratio_", "mse_path_", "dual_gap_", "eps_"),
    *("n_iter_", "t_", "n_features_in_", "feature_names_in_", "_label_binarizer"),
)


def to_sklearn(estimator: Any) -> Any:
    """Return a fitted scikit-learn estimator that predicts what a fitted estimator of ours does.

    It is scikit-learn's class of the same name where that has the same predictions; a softmax
    becomes a ``LogisticRegression``, a table of labels a ``OneVsRestClassifier``, a regression
    with a log link a ``PoissonRegressor``, and one under a loss that scikit-learn lacks a
    ``LinearRegression``. So tools that know scikit-learn's estimators (ONNX converters, SHAP, model
    cards) work. It may be fitted anew under the
    parameters that both have, but not resumed.

    Parameters
    ----------
    estimator : estimator of fastgd, or a Pipeline
        Fitted. Of a pipeline, all steps that are fastgd's are replaced, in a new pipeline.

    Returns
    -------
    estimator : estimator of scikit-learn, fitted
        It shares no array with the original.

    Raises
    ------
    TypeError
        If it is neither, or a network of layers that scikit-learn's networks do not have.
    sklearn.exceptions.NotFittedError
        If it has not been fitted.

    Examples
    --------
    >>> import numpy as np
    >>> from fastgd import SGDClassifier, to_sklearn
    >>> X, y = np.array([[0.0], [1.0], [2.0], [3.0]]), [0, 0, 1, 1]
    >>> to_sklearn(SGDClassifier(random_state=0, max_iter=50, tol=None).fit(X, y))
    SGDClassifier(max_iter=50, random_state=0, tol=None)
    """
    if isinstance(estimator, Pipeline):
        steps = [(name, _converted_step(step)) for name, step in estimator.steps]
        return Pipeline(**{**estimator.get_params(deep=False), "steps": steps})
    if not isinstance(estimator, OURS):
        raise TypeError(
            "to_sklearn takes an estimator of fastgd or a Pipeline, got "
            f"{type(estimator).__name__}."
        )
    check_is_fitted(estimator)
    return _converted(estimator)


def _converted_step(step: Any) -> Any:
    """Return the step of a pipeline; a transformer is taken over as it is."""
    return to_sklearn(step) if isinstance(step, (*OURS, Pipeline)) else step


def _converted(estimator: Any) -> Any:
    if isinstance(estimator, BaseNetwork):
        return converted(estimator)
    if isinstance(estimator, SGDClassifier):
        return _classifier(estimator)
    if isinstance(estimator, SGDRegressor):
        return _regressor(estimator)
    if isinstance(estimator, SGDOneClassSVM):
        return _filled(_with_params(linear_model.SGDOneClassSVM, estimator), estimator)
    kind = getattr(linear_model, type(estimator).__name__, None)
    kind = kind or getattr(svm, type(estimator).__name__, linear_model.LogisticRegression)
    theirs = _filled(_with_params(kind, estimator), estimator)
    if hasattr(theirs, "_get_loss"):
        # the link by which generalised linear models predict
        theirs._base_loss = theirs._get_loss()
    return theirs


def _classifier(estimator: SGDClassifier) -> Any:
    targets = estimator._targets()
    if isinstance(targets, Multiclass):
        return _filled(linear_model.LogisticRegression(C=np.inf), estimator)
    if isinstance(targets, Multilabel):
        return _one_for_each_label(estimator)
    return _filled(_binary(estimator), estimator)


def _binary(estimator: SGDClassifier) -> Any:
    """Return scikit-learn's classifier, unfitted; focal loss has the sigmoid of log_loss."""
    if isinstance(estimator, Perceptron):
        return _with_params(linear_model.Perceptron, estimator)
    theirs = _with_params(linear_model.SGDClassifier, estimator)
    if isinstance(estimator, PassiveAggressiveClassifier):  # there, deprecated as a class
        return theirs.set_params(loss="hinge")
    has_sigmoid = link_of(estimator._loss_spec()) == LOGIT
    return theirs.set_params(loss="log_loss") if has_sigmoid else theirs


def _one_for_each_label(estimator: SGDClassifier) -> OneVsRestClassifier:
    theirs = OneVsRestClassifier(_binary(estimator))
    theirs.estimators_ = [
        _filled(
            _binary(estimator),
            estimator,
            coef_=estimator.coef_[k : k + 1].copy(),
            intercept_=estimator.intercept_[k : k + 1].copy(),
            classes_=np.array([0, 1]),
        )
        for k in range(estimator.coef_.shape[0])
    ]
    theirs.label_binarizer_ = LabelBinarizer(sparse_output=True)
    theirs.label_binarizer_.fit(np.eye(estimator.classes_.shape[0], dtype=int))
    return theirs


def _regressor(estimator: SGDRegressor) -> Any:
    is_log = link_of(estimator._loss_spec()) == LOG
    if is_log and estimator.coef_.ndim == 2:
        return _one_for_each_target(estimator)
    if is_log:
        return _log_linear(estimator, estimator.coef_.copy(), float(estimator.intercept_[0]))
    if isinstance(estimator, PassiveAggressiveRegressor) and estimator.coef_.ndim == 1:
        theirs = _with_params(linear_model.SGDRegressor, estimator)
        return _filled(theirs.set_params(loss="epsilon_insensitive"), estimator)
    known = linear_model.SGDRegressor.loss_functions
    if estimator.coef_.ndim == 1 and isinstance(estimator.loss, str) and estimator.loss in known:
        return _filled(_with_params(linear_model.SGDRegressor, estimator), estimator)
    return _filled(linear_model.LinearRegression(), estimator)


def _one_for_each_target(estimator: SGDRegressor) -> MultiOutputRegressor:
    theirs = MultiOutputRegressor(linear_model.PoissonRegressor())
    theirs.estimators_ = [
        _log_linear(estimator, coef.copy(), float(intercept))
        for coef, intercept in zip(estimator.coef_, estimator.intercept_, strict=True)
    ]
    return theirs


def _log_linear(estimator: SGDRegressor, coef: Any, intercept: float) -> Any:
    theirs = linear_model.PoissonRegressor()
    theirs._base_loss = theirs._get_loss()
    return _filled(theirs, estimator, coef_=coef, intercept_=intercept)


def _with_params(kind: type, estimator: Any) -> BaseEstimator:
    """Return an unfitted estimator with the parameters that both have, where it allows them."""
    theirs = kind()
    for name in theirs.get_params(deep=False):
        if not hasattr(estimator, name):
            continue
        before = getattr(theirs, name)
        theirs.set_params(**{name: getattr(estimator, name)})
        try:
            theirs._validate_params()
        except ValueError:  # a loss, solver or schedule of ours alone
            theirs.set_params(**{name: before})
    return theirs


def _filled(theirs: Any, estimator: Any, **instead: Any) -> Any:
    """Return an estimator with the fitted attributes of another, or with others in their place."""
    for name in CARRIED:
        value = instead.get(name, getattr(estimator, name, None))
        if value is not None:
            setattr(theirs, name, value.copy() if isinstance(value, np.ndarray) else value)
    return theirs
