"""What weights start with, to hand to ``init=`` of a layer.

An initializer is an object with ``draw(shape, fans, rng)``, which returns an ndarray of that shape;
``fans`` are the numbers of a weight's inputs and outputs, and ``rng`` is a NumPy generator. The
variance is chosen so that neither outputs nor derivatives grow or fade from layer to layer.

>>> from fastgd.initializers import HeNormal
>>> import numpy as np
>>> HeNormal().draw((100, 50), (100, 50), np.random.default_rng(0)).std().round(2)
np.float64(0.14)
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "INITIALIZERS",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "LeCunNormal",
    "LeCunUniform",
    "Normal",
    "Orthogonal",
    "Zeros",
]

Fans = tuple[int, int]


def _uniform(
    variance: float, shape: tuple[int, ...], rng: np.random.Generator
) -> NDArray[np.float64]:
    limit = math.sqrt(3.0 * variance)
    return rng.uniform(-limit, limit, shape)


def _normal(
    variance: float, shape: tuple[int, ...], rng: np.random.Generator
) -> NDArray[np.float64]:
    return rng.standard_normal(shape) * math.sqrt(variance)


class GlorotUniform(NamedTuple):
    """Uniform numbers of variance 2 / (inputs + outputs), also called Xavier [1]_.

    References
    ----------
    .. [1] Glorot & Bengio, "Understanding the difficulty of training deep feedforward neural
       networks", 2010, equation 16.
    """

    def draw(
        self, shape: tuple[int, ...], fans: Fans, rng: np.random.Generator
    ) -> NDArray[np.float64]:
        """Return weights to start with."""
        return _uniform(2.0 / (fans[0] + fans[1]), shape, rng)


class GlorotNormal(NamedTuple):
    """Normal numbers of variance 2 / (inputs + outputs), also called Xavier [1]_.

    References
    ----------
    .. [1] Glorot & Bengio, "Understanding the difficulty of training deep feedforward neural
       networks", 2010, equation 12.
    """

    def draw(
        self, shape: tuple[int, ...], fans: Fans, rng: np.random.Generator
    ) -> NDArray[np.float64]:
        """Return weights to start with."""
        return _normal(2.0 / (fans[0] + fans[1]), shape, rng)


class HeUniform(NamedTuple):
    """Uniform numbers of variance 2 / inputs, for units that cut off one half [1]_.

    References
    ----------
    .. [1] He, Zhang, Ren & Sun, "Delving deep into rectifiers", 2015, equation 10.
       arXiv:1502.01852
    """

    def draw(
        self, shape: tuple[int, ...], fans: Fans, rng: np.random.Generator
    ) -> NDArray[np.float64]:
        """Return weights to start with."""
        return _uniform(2.0 / fans[0], shape, rng)


class HeNormal(NamedTuple):
    """Normal numbers of variance 2 / inputs, for units that cut off one half [1]_.

    References
    ----------
    .. [1] He, Zhang, Ren & Sun, "Delving deep into rectifiers", 2015, equation 10.
       arXiv:1502.01852
    """

    def draw(
        self, shape: tuple[int, ...], fans: Fans, rng: np.random.Generator
    ) -> NDArray[np.float64]:
        """Return weights to start with."""
        return _normal(2.0 / fans[0], shape, rng)


class LeCunUniform(NamedTuple):
    """Uniform numbers of variance 1 / inputs [1]_.

    References
    ----------
    .. [1] LeCun, Bottou, Orr & Mueller, "Efficient backprop", 1998, equation 16.
    """

    def draw(
        self, shape: tuple[int, ...], fans: Fans, rng: np.random.Generator
    ) -> NDArray[np.float64]:
        """Return weights to start with."""
        return _uniform(1.0 / fans[0], shape, rng)


class LeCunNormal(NamedTuple):
    """Normal numbers of variance 1 / inputs [1]_.

    References
    ----------
    .. [1] LeCun, Bottou, Orr & Mueller, "Efficient backprop", 1998, equation 16.
    """

    def draw(
        self, shape: tuple[int, ...], fans: Fans, rng: np.random.Generator
    ) -> NDArray[np.float64]:
        """Return weights to start with."""
        return _normal(1.0 / fans[0], shape, rng)


class Normal(NamedTuple):
    """Normal numbers of a given standard deviation.

    Parameters
    ----------
    deviation : float, default=1.0
        The standard deviation, >= 0.
    """

    deviation: float = 1.0

    def draw(
        self,
        shape: tuple[int, ...],
        fans: Fans,  # noqa: ARG002
        rng: np.random.Generator,
    ) -> NDArray[np.float64]:
        """Return weights to start with."""
        return _normal(self.deviation**2, shape, rng)


class Orthogonal(NamedTuple):
    """A random matrix with orthonormal rows or columns, whichever are fewer [1]_.

    Parameters
    ----------
    gain : float, default=1.0
        What it is multiplied by, > 0.

    References
    ----------
    .. [1] Saxe, McClelland & Ganguli, "Exact solutions to the nonlinear dynamics of learning in
       deep linear neural networks", 2014, section 3.1. arXiv:1312.6120
    """

    gain: float = 1.0

    def draw(
        self,
        shape: tuple[int, ...],
        fans: Fans,  # noqa: ARG002
        rng: np.random.Generator,
    ) -> NDArray[np.float64]:
        """Return weights to start with."""
        n_rows, n_columns = shape
        square = rng.standard_normal((max(n_rows, n_columns), min(n_rows, n_columns)))
        q, r = np.linalg.qr(square)
        q *= np.sign(np.diag(r))  # else the signs would be LAPACK's
        found: NDArray[np.float64] = self.gain * (q if n_rows >= n_columns else q.T)
        return found


class Zeros(NamedTuple):
    """Zeros: for a layer that is to start without effect."""

    def draw(
        self,
        shape: tuple[int, ...],
        fans: Fans,  # noqa: ARG002
        rng: np.random.Generator,  # noqa: ARG002
    ) -> NDArray[np.float64]:
        """Return weights to start with."""
        return np.zeros(shape)


INITIALIZERS: dict[str, Any] = {
    "glorot_uniform": GlorotUniform(),
    "glorot_normal": GlorotNormal(),
    "he_uniform": HeUniform(),
    "he_normal": HeNormal(),
    "lecun_uniform": LeCunUniform(),
    "lecun_normal": LeCunNormal(),
    "orthogonal": Orthogonal(),
    "zeros": Zeros(),
}
