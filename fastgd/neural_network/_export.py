"""To scikit-learn: fitted networks of its own."""

from typing import Any

import numpy as np
from sklearn import neural_network
from sklearn.preprocessing import LabelBinarizer

from fastgd._networks import names
from fastgd.kernels.activations import Identity, Logistic, ReLU, Tanh
from fastgd.kernels.losses import LOG, link_of
from fastgd.neural_network._base import BaseNetwork
from fastgd.neural_network._mlp import MLPClassifier, MLPRegressor

THEIRS = {Identity: "identity", Logistic: "logistic", Tanh: "tanh", ReLU: "relu"}
CARRIED = ("classes_", "n_iter_", "n_outputs_", "t_", "n_features_in_", "feature_names_in_")


def converted(network: BaseNetwork) -> Any:
    """Return scikit-learn's network that predicts what a fitted network of ours does.

    Raises
    ------
    TypeError
        If scikit-learn's cannot say the same: another layer than dense ones, normalisation, or
        activations that it does not have or that differ from layer to layer.
    """
    activation = _one_activation(network)
    is_classifier = isinstance(network, MLPClassifier)
    kind = neural_network.MLPClassifier if is_classifier else neural_network.MLPRegressor
    known = kind().get_params()
    given = {name: value for name, value in network.get_params().items() if name in known}
    if type(given["solver"]) is not str or given["solver"] not in ("adam", "sgd", "lbfgs"):
        given["solver"] = known["solver"]
    given |= {"activation": activation, "random_state": network.random_state}
    given |= {name: known[name] for name in ("batch_size", "learning_rate", "tol", "verbose")}
    if not is_classifier:
        given["loss"] = "poisson" if link_of(network._targets().loss) == LOG else "squared_error"
    theirs = kind(**given)
    for name in CARRIED:
        if hasattr(network, name):
            setattr(theirs, name, getattr(network, name))
    theirs.coefs_ = [W.copy() for W in network.coefs_]
    theirs.intercepts_ = [b.copy() for b in network.intercepts_]
    theirs.n_layers_, theirs.out_activation_ = len(theirs.coefs_) + 1, network.out_activation_
    theirs.loss_curve_, theirs.loss_ = list(network.loss_curve_), network.loss_
    theirs.best_loss_ = network.best_loss_
    if is_classifier:
        labels = np.arange(network.n_outputs_) if network._is_multilabel else network.classes_
        theirs._label_binarizer = _binarizer(labels, is_multilabel=network._is_multilabel)
    return theirs


def _one_activation(network: BaseNetwork) -> str:
    """Return scikit-learn's name for the activation of all hidden layers."""
    kind = type(network).__name__
    if not isinstance(network, MLPClassifier | MLPRegressor):
        raise TypeError(f"scikit-learn has no network of layers like those of this {kind}.")
    if network.normalization is not None:
        raise TypeError(f"scikit-learn's networks have no normalization; this {kind} has.")
    if isinstance(network, MLPClassifier) and network.out_activation_ == "identity":
        raise TypeError(
            f"scikit-learn's MLPClassifier predicts by probabilities; loss={network.loss!r} has "
            "none."
        )
    given = network.activation
    several = list(given) if isinstance(given, list) or type(given) is tuple else [given]
    found = {type(names.activation(one, "activation")) for one in several}
    if len(found) > 1 or not found <= set(THEIRS):
        raise TypeError(
            f"scikit-learn's networks have one activation of {sorted(THEIRS.values())} for all "
            f"hidden layers; this {kind} has {given!r}."
        )
    return THEIRS[found.pop()]


def _binarizer(labels: Any, *, is_multilabel: bool) -> LabelBinarizer:
    """Return what makes labels of scikit-learn's outputs."""
    if is_multilabel:
        return LabelBinarizer().fit(np.eye(len(labels), dtype=int))
    return LabelBinarizer().fit(labels)
