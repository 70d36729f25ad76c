r"""
2. Batch, stochastic, mini-batch
================================

The gradient of the objective is a mean over all rows. A mean can be estimated from a sample: from
:math:`m` rows drawn at random,

.. math:: g = \frac{1}{m} \sum_{i \in \text{batch}} \mathrm{loss}'(y_i, \mathrm{raw}_i)\, x_i ,

which has the right direction *on average*. With all rows it is *batch* gradient descent
(``batch_size="full"``), with a single row *stochastic* gradient descent (``batch_size=1``, Robbins
and Monro 1951), with a few rows *mini-batch* descent. This lesson shows the trade-off.
"""

# %%
# Three paths to the same minimum
# -------------------------------
#
# The line of lesson 1 is trained for three epochs with each batch size, at a suitable rate. An
# epoch reads every row once, so all three do the same amount of arithmetic: the full batch in 3
# steps, batches of 32 in 42, and single rows in 1326. Small batches get closer to the minimum, on
# noisier paths.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.preprocessing import StandardScaler

from fastgd import SGDRegressor

columns, y = load_diabetes(return_X_y=True, scaled=False)
x = (columns[:, 2] - 18) / 10
line_X = x[:, None]


def sgd(batch_size, eta0, **more):
    """Least squares by plain steps of one length."""
    return SGDRegressor(
        penalty=None,
        learning_rate="constant",
        eta0=eta0,
        batch_size=batch_size,
        random_state=0,
        **more,
    )


def walk(batch_size, eta0, n_epochs):
    """The parameters after each batch, by calls of ``partial_fit`` on its rows alone."""
    model, path = sgd("full" if batch_size == len(x) else batch_size, eta0), [(0.0, 0.0)]
    rng = np.random.default_rng(0)
    for _ in range(n_epochs):
        order = rng.permutation(len(x))
        for first in range(0, len(x), batch_size):
            rows = order[first : first + batch_size]
            model.partial_fit(line_X[rows], y[rows])
            path.append((model.coef_[0], model.intercept_[0]))
    return np.array(path)


grid_w, grid_b = np.meshgrid(np.linspace(-15, 160, 80), np.linspace(-10, 120, 80))
F = np.mean((grid_w[..., None] * x + grid_b[..., None] - y) ** 2, axis=-1) / 2
figure, panels = plt.subplots(1, 3, figsize=(10, 3.6), sharey=True, layout="constrained")
for panel, (size, rate) in zip(panels, ((442, 0.5), (32, 0.25), (1, 0.05)), strict=True):
    path = walk(size, rate, n_epochs=3)
    levels = F.min() + np.geomspace(5, 12000, 12)
    panel.contour(grid_w, grid_b, F, levels, colors="0.8", linewidths=1)
    panel.plot(*path.T, ".-", linewidth=0.8, markersize=4 if size > 1 else 2)
    panel.plot(*path[-1], "s", color="C1", markeredgecolor="black")
    panel.set(xlabel="slope w", title=f"batches of {size}: {len(path) - 1} steps")
panels[0].set_ylabel("intercept b")
plt.show()

# %%
# How wrong is the gradient of a batch?
# -------------------------------------
#
# One step from 0 with the rows of a random batch, divided by the rate, is the estimate of the
# gradient by that batch. Its distance from the full gradient falls as :math:`1/\sqrt{m}`: a batch
# four times as large costs four times as much, and is only twice as accurate. That is why small
# batches are efficient where rows are similar, and the full batch seldom is far from the optimum.

X = StandardScaler().fit_transform(columns)
whole = -sgd("full", 1.0).partial_fit(X, y).coef_
sizes = [1, 4, 16, 64, 256]
rng = np.random.default_rng(0)


def error_of_a_batch(size):
    """How far the gradient of a random batch is from that of all rows, relative to it."""
    rows = rng.integers(len(y), size=size)
    estimate = -sgd("full", 1.0).partial_fit(X[rows], y[rows]).coef_
    return np.linalg.norm(estimate - whole) / np.linalg.norm(whole)


errors = [np.mean([error_of_a_batch(size) for _ in range(50)]) for size in sizes]
for size, error in zip(sizes, errors, strict=True):
    print(f"{size:4d} rows   relative error {error:.2f}")

# %%
# What the noise costs in the end
# -------------------------------
#
# Now with all ten columns, and the same rate for all batch sizes. ``monitor=True`` computes the
# true objective of all rows after each epoch. With small batches it falls faster at first, and then
# stays at a *noise floor*: at a constant rate the noise of the batches moves the model around the
# optimum, at a level about proportional to rate / batch size (Bottou, Curtis and Nocedal 2018,
# theorem 4.6). The full batch has no noise and no floor, and is still converging.

A = np.column_stack([X, np.ones(len(y))])
optimum = 0.5 * np.mean((A @ np.linalg.lstsq(A, y)[0] - y) ** 2)
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
left.loglog(sizes, errors, "o-", label="measured")
left.loglog(sizes, errors[0] / np.sqrt(sizes), "k:", label=r"$1/\sqrt{m}$")
left.set(xlabel="rows in the batch", ylabel="relative error of the gradient")
left.legend()
for size in (1, 8, 64, "full"):
    model = sgd(size, 0.01, max_iter=60, tol=None, monitor=True).fit(X, y)
    above = np.array(model.history_["true_objective"]) / optimum - 1
    right.semilogy(np.arange(1, 61), above, label=f"{size}")
    print(
        f"batch_size={size!s:5s} {100 * above[2]:8.2f} % above the optimum after 3 epochs, "
        f"{100 * above[-10:].mean():6.2f} % in the last ten"
    )
right.set(xlabel="epochs", ylabel="objective above the optimum", ylim=(1e-3, 300))
right.legend(title="batch_size", ncols=4, loc="upper right")
plt.show()

# %%
# To take away
# ------------
#
# * An epoch does the same arithmetic with any batch size (and vectorised code is fastest with some
#   tens of rows); the number of steps and their noise differ.
# * Start with 16 to 64. Use 1 for the same steps as scikit-learn, ``"full"`` for few rows or to
#   avoid noise.
# * A smaller rate or a larger batch lowers the noise floor: with twice the batch size, the rate can
#   be doubled at the same floor (Goyal et al. 2017), up to the limit of lesson 4.
#
# Sources: Robbins and Monro, *A Stochastic Approximation Method*, 1951. Bottou, Curtis and Nocedal,
# *Optimization Methods for Large-Scale Machine Learning*, 2018,
# `arXiv:1606.04838 <https://arxiv.org/abs/1606.04838>`_. Goyal et al., *Accurate, Large Minibatch
# SGD*, 2017, `arXiv:1706.02677 <https://arxiv.org/abs/1706.02677>`_.
