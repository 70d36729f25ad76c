"""Networks of layers, fitted by back-propagation with the trainer of the linear models."""

from fastgd.neural_network._mlp import MLPClassifier, MLPRegressor
from fastgd.neural_network._network import NetworkClassifier, NetworkRegressor

__all__ = ["MLPClassifier", "MLPRegressor", "NetworkClassifier", "NetworkRegressor"]
