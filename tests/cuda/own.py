"""A user's own loss, written with numpy's functions of numbers, and a penalty."""

from typing import NamedTuple

import numpy as np

from fastgd.kernels.penalties import Unpenalised


class Logarithmic(NamedTuple):
    """scale log(1 + (raw - y)^2 / scale)."""

    scale: float = 1.0

    @staticmethod
    def value(loss, y_true, raw):
        residual = raw - y_true
        return loss.scale * np.log(1.0 + residual * residual / loss.scale)

    @staticmethod
    def gradient(loss, y_true, raw):
        residual = raw - y_true
        return 2.0 * residual / (1.0 + residual * residual / loss.scale)


class Shared(NamedTuple):
    """A user's own penalty of all coefficients: a step leaves ``share`` of each in their mean."""

    share: float = 0.9

    joint = True
    proximal = Unpenalised.proximal
    l2 = 0.0

    @staticmethod
    def value(penalty, param, c):  # noqa: ARG004
        return 0 * param

    @staticmethod
    def joint_proximal(penalty, params, lengths, n_outputs):
        total, size = 0.0, params.shape[0] - n_outputs
        for c in range(size):
            total += params[c]
        for c in range(size):
            params[c] += lengths[c] * penalty.share * (total / size - params[c])
