"""Linear, logistic and softmax models by gradient descent, compiled by Numba."""

__version__ = "0.1.0.dev0"

__all__ = ["__version__"]
