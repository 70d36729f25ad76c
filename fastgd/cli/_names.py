"""The models that the command line knows, by short names. Nothing is imported: help is quick."""

from typing import NamedTuple

CLASSIFICATION, REGRESSION, NOVELTY = "classification", "regression", "novelty detection"


class ModelName(NamedTuple):
    """An estimator of ``package``, its task, and the one that learns from chunks ("" if none)."""

    estimator: str
    task: str
    in_chunks: str
    instead: str = ""
    package: str = "linear_model"

    @property
    def is_network(self) -> bool:
        """Whether it is a neural network."""
        return self.package == "neural_network"

    @property
    def takes_epochs(self) -> bool:
        """Whether it is trained in epochs, and may stop by rows held out."""
        return self.is_network or self.estimator == self.in_chunks


_AT_ONCE = "Networks are trained on rows in memory: --max-memory sets how much they may take."

_CLASSIFIER, _REGRESSOR = "SGDClassifier", "SGDRegressor"
_CHOOSES = "It chooses the strength of its penalty by all rows. With one of your own: --model {}."

MODELS = {
    "logistic": ModelName("LogisticRegression", CLASSIFICATION, _CLASSIFIER),
    "logistic-cv": ModelName(
        "LogisticRegressionCV", CLASSIFICATION, _CLASSIFIER, _CHOOSES.format("logistic")
    ),
    "softmax": ModelName("SoftmaxRegression", CLASSIFICATION, _CLASSIFIER),
    "svc": ModelName("LinearSVC", CLASSIFICATION, _CLASSIFIER),
    "ridge-classifier": ModelName("RidgeClassifier", CLASSIFICATION, _CLASSIFIER),
    "ridge-classifier-cv": ModelName(
        "RidgeClassifierCV", CLASSIFICATION, _CLASSIFIER, _CHOOSES.format("ridge-classifier")
    ),
    "perceptron": ModelName("Perceptron", CLASSIFICATION, "Perceptron"),
    "passive-aggressive": ModelName(
        "PassiveAggressiveClassifier", CLASSIFICATION, "PassiveAggressiveClassifier"
    ),
    "sgd-classifier": ModelName(_CLASSIFIER, CLASSIFICATION, _CLASSIFIER),
    "linear": ModelName("LinearRegression", REGRESSION, _REGRESSOR),
    "ridge": ModelName("Ridge", REGRESSION, _REGRESSOR),
    "ridge-cv": ModelName("RidgeCV", REGRESSION, _REGRESSOR, _CHOOSES.format("ridge")),
    "lasso": ModelName("Lasso", REGRESSION, _REGRESSOR),
    "lasso-cv": ModelName("LassoCV", REGRESSION, _REGRESSOR, _CHOOSES.format("lasso")),
    "elasticnet": ModelName("ElasticNet", REGRESSION, _REGRESSOR),
    "elasticnet-cv": ModelName(
        "ElasticNetCV", REGRESSION, _REGRESSOR, _CHOOSES.format("elasticnet")
    ),
    "svr": ModelName("LinearSVR", REGRESSION, _REGRESSOR),
    "huber": ModelName(
        "HuberRegressor",
        REGRESSION,
        _REGRESSOR,
        "It estimates a scale from all rows. With a scale of your own: --model sgd-regressor "
        "--set loss=huber --set epsilon=E, E in units of the target.",
    ),
    "quantile": ModelName("QuantileRegressor", REGRESSION, _REGRESSOR),
    "poisson": ModelName("PoissonRegressor", REGRESSION, _REGRESSOR),
    "gamma": ModelName("GammaRegressor", REGRESSION, _REGRESSOR),
    "tweedie": ModelName("TweedieRegressor", REGRESSION, _REGRESSOR),
    "passive-aggressive-regressor": ModelName(
        "PassiveAggressiveRegressor", REGRESSION, "PassiveAggressiveRegressor"
    ),
    "sgd-regressor": ModelName(_REGRESSOR, REGRESSION, _REGRESSOR),
    "one-class": ModelName("SGDOneClassSVM", NOVELTY, "SGDOneClassSVM"),
    "mlp-classifier": ModelName("MLPClassifier", CLASSIFICATION, "", _AT_ONCE, "neural_network"),
    "mlp-regressor": ModelName("MLPRegressor", REGRESSION, "", _AT_ONCE, "neural_network"),
}
# a name for two of them: the one for classes, and the one for numbers
BY_TARGET = {"mlp": ("mlp-classifier", "mlp-regressor")}
