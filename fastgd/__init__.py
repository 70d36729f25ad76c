"""Linear, logistic and softmax models by gradient descent, compiled by Numba."""

from fastgd.linear_model import SGDClassifier, SGDRegressor

__version__ = "0.1.0.dev0"

__all__ = ["SGDClassifier", "SGDRegressor", "__version__"]
