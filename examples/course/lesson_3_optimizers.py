r"""
3. The optimizers
=================

An *optimizer* decides how a gradient :math:`g` becomes a step. All of them address the same
difficulty: a valley that is steep across and flat along. Its *condition number* :math:`\kappa` is
the largest curvature divided by the smallest; any single step length is too long for one direction
or too short for the other.

============  ==================================================================================
plain         :math:`w \leftarrow w - \eta g`
momentum      :math:`v \leftarrow \beta v + g,\quad w \leftarrow w - \eta v` (Polyak 1964)
Nesterov      the same, with the gradient from where the velocity leads (Nesterov 1983)
Adagrad       :math:`s \leftarrow s + g^2,\quad w \leftarrow w - \eta g / \sqrt{s}` (Duchi 2011)
RMSprop       the same with a fading mean: :math:`s \leftarrow \rho s + (1 - \rho) g^2`
Adam          RMSprop with momentum, both corrected for their start at 0 (Kingma and Ba 2015)
============  ==================================================================================

The first three have one rate for all coefficients; the others have one for each, which depends on
the size of its past gradients.
"""

# %%
# Two parameters: a valley along an axis, and a rotated one
# ---------------------------------------------------------
#
# Two rows of data form a bowl :math:`(w_1^2 + 30 w_2^2)/2` around the minimum, so :math:`\kappa =
# 30`. The lower plots show the same bowl rotated by 45 degrees. Each path has forty steps at a
# suitable rate.
#
# Plain descent oscillates across the valley and moves slowly along it. Momentum adds up what
# successive steps have in common, and the rest cancels. Adagrad, RMSprop and Adam scale each
# coordinate separately, which removes the bad condition of a valley along an axis. In a rotated
# valley neither coordinate is the flat one, and the advantage is lost.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.preprocessing import StandardScaler

from fastgd import SGDRegressor

SHOWN = {"sgd": 0.06, "momentum": 0.02, "nesterov": 0.02, "adagrad": 1.0, "adam": 0.4}


def regression(optimizer, eta0, **more):
    """Least squares with the whole gradient."""
    return SGDRegressor(
        penalty=None,
        optimizer=optimizer,
        learning_rate="constant",
        eta0=eta0,
        batch_size="full",
        **more,
    )


def path_of(optimizer, eta0, X, y, n_steps=40):
    """The two coefficients before and after each step."""
    model, path = regression(optimizer, eta0, fit_intercept=False), [np.zeros(2)]
    for _ in range(n_steps):
        path.append(model.partial_fit(X, y).coef_.copy())
    return np.array(path)


upright = np.diag(np.sqrt([2.0, 60.0]))  # F is a mean over two rows, hence the 2
turned = upright @ np.array([[1.0, 1.0], [-1.0, 1.0]]) / np.sqrt(2)
axis = np.linspace(-2, 6, 90)
plane = np.stack(np.meshgrid(axis, axis - 2), axis=-1)

figure, panels = plt.subplots(2, 5, figsize=(11, 5), sharex=True, sharey=True, layout="constrained")
for X, row, minimum in ((upright, panels[0], [4.0, 1.0]), (turned, panels[1], [4.0, 1.6])):
    y = X @ minimum
    F = 0.5 * np.mean((plane @ X.T - y) ** 2, axis=-1)
    for panel, (optimizer, eta0) in zip(row, SHOWN.items(), strict=True):
        path = path_of(optimizer, eta0, X, y)
        panel.contour(*plane.transpose(2, 0, 1), F, np.geomspace(0.1, 120, 8), colors="0.8")
        panel.plot(*path.T, ".-", linewidth=1)
        panel.plot(*minimum, "*", color="C1", markersize=12)
        rest = np.linalg.norm(path[-1] - minimum)
        panel.set(title=f"{optimizer}, rate {eta0:g}", xlim=(-1.9, 5.9), ylim=(-2, 4))
        panel.set_xlabel(f"{rest:.2g} from the minimum")
        panel.grid(visible=False)
plt.show()

# %%
# Ten real columns
# ----------------
#
# The columns of the diabetes data are scaled, but two of them (``s1`` and ``s2``, cholesterol) are
# highly correlated, which forms a rotated valley. Each optimizer is shown at the best of nine
# rates.

X, y = load_diabetes(return_X_y=True, scaled=False)
X = StandardScaler().fit_transform(X)
curvatures = np.linalg.eigvalsh(X.T @ X / len(X))
print(f"condition number: {curvatures[-1] / curvatures[0]:.0f}")

A = np.column_stack([X, np.ones(len(y))])
optimum = 0.5 * np.mean((A @ np.linalg.lstsq(A, y)[0] - y) ** 2)
N_STEPS = 300


def above_optimum(optimizer, eta0):
    """The objective's distance from its minimum, step after step."""
    model = regression(optimizer, eta0, max_iter=N_STEPS, tol=None, on_divergence="warn")
    return np.array(model.fit(X, y).history_["objective"]) / optimum - 1


import warnings  # rates that are too large end early, and say so

rates = {"sgd": np.geomspace(0.02, 0.5, 9), "momentum": np.geomspace(0.02, 1.5, 9)}
rates |= {"nesterov": rates["momentum"], "adagrad": np.geomspace(1, 100, 9)}
rates |= {"rmsprop": np.geomspace(0.02, 10, 9), "adam": np.geomspace(0.1, 50, 9)}
figure, panel = plt.subplots(figsize=(8, 4.4), layout="constrained")
for (optimizer, grid), style in zip(rates.items(), ["-", "-", "--", "-", "--", "-"], strict=True):
    with warnings.catch_warnings(action="ignore"):
        curves = {rate: above_optimum(optimizer, rate) for rate in grid}
    curves = {rate: curve for rate, curve in curves.items() if len(curve) == N_STEPS}
    best = min(curves, key=lambda rate: curves[rate][-20:].mean())
    panel.semilogy(curves[best], style, label=f"{optimizer}, rate {best:.2g}")
    print(f"{optimizer:9s} best rate {best:6.2f}   {curves[best][-1]:.1e} above the optimum")
panel.set(xlabel="steps", ylabel="objective above the optimum", ylim=(1e-9, 1e3))
panel.legend(ncols=3, loc="upper right")
plt.show()

# %%
# The gain of momentum is what theory predicts: on a bowl plain descent needs about :math:`\kappa`
# steps for each digit, momentum :math:`\sqrt{\kappa}` (Polyak 1964). The gain of adaptive methods
# is different. Their steps do not depend on the scale of columns or loss: the rate of Adam is about
# the largest distance that a coefficient moves in a step. The coefficients here are of size 30, so
# the best rate is in the tens; the default of 0.001 suits coefficients of about one. Adaptive
# methods are at their best where columns differ in how often they are non-zero, as words do.
#
# To take away
# ------------
#
# * First scale the columns; that removes valleys along an axis for every optimizer.
# * ``"nesterov"`` or ``"momentum"`` for dense, scaled columns, and large batches;
#   ``"adagrad"`` or ``"ftrl"`` for sparse ones; ``"adam"`` where scales are unknown.
# * A rate is for one optimizer: momentum of 0.9 moves ten times as far as plain steps at the same
#   rate. Without ``eta0`` each optimizer uses its own default.
# * For linear models there are solvers that measure the curvature and need no rate, such as
#   :class:`fastgd.LogisticRegression`: lesson 8.
#
# All thirteen optimizers with their formulas: :doc:`/catalogue`. Paths for your own problem:
# :class:`fastgd.plot.DescentPathDisplay`.
#
# Sources: Polyak, *Some Methods of Speeding Up the Convergence of Iteration Methods*, 1964.
# Nesterov, *A Method of Solving a Convex Programming Problem with Convergence Rate O(1/k^2)*, 1983.
# Duchi, Hazan and Singer, *Adaptive Subgradient Methods*, 2011. Tieleman and Hinton, *Lecture 6.5:
# RMSprop*, 2012. Kingma and Ba, *Adam*, 2015, `arXiv:1412.6980 <https://arxiv.org/abs/1412.6980>`_.
