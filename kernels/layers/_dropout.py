"""Dropout."""

from typing import NamedTuple

import numpy as np

from fastgd.kernels.layers._protocol import Sizes, flat_size
from fastgd.kernels.sampling import GAMMA, mix

UNIFORM = 2.0**-53  # 53 random bits times this lie in [0, 1)
SHIFT_11 = np.uint64(11)


class Dropout(NamedTuple):
    """Outputs are set to zero at random while training, and the others made as much larger [1]_.

    Each output of each row is kept with probability 1 - rate and divided by that, so that its mean
    stays and predictions need no change ("inverted" dropout). The draw is a function of
    ``random_state``, the number of the step, the layer and the place.

    Parameters
    ----------
    rate : float, default=0.5
        The share that is dropped, in [0, 1).

    References
    ----------
    .. [1] Srivastava, Hinton, Krizhevsky, Sutskever & Salakhutdinov, "Dropout: a simple way to
       prevent neural networks from overfitting", 2014, section 4.
    """

    rate: float = 0.5

    @staticmethod
    def spec(layer):
        return Masked()

    @staticmethod
    def sizes(layer, shape):
        return Sizes(shape, notes=flat_size(shape), numbers=(layer.rate,))


class Masked(NamedTuple):
    """The spec of ``Dropout``; its notes are what each output is multiplied by."""

    @staticmethod
    def forward(layer, at, own, x, out, notes, now):
        rate = now.numbers[0] if now.is_training else 0.0
        grown = out.dtype.type(1.0 / (1.0 - rate))
        zero = out.dtype.type(0.0)
        n = out.shape[1]
        for i in range(out.shape[0]):
            for j in range(n):
                bits = mix(now.key + np.uint64(i * n + j) * GAMMA) >> SHIFT_11
                notes[i, j] = grown if np.float64(bits) * UNIFORM >= rate else zero
                out[i, j] = x[i, j] * notes[i, j]

    @staticmethod
    def backward(layer, at, own, slopes, tape, delta, before):
        for i in range(before.shape[0]):
            for j in range(before.shape[1]):
                before[i, j] = delta[i, j] * tape.notes[i, j]
