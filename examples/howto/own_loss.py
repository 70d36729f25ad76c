r"""
A loss of your own
==================

A loss is a ``NamedTuple`` of its numbers with two static methods: ``value`` and ``gradient``, its
derivative by the raw prediction, both for one row. It is compiled like the losses that are built
in, and just as fast.

Here is Cauchy's, whose pull falls off with distance: for :math:`z = (\mathrm{raw} - y)/s`,

.. math:: \mathrm{loss} = \frac{s^2}{2} \log(1 + z^2), \qquad
   \mathrm{loss}' = \frac{\mathrm{raw} - y}{1 + z^2}.
"""

import math
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes

from fastgd import SGDRegressor


class Cauchy(NamedTuple):
    """scale^2 / 2 log(1 + ((raw - y) / scale)^2): a row far from the line hardly pulls."""

    scale: float = 1.0

    kind = "regression"

    @staticmethod
    def value(loss, y_true, raw):
        z = (raw - y_true) / loss.scale
        return 0.5 * loss.scale * loss.scale * math.log1p(z * z)

    @staticmethod
    def gradient(loss, y_true, raw):
        z = (raw - y_true) / loss.scale
        return (raw - y_true) / (1.0 + z * z)


# %%
# Check the derivative before you trust it: a wrong one descends to the wrong place, without a word.
# The methods are plain Python, too.

loss, step = Cauchy(scale=50.0), 1e-6
for raw in (-200.0, 3.0, 70.0):
    slope = (loss.value(loss, 0.0, raw + step) - loss.value(loss, 0.0, raw - step)) / (2 * step)
    print(f"raw {raw:6.0f}   gradient {loss.gradient(loss, 0.0, raw):9.5f}   measured {slope:9.5f}")

# %%
# Every tenth target is damaged. The squared error follows the damage.

X, y = load_diabetes(return_X_y=True, scaled=False)
X = (X - X.mean(axis=0)) / X.std(axis=0)
y_damaged = y.copy()
y_damaged[::10] = 1000.0
sound = np.arange(len(y)) % 10 > 0

figure, panel = plt.subplots(figsize=(5.5, 4.6), layout="constrained")
for name, chosen, marker in (("squared error", "squared_error", "x"), ("Cauchy", loss, "o")):
    model = SGDRegressor(chosen, batch_size=16, eta0=0.1, random_state=0).fit(X, y_damaged)
    panel.plot(y[sound], model.predict(X[sound]), marker, markersize=4, alpha=0.7, label=name)
    print(f"{name:14s} R2 of the sound rows {model.score(X[sound], y[sound]):6.2f}")
panel.plot([0, 350], [0, 350], color="black", linewidth=1)
panel.set(xlabel="measured", ylabel="predicted")
panel.legend()
plt.show()

# %%
# The rules
# ---------
#
# * The argument names are ``loss, y_true, raw``; numbers are fields, so that another ``scale`` is
#   not another compilation.
# * Arithmetic and ``math``: what numba can compile in its nopython mode.
# * ``kind = "regression"`` for numbers; ``"binary"``, with ``negative = -1.0`` or ``0.0`` for the
#   label of the negative class, for classes. ``link = "log"`` for predictions
#   :math:`e^{\mathrm{raw}}`.
# * Put the class into a module of yours: then its machine code is kept on disk. One that is defined
#   in a script or notebook is compiled in each process.
#
# How to add a loss to the package, or an optimizer of your own: :doc:`/extending`.
