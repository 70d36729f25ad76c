"""What scikit-learn's estimators minimise, as plain formulas of its documentation."""

import numpy as np


def objective(model, X, y, weight=None):
    """Return the objective of a fitted estimator of scikit-learn's."""
    weight = np.ones(X.shape[0]) if weight is None else weight
    weight = weight * class_weights(model, y)
    return OBJECTIVES[type(model).__name__](model, np.asarray(X, np.float64), y, weight)


def class_weights(model, y):
    """Return "balanced" weights of the rows, or ones."""
    if getattr(model, "class_weight", None) != "balanced":
        return 1.0
    _, codes, counts = np.unique(y, return_inverse=True, return_counts=True)
    return y.shape[0] / (counts.shape[0] * counts[codes])


def raw_of(model, X):
    coef, intercept = np.asarray(model.coef_, np.float64), np.asarray(model.intercept_, np.float64)
    return X @ coef.T + intercept


def squares(coef):
    return np.sum(np.asarray(coef, np.float64) ** 2)


def absolutes(coef):
    return np.sum(np.abs(np.asarray(coef, np.float64)))


def logistic(model, X, y, weight):
    raw = raw_of(model, X)
    codes = np.searchsorted(model.classes_, y)
    if raw.shape[1] == 1:
        losses = np.logaddexp(0.0, np.where(codes == 1, -raw[:, 0], raw[:, 0]))
    else:
        losses = np.logaddexp.reduce(raw, axis=1) - raw[np.arange(raw.shape[0]), codes]
    share = model.l1_ratio
    penalised = np.ravel(model.coef_)
    if model.solver == "liblinear":
        penalised = np.append(penalised, model.intercept_ / model.intercept_scaling)
    penalty = share * absolutes(penalised) + 0.5 * (1 - share) * squares(penalised)
    return model.C * np.sum(weight * losses) + penalty


def least_squares(model, X, y, weight):
    return np.sum(weight * (y - raw_of(model, X)) ** 2)


def ridge(model, X, y, weight):
    errors = (y - raw_of(model, X)) ** 2
    errors = errors if errors.ndim == 1 else errors.sum(axis=1)
    coef = np.atleast_2d(np.asarray(model.coef_, np.float64))
    return np.sum(weight * errors) + np.sum(np.ravel(model.alpha) * np.sum(coef**2, axis=1))


def ridge_classifier(model, X, y, weight):
    signs = np.where(y[:, np.newaxis] == model.classes_, 1.0, -1.0)
    return ridge(model, X, signs, weight)


def elastic_net(model, X, y, weight):
    errors = (y - raw_of(model, X)) ** 2
    errors = errors if errors.ndim == 1 else errors.sum(axis=1)
    share = getattr(model, "l1_ratio", 1.0)
    penalty = share * absolutes(model.coef_) + 0.5 * (1 - share) * squares(model.coef_)
    return np.sum(weight * errors) / (2 * weight.sum()) + model.alpha * penalty


def multi_task(model, X, y, weight):
    errors = ((y - raw_of(model, X)) ** 2).sum(axis=1)
    share = getattr(model, "l1_ratio", 1.0)
    norms = np.sum(np.sqrt(np.sum(model.coef_**2, axis=0)))
    penalty = share * norms + 0.5 * (1 - share) * squares(model.coef_)
    return np.sum(weight * errors) / (2 * X.shape[0]) + model.alpha * penalty


def huber(model, X, y, weight):
    z, epsilon = np.abs(y - raw_of(model, X)) / model.scale_, model.epsilon
    losses = np.where(z < epsilon, z**2, 2 * epsilon * z - epsilon**2)
    fitted = np.sum(weight * (model.scale_ + losses * model.scale_))
    return fitted + model.alpha * squares(model.coef_)


def quantile(model, X, y, weight):
    errors, q = y - raw_of(model, X), model.quantile
    losses = np.maximum(q * errors, (q - 1) * errors)
    return np.sum(weight * losses) / weight.sum() + model.alpha * absolutes(model.coef_)


def generalised(model, X, y, weight):
    raw = raw_of(model, X)
    power = {"PoissonRegressor": 1.0, "GammaRegressor": 2.0}.get(type(model).__name__)
    power = model.power if power is None else power
    mean = np.exp(raw)
    if power == 1.0:
        losses = mean - y * raw
    elif power == 2.0:
        losses = raw + y / mean
    else:
        losses = mean ** (2 - power) / (2 - power) - y * mean ** (1 - power) / (1 - power)
    fitted = np.sum(weight * losses) / weight.sum()
    return fitted + 0.5 * model.alpha * squares(model.coef_)


def with_intercept(model):
    """Return half the squared length of what liblinear penalises: the intercept as well."""
    return 0.5 * (squares(model.coef_) + squares(model.intercept_) / model.intercept_scaling**2)


def of_all_classes(model, X, y, weight):
    raw, codes = raw_of(model, X), np.searchsorted(model.classes_, y)
    penalty = with_intercept(model)
    if raw.shape[1] == 1:  # what is reported of two classes is the difference of w and -w
        raw, penalty = np.column_stack([-raw, raw]) / 2, penalty / 2
    rows = np.arange(raw.shape[0])
    margins = raw - raw[rows, codes][:, np.newaxis] + 1.0
    margins[rows, codes] = 0.0
    return model.C * np.sum(weight * margins.max(axis=1)) + penalty


def linear_svc(model, X, y, weight):
    if model.multi_class == "crammer_singer":
        return of_all_classes(model, X, y, weight)
    margins = np.where(y == model.classes_[1], 1.0, -1.0) * raw_of(model, X)[:, 0]
    losses = np.maximum(0.0, 1.0 - margins)
    losses = losses**2 if model.loss == "squared_hinge" else losses
    return model.C * np.sum(weight * losses) + with_intercept(model)


def linear_svr(model, X, y, weight):
    losses = np.maximum(0.0, np.abs(y - raw_of(model, X)) - model.epsilon)
    return model.C * np.sum(weight * losses) + with_intercept(model)


OBJECTIVES = {
    "LogisticRegression": logistic,
    "LinearRegression": least_squares,
    "Ridge": ridge,
    "RidgeClassifier": ridge_classifier,
    "Lasso": elastic_net,
    "ElasticNet": elastic_net,
    "MultiTaskLasso": multi_task,
    "MultiTaskElasticNet": multi_task,
    "HuberRegressor": huber,
    "QuantileRegressor": quantile,
    "PoissonRegressor": generalised,
    "GammaRegressor": generalised,
    "TweedieRegressor": generalised,
    "LinearSVC": linear_svc,
    "LinearSVR": linear_svr,
}
