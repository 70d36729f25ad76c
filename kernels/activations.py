"""Activations: what a unit makes of its weighted sum, and the derivative of that.

An activation is a ``NamedTuple`` of its hyperparameters with scalar static methods:

``value(activation, z)``
    The unit's output for the weighted sum z.
``gradient(activation, z, value)``
    The derivative of ``value`` with respect to z; ``value`` is the output at z, for those whose
    derivative is shorter to write by it.
``by_value``
    Whether ``gradient`` looks at ``value`` only; default False. Then z need not be kept.
``is_identity``
    Whether it does nothing; default False.
``is_one_sided``
    Whether it lets about one half of a signal pass, which first weights make up for; default False.
``limits``
    The ends of its range where outputs near them have hardly a derivative; default None.
``dies``
    Whether a unit may put out 0 for all rows and then have no derivative; default False.

A user's own is a class of the same form.
"""

import math
from typing import NamedTuple

import numpy as np

from fastgd.kernels._hook import cast, hook
from fastgd.kernels._jit import kernel
from fastgd.kernels.elementary import exp, expm1, log1p

SQRT_HALF = 0.7071067811865476
INVERSE_SQRT_2PI = 0.3989422804014327


@hook
def value(activation, z):
    """Return the output of a unit whose weighted sum is z."""
    return type(activation).value(activation, z)


@hook
def gradient(activation, z, value):
    """Return the derivative of the output with respect to z."""
    return type(activation).gradient(activation, z, value)


def is_by_value(activation):
    """Tell whether the derivative needs the output only."""
    return bool(getattr(type(activation), "by_value", False))


@kernel()
def values(activation, z, out):
    """Write the outputs for an array of weighted sums into ``out``."""
    for i in range(z.shape[0]):
        out[i] = value(activation, z[i])


@kernel()
def gradients(activation, z, out):
    """Write the derivatives at an array of weighted sums into ``out``."""
    for i in range(z.shape[0]):
        out[i] = gradient(activation, z[i], value(activation, z[i]))


class Identity(NamedTuple):
    """The weighted sum itself: z."""

    by_value = True
    is_identity = True

    @staticmethod
    def value(activation, z):
        return z

    @staticmethod
    def gradient(activation, z, value):
        return cast(1.0, z)


class Logistic(NamedTuple):
    """1 / (1 + e^-z), in (0, 1)."""

    by_value = True
    limits = (0.0, 1.0)

    @staticmethod
    def value(activation, z):
        return cast(1.0 / (1.0 + exp(-z)), z)

    @staticmethod
    def gradient(activation, z, value):
        return value * (cast(1.0, z) - value)


class Tanh(NamedTuple):
    """tanh z = (e^2z - 1) / (e^2z + 1), in (-1, 1)."""

    by_value = True
    limits = (-1.0, 1.0)

    @staticmethod
    def value(activation, z):
        e = expm1(2.0 * min(max(np.float64(z), -20.0), 20.0))
        return cast(e / (e + 2.0), z)

    @staticmethod
    def gradient(activation, z, value):
        return cast(1.0, z) - value * value


class ReLU(NamedTuple):
    """max(0, z) [1]_; the derivative at 0 is taken as 0.

    References
    ----------
    .. [1] Nair & Hinton, "Rectified linear units improve restricted Boltzmann machines", 2010.
    """

    by_value = True
    is_one_sided = True
    dies = True

    @staticmethod
    def value(activation, z):
        return z if z > 0 else cast(0.0, z)

    @staticmethod
    def gradient(activation, z, value):
        return cast(1.0, z) if value > 0 else cast(0.0, z)


class LeakyReLU(NamedTuple):
    """z for z > 0, else ``slope`` times z [1]_.

    Parameters
    ----------
    slope : float, default=0.01
        The derivative below 0, > 0.

    References
    ----------
    .. [1] Maas, Hannun & Ng, "Rectifier nonlinearities improve neural network acoustic models",
       2013, equation 2.
    """

    slope: float = 0.01

    by_value = True
    is_one_sided = True

    @staticmethod
    def value(activation, z):
        return z if z > 0 else cast(activation.slope, z) * z

    @staticmethod
    def gradient(activation, z, value):
        return cast(1.0, z) if value > 0 else cast(activation.slope, z)


class ELU(NamedTuple):
    """z for z > 0, else ``scale`` (e^z - 1) [1]_.

    Parameters
    ----------
    scale : float, default=1.0
        The depth of the lower limit, > 0.

    References
    ----------
    .. [1] Clevert, Unterthiner & Hochreiter, "Fast and accurate deep network learning by
       exponential linear units (ELUs)", 2016, equation 15. arXiv:1511.07289
    """

    scale: float = 1.0

    by_value = True
    is_one_sided = True

    @staticmethod
    def value(activation, z):
        return z if z > 0 else cast(activation.scale * expm1(min(z, 0.0)), z)

    @staticmethod
    def gradient(activation, z, value):
        return cast(1.0, z) if value > 0 else value + cast(activation.scale, z)


class GELU(NamedTuple):
    """z Phi(z), with the normal distribution function Phi [1]_.

    References
    ----------
    .. [1] Hendrycks & Gimpel, "Gaussian error linear units (GELUs)", 2016, section 2.
       arXiv:1606.08415
    """

    is_one_sided = True

    @staticmethod
    def value(activation, z):
        return cast(0.5 * z * (1.0 + math.erf(z * SQRT_HALF)), z)

    @staticmethod
    def gradient(activation, z, value):
        share = 0.5 * (1.0 + math.erf(z * SQRT_HALF))
        density = INVERSE_SQRT_2PI * exp(-0.5 * np.float64(z) * np.float64(z))
        return cast(share + z * density, z)


class SiLU(NamedTuple):
    """z / (1 + e^-z) [1]_, also called swish.

    References
    ----------
    .. [1] Elfwing, Uchibe & Doya, "Sigmoid-weighted linear units for neural network function
       approximation in reinforcement learning", 2018, equation 8. arXiv:1702.03118
    """

    is_one_sided = True

    @staticmethod
    def value(activation, z):
        return cast(z / (1.0 + exp(-z)), z)

    @staticmethod
    def gradient(activation, z, value):
        share = 1.0 / (1.0 + exp(-z))
        return cast(share * (1.0 + z * (1.0 - share)), z)


class Softplus(NamedTuple):
    """log(1 + e^z), a smooth ``ReLU`` [1]_.

    References
    ----------
    .. [1] Dugas, Bengio, Belisle, Nadeau & Garcia, "Incorporating second-order functional
       knowledge for better option pricing", 2001, equation 4.
    """

    is_one_sided = True

    @staticmethod
    def value(activation, z):
        return cast(max(np.float64(z), 0.0) + log1p(exp(-abs(z))), z)

    @staticmethod
    def gradient(activation, z, value):
        return cast(1.0 / (1.0 + exp(-z)), z)


Activation = NamedTuple  # any spec of the form that the module's docstring describes

ACTIVATIONS = {
    "identity": Identity(),
    "logistic": Logistic(),
    "tanh": Tanh(),
    "relu": ReLU(),
    "leaky_relu": LeakyReLU(),
    "elu": ELU(),
    "gelu": GELU(),
    "silu": SiLU(),
    "softplus": Softplus(),
}
