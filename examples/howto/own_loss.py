r"""
Custom losses
=============

A loss is a ``NamedTuple`` of its hyperparameters with two static methods for one row: ``value``,
and ``gradient``, its derivative with respect to the raw prediction. It is compiled like the
built-in losses, and just as fast.

Here is Cauchy's loss, in which outliers have little influence. With
:math:`z = (\mathrm{raw} - y)/s` it is

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
    """scale^2 / 2 log(1 + ((raw - y) / scale)^2): outliers count less."""

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
# Check the derivative first: a wrong one silently leads to the wrong model. The methods can be
# called from Python.

loss, step = Cauchy(scale=50.0), 1e-6
for raw in (-200.0, 3.0, 70.0):
    slope = (
        loss.value(loss, 0.0, raw + step) - loss.value(loss, 0.0, raw - step)
    ) / (2 * step)
    print(
        f"raw {raw:6.0f}   gradient {loss.gradient(loss, 0.0, raw):9.5f}"
        f"   measured {slope:9.5f}"
    )

# %%
# Every tenth target is corrupted. The squared error follows these outliers.

X, y = load_diabetes(return_X_y=True, scaled=False)
X = (X - X.mean(axis=0)) / X.std(axis=0)
y_damaged = y.copy()
y_damaged[::10] = 1000.0
sound = np.arange(len(y)) % 10 > 0

figure, panel = plt.subplots(figsize=(5.5, 4.6), layout="constrained")
for name, chosen, marker in (
    ("squared error", "squared_error", "x"),
    ("Cauchy", loss, "o"),
):
    model = SGDRegressor(chosen, batch_size=16, eta0=0.1, random_state=0).fit(
        X, y_damaged
    )
    panel.plot(
        y[sound],
        model.predict(X[sound]),
        marker,
        markersize=4,
        alpha=0.7,
        label=name,
    )
    print(f"{name:14s} R2 of sound rows {model.score(X[sound], y[sound]):6.2f}")
panel.plot([0, 350], [0, 350], color="black", linewidth=1)
panel.set(xlabel="measured", ylabel="predicted")
panel.legend()
plt.show()

# %%
# Rules
# -----
#
# * The arguments are named ``loss, y_true, raw``. Hyperparameters are fields, so that another
#   ``scale`` needs no compilation.
# * Use arithmetic and ``math``, which numba can compile in nopython mode.
# * ``kind`` is ``"regression"``, or ``"binary"`` with ``negative = -1.0`` or ``0.0`` for the label
#   of the negative class. ``link = "log"`` makes predictions :math:`e^{\mathrm{raw}}`.
# * Define the class in a module of your own, and its machine code is cached on disk. A class that
#   is defined in a script or notebook is compiled in each process.
#
# How to add a loss to the package, and how to write an optimizer: :doc:`/extending`.
