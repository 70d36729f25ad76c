"""The models that the command line knows, by short names. Nothing is imported: help is quick."""

from typing import NamedTuple

CLASSIFICATION, REGRESSION, NOVELTY = "classification", "regression", "novelty detection"


class Model(NamedTuple):
    """An estimator of ``fastgd.linear_model``, its task, and the one that learns from chunks."""

    estimator: str
    task: str
    in_chunks: str
    instead: str = ""


_CLASSIFIER, _REGRESSOR = "SGDClassifier", "SGDRegressor"

MODELS = {
    "logistic": Model("LogisticRegression", CLASSIFICATION, _CLASSIFIER),
    "softmax": Model("SoftmaxRegression", CLASSIFICATION, _CLASSIFIER),
    "svc": Model("LinearSVC", CLASSIFICATION, _CLASSIFIER),
    "sgd-classifier": Model(_CLASSIFIER, CLASSIFICATION, _CLASSIFIER),
    "linear": Model("LinearRegression", REGRESSION, _REGRESSOR),
    "ridge": Model("Ridge", REGRESSION, _REGRESSOR),
    "lasso": Model("Lasso", REGRESSION, _REGRESSOR),
    "elasticnet": Model("ElasticNet", REGRESSION, _REGRESSOR),
    "svr": Model("LinearSVR", REGRESSION, _REGRESSOR),
    "huber": Model(
        "HuberRegressor",
        REGRESSION,
        _REGRESSOR,
        "It estimates a scale from all rows. With a scale of your own: --model sgd-regressor "
        "--set loss=huber --set epsilon=E, E in units of the target.",
    ),
    "quantile": Model("QuantileRegressor", REGRESSION, _REGRESSOR),
    "poisson": Model("PoissonRegressor", REGRESSION, _REGRESSOR),
    "gamma": Model("GammaRegressor", REGRESSION, _REGRESSOR),
    "tweedie": Model("TweedieRegressor", REGRESSION, _REGRESSOR),
    "sgd-regressor": Model(_REGRESSOR, REGRESSION, _REGRESSOR),
    "one-class": Model("SGDOneClassSVM", NOVELTY, "SGDOneClassSVM"),
}
