r"""
5. Exploding gradients and clipping
===================================

A rate suits one curvature. Where the curvature grows along the path, a step of the usual length can
land far up the opposite side, where the gradient is huge, and the next step leaves the valley: the
gradient *explodes*. Pascanu, Mikolov and Bengio (2013) found such cliffs in recurrent networks; a
linear model has them as soon as its loss contains an exponential. Their remedy was to shorten the
gradient where it is too long, and keep its direction:

.. math:: g \leftarrow g \cdot \min\left(1, \frac{c}{\lVert g \rVert}\right),

which is ``clip_norm=c`` here. ``clip_value`` bounds each entry separately.
"""

# %%
# A cliff
# -------
#
# Twenty men in a gym: how does the number of jumps depend on their waist? Counts suggest the
# Poisson loss, :math:`e^{\mathrm{raw}} - y\,\mathrm{raw}`. To the left of its minimum its slope
# tends to :math:`-y`; to the right the slope grows without bound. A rate of 0.02 is suitable: it is
# below the limit 2/L of lesson 4 at the minimum. From 0, descent converges. From the second start,
# a little up the cliff, the first step leaves the plot towards the lower left; there
# :math:`e^{\mathrm{raw}}` is astronomical for some rows, and after three steps the parameters are
# in the billions. With ``clip_norm=10`` no step is longer than 0.2, from either start. Near the
# minimum gradients are short, and nothing is clipped.

import textwrap
import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes, load_linnerud
from sklearn.preprocessing import StandardScaler

from fastgd import SGDRegressor

gym = load_linnerud()
jumps = gym.data[:, gym.feature_names.index("Jumps")]
waist = gym.target[:, [gym.target_names.index("Waist")]]
waist = StandardScaler().fit_transform(waist)


def path_from(start, n_steps=60, **more):
    """Parameters (w, b) before and after each step along the whole gradient, and the model."""
    model = SGDRegressor(
        "poisson",
        penalty=None,
        learning_rate="constant",
        eta0=0.02,
        batch_size="full",
        max_iter=1,
        tol=None,
        **more,
    )
    model.fit(waist, jumps, coef_init=start[:1], intercept_init=start[1:])
    path = [start, (model.coef_[0], model.intercept_[0])]
    for _ in range(n_steps - 1):
        model.partial_fit(waist, jumps)
        path.append((model.coef_[0], model.intercept_[0]))
    return np.array(path), model


STARTS = {"o": (0.0, 0.0), "s": (1.5, 5.0)}
grid_w, grid_b = np.meshgrid(np.linspace(-3, 4, 90), np.linspace(-1, 8, 90))
raw = grid_w[..., None] * waist[:, 0] + grid_b[..., None]
F = np.mean(np.exp(raw) - jumps * raw, axis=-1)
levels = F.min() + np.geomspace(2, 1e5, 16)

print("(w, b) after 1, 3 and 60 steps")
figure, panels = plt.subplots(1, 3, figsize=(11, 4), layout="constrained")
for panel, clip_norm in zip(panels, (None, 10.0), strict=False):
    panel.contour(grid_w, grid_b, F, levels, colors="0.8", linewidths=1, linestyles="-")
    for (marker, start), color in zip(STARTS.items(), ("C0", "C1"), strict=True):
        path, model = path_from(start, clip_norm=clip_norm)
        panel.plot(*path.T, ".-", color=color, linewidth=1)
        panel.plot(*start, marker, color=color, markersize=9, markeredgecolor="black")
        ways = ", ".join(f"({path[k, 0]:.3g}, {path[k, 1]:.3g})" for k in (1, 3, 60))
        print(f"clip_norm={clip_norm}, from {start}: {ways}")
    panel.plot(-0.154, 4.242, "*", color="black", markersize=12)
    panel.set(xlim=(-3, 4), ylim=(-1, 8), xlabel="w", title=f"clip_norm={clip_norm}")
panels[0].set_ylabel("b")
axis = np.linspace(-1, 6.5, 200)
panels[2].plot(axis, np.exp(axis) - jumps.mean() * axis, label="F at w = 0")
panels[2].plot(axis, np.exp(axis) - jumps.mean(), "--", label="its derivative by b")
panels[2].set(ylim=(-250, 500), xlabel="b", title="a hillside and a cliff")
panels[2].legend(loc="upper left")
plt.show()
print(f"clipped from the second start: {sum(model.history_['clipped']):.0f} of 60 steps")

# %%
# Outliers
# --------
#
# With small batches single rows can have the same effect. In the diabetes data with five targets a
# thousand times too large, each visit of such a row moves the model far away, and it slowly returns
# until the next one. Clipping bounds the effect of a single batch. (It also biases the gradient if
# it is frequent: not more than a fifth of the steps should be clipped; see ``history_["clipped"]``.
# Here a robust loss, lesson 1, is the better remedy.)

columns, y = load_diabetes(return_X_y=True, scaled=False)
X = StandardScaler().fit_transform(columns)
y_loud = y.copy()
y_loud[:5] *= 1000


def regression(**more):
    """Least squares by single rows."""
    return SGDRegressor(penalty=None, learning_rate="constant", eta0=0.002, random_state=0, **more)


figure, panel = plt.subplots(figsize=(7.5, 3.8), layout="constrained")
for name, params, style in (
    ("no clipping", {}, "-"),
    ("clip_norm=300", {"clip_norm": 300.0}, "--"),
):
    model, errors = regression(**params), []
    for _ in range(40):
        model.partial_fit(X, y_loud)
        errors.append(np.median(np.abs(model.predict(X[5:]) - y[5:])))
    panel.semilogy(range(1, 41), errors, style, label=name)
    print(f"{name:14s} median error of the sound rows {errors[-1]:6.0f}")
print(f"clipped in the last epoch: {model.history_['clipped'][-1]:.0%} of the steps")
panel.set(xlabel="epochs", ylabel="median error of the sound rows", ylim=(10, 1e4))
panel.legend()
plt.show()

# %%
# If training still diverges
# --------------------------
#
# The most common cause is another one: columns of very different scale. ``fit`` says so, and the
# remedy is a ``StandardScaler``. For training that must not fail, ``on_divergence="backoff"``
# returns to the best epoch, divides the rate by four, and continues.

rough = np.column_stack([X, 30 * X[:, 2]])  # one column in other units
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    SGDRegressor(random_state=0).fit(rough, y)
print(textwrap.fill(str(caught[0].message), 90))

saved = SGDRegressor(random_state=0, on_divergence="backoff").fit(rough, y)
print(
    f"\nbackoff: the rate quartered {saved.history_['backoffs'][-1]:.0f} times, "
    f"{saved.n_iter_} epochs, R2 = {saved.score(rough, y):.2f}"
)
scaled = StandardScaler().fit_transform(rough)
model = SGDRegressor(random_state=0).fit(scaled, y)
print(f"scaled:  {model.n_iter_} epochs, R2 = {model.score(scaled, y):.2f}")

# %%
# To take away
# ------------
#
# * First scale the columns and choose the loss; then lower the rate; then clip.
# * ``clip_norm`` keeps the direction of a step, ``clip_value`` does not.
# * Choose the norm by what occurs in training: a few times the usual ``gradient_norm`` with
#   ``monitor=True``.
#
# Source: Pascanu, Mikolov and Bengio, *On the Difficulty of Training Recurrent Neural Networks*,
# 2013, `arXiv:1211.5063 <https://arxiv.org/abs/1211.5063>`_.
