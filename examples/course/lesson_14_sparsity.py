r"""
14. The l1 penalty: few coefficients
====================================

The l2 penalty of lesson 13 makes coefficients small, but not zero. The *l1*
penalty :math:`\alpha \sum_j |w_j|` sets many of them to exactly zero, so it
selects columns (the lasso, Tibshirani 1996). This lesson shows why, and how a
step is taken where there is no derivative.
"""

# %%
# The proximal step
# -----------------
#
# :math:`|w|` has no derivative at 0. So a step has two parts: first along the
# gradient :math:`g` of the loss, then towards zero by at most
# :math:`\eta \alpha`, and not beyond it:
#
# .. math:: z = w - \eta g, \qquad
#    w \leftarrow \operatorname{sign}(z) \max(|z| - \eta \alpha,\ 0) .
#
# This *soft threshold* minimises :math:`\frac{1}{2} (w - z)^2 + \eta \alpha |w|`.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.preprocessing import StandardScaler

from fastgd import Lasso, Ridge, SGDRegressor


def soft_threshold(z, by):
    """Towards zero, and not beyond."""
    return np.sign(z) * np.maximum(np.abs(z) - by, 0)


grid = np.linspace(-3, 3, 60_001)
for z in (-2.0, 0.3, 1.0):
    searched = grid[np.argmin((grid - z) ** 2 / 2 + 0.5 * np.abs(grid))]
    print(
        f"z = {z:4.1f}: {soft_threshold(z, 0.5):.2f}, searched {searched:.2f}"
    )

# %%
# Why zeros
# ---------
#
# Two columns of the diabetes data. A penalty allows the more, the smaller
# ``alpha`` is: coefficients inside a circle under l2, inside a diamond under l1.
# The best point inside is where a contour of the loss touches. The diamond has
# corners, on the axes, and a contour touches a corner first: there one
# coefficient is *exactly* zero.

columns, y = load_diabetes(return_X_y=True)
y = (y - y.mean()) / y.std()
columns = StandardScaler().fit_transform(columns)
pair = columns[:, [2, 3]]  # body mass index, blood pressure


def minimum(penalty, alpha):
    """Least squares under a penalty, by whole gradients: two coefficients."""
    model = SGDRegressor(penalty=penalty, alpha=alpha, batch_size="full")
    model.set_params(learning_rate="constant", eta0=0.1, max_iter=300, tol=None)
    return model.fit(pair, y).coef_


paths = {
    "l2": np.array([minimum("l2", a) for a in np.geomspace(0.01, 5, 30)]),
    "l1": np.array([minimum("l1", a) for a in np.geomspace(0.01, 0.6, 30)]),
}
for penalty, path in paths.items():
    print(f"{penalty}: {np.sum(path[:, 1] == 0)} of 30 have a zero")

# %%

# Plot: the minimum as alpha changes
axis = np.linspace(-0.25, 0.65, 80)
plane = np.stack(np.meshgrid(axis, axis), axis=-1)
F = 0.5 * np.mean((plane @ pair.T - y) ** 2, axis=-1)
figure, panel = plt.subplots(figsize=(6.4, 5), layout="constrained")
levels = F.min() + np.geomspace(1e-3, 0.3, 10)
panel.contour(*plane.transpose(2, 0, 1), F, levels, colors="0.8")
panel.add_patch(plt.Circle((0, 0), 0.2, fill=False, color="C0"))
panel.plot([0.2, 0, -0.2, 0, 0.2], [0, 0.2, 0, -0.2, 0], color="C1")
for (penalty, path), style in zip(paths.items(), ("oC0-", "sC1-"), strict=True):
    panel.plot(*path.T, style, markersize=4, linewidth=1, label=penalty)
panel.plot(*np.linalg.lstsq(pair, y)[0], "*k", markersize=13)
panel.set(xlim=(-0.25, 0.65), ylim=(-0.25, 0.5), aspect="equal")
panel.set(xlabel="body mass index", ylabel="blood pressure")
panel.legend(loc="upper left")
plt.show()

# %%
# All ten columns
# ---------------
#
# As ``alpha`` grows, l2 shrinks all coefficients together, and l1 sets one after
# the other to zero. :class:`fastgd.Ridge` and :class:`fastgd.Lasso` find the
# minimum without a learning rate. (Ridge's ``alpha`` is for the sum over rows.)

grids = {"l2": np.geomspace(0.003, 5, 25), "l1": np.geomspace(0.003, 0.6, 25)}
coefs = {
    "l2": [Ridge(len(y) * a).fit(columns, y).coef_ for a in grids["l2"]],
    "l1": [Lasso(a).fit(columns, y).coef_ for a in grids["l1"]],
}
for penalty, rows in coefs.items():
    print(penalty, "zeros:", [int(np.sum(row == 0)) for row in rows[::4]])

# %%

# Plot: ten coefficients against alpha
figure, panels = plt.subplots(
    1, 2, figsize=(10, 3.8), sharey=True, layout="constrained"
)
for panel, (penalty, rows) in zip(panels, coefs.items(), strict=True):
    panel.semilogx(grids[penalty], rows)
    panel.set(xlabel="alpha", title=penalty, ylabel="coefficient")
plt.show()

# %%
# Exercise
# --------
#
# :math:`w = 0`, the gradient of the loss is :math:`g`. For which :math:`g` does a
# proximal step leave :math:`w` at zero? Test it with the diabetes data.

# %%

# Solution
# z = -eta g, and |z| <= eta alpha means |g| <= alpha. All coefficients are zero
# if that holds for the largest entry of the gradient at zero:
largest = np.abs(columns.T @ y / len(y)).max()
for alpha in (0.99 * largest, 1.01 * largest):
    print(
        f"alpha {alpha:.3f}: {np.sum(Lasso(alpha).fit(columns, y).coef_ != 0)}"
    )

# %%
# What to remember
# ----------------
#
# * l1 for few columns, l2 for good predictions, ``"elasticnet"`` for both.
# * :class:`fastgd.plot.CoefficientPathDisplay` plots such paths for your data.
#
# Sources: Tibshirani, *Regression Shrinkage and Selection via the Lasso*, 1996.
# Parikh and Boyd, *Proximal Algorithms*, 2014.
