"""How long a solver takes to come within 1e-4 of the optimum, which was found beforehand."""

import warnings

import numpy as np
from scipy.special import logsumexp
from sklearn.exceptions import ConvergenceWarning

from fastgd import LogisticRegression, SGDClassifier

from .bench_estimators import data_of
from .common import fastest

ALPHA = 1e-3
CLOSE = 1e-4
BUDGETS = [2**k for k in range(13)]
SETS = ["breast_cancer", "digits", "nycflights_cls"]


class LogLoss:
    """The mean log loss (of a softmax where classes are more than two) plus alpha / 2 |w|^2."""

    timeout = 600
    params = (["gd", "sdca", "saga", "sgd"], SETS)
    param_names = ("solver", "data")

    def setup_cache(self):
        """Find the optima, far more closely than they are needed."""
        problems = {}
        for name in SETS:
            X, y = data_of(name)
            optimum = objective(solver("gd", len(y), 1000, tol=1e-10).fit(X, y), X, y)
            problems[name] = X, y, optimum
        return problems

    def track_time_to_1e4(self, problems, name, data):
        """The fastest fit that gets there, of as few iterations as do, doubled until they do."""
        X, y, optimum = problems[data]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            for budget in BUDGETS:
                model = solver(name, len(y), budget)
                if objective(model.fit(X, y), X, y) <= (1 + CLOSE) * optimum:
                    return min(fastest(lambda fit=model.fit: fit(X, y)))
        return np.nan

    track_time_to_1e4.unit = "seconds"


def solver(name, n_samples, max_iter, tol=CLOSE / 10):
    """Return an estimator that minimises the objective in no more than ``max_iter`` passes."""
    if name != "sgd":
        C = 1.0 / (ALPHA * n_samples)
        return LogisticRegression(C=C, solver=name, tol=tol, max_iter=max_iter, random_state=0)
    kwargs = {"learning_rate": "optimal", "average": True, "batch_size": 1, "random_state": 0}
    return SGDClassifier(loss="log_loss", alpha=ALPHA, max_iter=max_iter, tol=None, **kwargs)


def objective(model, X, y):
    """Return what is minimised, in float64 whatever the model is in."""
    raw = model.decision_function(X).astype(np.float64)
    raw = np.column_stack([np.zeros(len(y)), raw]) if raw.ndim == 1 else raw
    loss = logsumexp(raw, axis=1) - raw[np.arange(len(y)), y]
    return loss.mean() + ALPHA / 2 * float(np.sum(model.coef_.astype(np.float64) ** 2))
