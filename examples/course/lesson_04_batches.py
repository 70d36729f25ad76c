r"""
4. Batch, stochastic, mini-batch
================================

The gradient of the objective is a mean over all rows. A mean can be estimated
from a sample: from :math:`m` rows drawn at random,

.. math:: g = \frac{1}{m} \sum_{i \in \text{batch}} \mathrm{loss}'(y_i, \mathrm{raw}_i)\, x_i ,

which is right *on average*. With all rows it is *batch* gradient descent
(``batch_size="full"``), with a single row *stochastic* gradient descent
(``batch_size=1``, Robbins and Monro 1951), with a few rows *mini-batch* descent.
"""

# %%
# Three paths to the same minimum
# -------------------------------
#
# The line of lesson 2 is trained for three *epochs* with each batch size, at a
# suitable rate. An epoch reads every row once, so all three do the same amount of
# arithmetic: the full batch in 3 steps, batches of 32 in 42, single rows in 1326.

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
    params = {"learning_rate": "constant", "eta0": eta0, **more}
    return SGDRegressor(
        penalty=None, batch_size=batch_size, random_state=0, **params
    )


def walk(batch_size, eta0, n_epochs):
    """The parameters after each batch, by ``partial_fit`` on its rows alone."""
    size = "full" if batch_size == len(x) else batch_size
    model, path = sgd(size, eta0), [(0.0, 0.0)]
    rng = np.random.default_rng(0)
    for _ in range(n_epochs):
        order = rng.permutation(len(x))
        for first in range(0, len(x), batch_size):
            rows = order[first : first + batch_size]
            model.partial_fit(line_X[rows], y[rows])
            path.append((model.coef_[0], model.intercept_[0]))
    return np.array(path)


paths = {m: walk(m, rate, 3) for m, rate in ((442, 0.5), (32, 0.25), (1, 0.05))}
best = np.polyfit(x, y, 1)
for size, path in paths.items():
    away = np.linalg.norm(path[-1] - best)
    print(
        f"batches of {size:3d}: {len(path) - 1:4d} steps, end {away:.1f} away"
    )

# %%
# The small batches get close to the minimum, on noisier paths:

# %%

# Plot: the three paths on the contours of the objective
grid = np.meshgrid(np.linspace(-15, 160, 80), np.linspace(-10, 120, 80))
raws = grid[0][..., None] * x + grid[1][..., None]
F = np.mean((raws - y) ** 2, axis=-1) / 2
figure, panels = plt.subplots(
    1, 3, figsize=(10, 3.6), sharey=True, layout="constrained"
)
for panel, (size, path) in zip(panels, paths.items(), strict=True):
    levels = F.min() + np.geomspace(5, 12000, 12)
    panel.contour(*grid, F, levels, colors="0.8", linewidths=1)
    panel.plot(*path.T, ".-", linewidth=0.8, markersize=4 if size > 1 else 2)
    panel.plot(*path[-1], "s", color="C1", markeredgecolor="black")
    panel.set(xlabel="w", title=f"batches of {size}: {len(path) - 1} steps")
panels[0].set_ylabel("b")
plt.show()

# %%
# What the noise costs in the end
# -------------------------------
#
# Now with all ten columns, and the same rate for all batch sizes.
# ``monitor=True`` computes the objective of all rows after each epoch. With
# small batches it falls faster at first, and then stays at a *noise floor*: the
# noise of the batches moves the model around the optimum, at a level about
# proportional to :math:`\eta / m` (Bottou, Curtis and Nocedal 2018, theorem
# 4.6). The full batch has no noise and no floor, and is still on its way.

X = StandardScaler().fit_transform(columns)
A = np.column_stack([X, np.ones(len(y))])
optimum = 0.5 * np.mean((A @ np.linalg.lstsq(A, y)[0] - y) ** 2)
above = {}
for size in (1, 8, 64, "full"):
    model = sgd(size, 0.01, max_iter=60, tol=None, monitor=True).fit(X, y)
    above[size] = np.array(model.history_["true_objective"]) / optimum - 1
    print(
        f"{size!s:5s} {100 * above[size][2]:8.2f} % above after 3 epochs, "
        f"{100 * above[size][-10:].mean():6.2f} % in the last ten"
    )

# %%

# Plot: the objective above the optimum, epoch by epoch
figure, panel = plt.subplots(figsize=(7, 3.8), layout="constrained")
for size, curve in above.items():
    panel.semilogy(np.arange(1, 61), curve, label=f"{size}")
panel.set(xlabel="epochs", ylabel="objective above the optimum")
panel.set_ylim(1e-3, 300)
panel.legend(title="batch_size", ncols=4, loc="upper right")
plt.show()

# %%
# Exercise
# --------
#
# Single rows end 3 % above the optimum. Name two ways to lower this floor, and
# try one.

# %%

# Solution
# A smaller rate, or larger batches: the floor is proportional to rate / size.
model = sgd(1, 0.0025, max_iter=60, tol=None, monitor=True).fit(X, y)
floor = np.mean(model.history_["true_objective"][-10:]) / optimum - 1
print(f"a quarter of the rate: {100 * floor:.2f} % above the optimum")

# %%
# What to remember
# ----------------
#
# * The gradient of a batch is an estimate, right on average.
# * An epoch is the same arithmetic for any batch size. The number of steps
#   differs, and so does their noise.
#
# Sources: Robbins and Monro, *A Stochastic Approximation Method*, 1951. Bottou,
# Curtis and Nocedal, *Optimization Methods for Large-Scale Machine Learning*,
# 2018, `arXiv:1606.04838 <https://arxiv.org/abs/1606.04838>`_.
