r"""
10. Exploding gradients and clipping
====================================

A rate suits one curvature. Where the curvature grows along the path, a usual
step can land far up the opposite side of the valley. There the gradient is huge,
and the next step leaves the valley: the gradient *explodes*. *Clipping* shortens
a gradient that is too long, and keeps its direction (Pascanu et al. 2013):

.. math:: g \leftarrow g \cdot \min\left(1, \frac{c}{\lVert g \rVert}\right) .
"""

# %%
# A cliff
# -------
#
# Recurrent and deep networks have cliffs; so has a linear model if its loss
# contains an exponential. Twenty men in a gym: how does the number of jumps
# depend on their waist? Counts suggest the Poisson loss,
#
# .. math:: \mathrm{loss} = e^{\mathrm{raw}} - y\, \mathrm{raw}, \qquad
#    \mathrm{loss}' = e^{\mathrm{raw}} - y .
#
# To the left of its minimum the slope tends to :math:`-y`; to the right it grows
# without bound:

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_linnerud
from sklearn.preprocessing import StandardScaler

from fastgd import SGDRegressor

gym = load_linnerud()
jumps = gym.data[:, gym.feature_names.index("Jumps")]
waist = gym.target[:, [gym.target_names.index("Waist")]]
waist = StandardScaler().fit_transform(waist)
for b in (0.0, 4.2, 6.5, 9.0):
    print(f"b = {b}: the slope along b is {np.exp(b) - jumps.mean():8.1f}")

# %%
# Two starts, without and with clipping
# -------------------------------------
#
# The rate of 0.02 is suitable near the minimum. From (0, 0) descent converges.
# From the second start, a little up the cliff, the first step leaves the plot,
# and after three steps the parameters are in the billions. With
# ``clip_norm=10`` no step is longer than 0.2, from either start. Near the minimum
# gradients are short, and nothing is clipped.


def path_from(start, n_steps=60, **more):
    """Parameters (w, b) after each step along the whole gradient; the model."""
    model = SGDRegressor("poisson", penalty=None, batch_size="full", **more)
    model.set_params(learning_rate="constant", eta0=0.02, max_iter=1, tol=None)
    model.fit(waist, jumps, coef_init=start[:1], intercept_init=start[1:])
    path = [start, (model.coef_[0], model.intercept_[0])]
    for _ in range(n_steps - 1):
        model.partial_fit(waist, jumps)
        path.append((model.coef_[0], model.intercept_[0]))
    return np.array(path), model


STARTS = ((0.0, 0.0), (1.5, 5.0))
paths = {}
for clip_norm in (None, 10.0):
    for start in STARTS:
        path, model = path_from(start, clip_norm=clip_norm)
        paths[clip_norm, start] = path
        ways = ", ".join(f"({w:.3g}, {b:.3g})" for w, b in path[[1, 3, 60]])
        print(f"clip_norm={clip_norm}, from {start}: {ways}")
print(f"clipped: {sum(model.history_['clipped']):.0f} of the last 60 steps")

# %%

# Plot: the paths, and the hillside that they are on
grid_w, grid_b = np.meshgrid(np.linspace(-3, 4, 90), np.linspace(-1, 8, 90))
raw = grid_w[..., None] * waist[:, 0] + grid_b[..., None]
F = np.mean(np.exp(raw) - jumps * raw, axis=-1)
levels = F.min() + np.geomspace(2, 1e5, 16)
figure, panels = plt.subplots(1, 3, figsize=(11, 4), layout="constrained")
for panel, clip_norm in zip(panels, (None, 10.0), strict=False):
    panel.contour(grid_w, grid_b, F, levels, colors="0.8", linewidths=1)
    for start, color in zip(STARTS, ("C0", "C1"), strict=True):
        path = paths[clip_norm, start]
        panel.plot(*path.T, ".-", color=color, linewidth=1)
        panel.plot(*start, "o", color=color, markeredgecolor="black")
    panel.plot(-0.154, 4.242, "*", color="black", markersize=12)
    panel.set(xlim=(-3, 4), ylim=(-1, 8), xlabel="w", ylabel="b")
    panel.set_title(f"clip_norm={clip_norm}")
b = np.linspace(-1, 6.5, 200)
panels[2].plot(b, np.exp(b) - jumps.mean() * b, label="F at w = 0")
panels[2].plot(b, np.exp(b) - jumps.mean(), "--", label="its slope along b")
panels[2].set(ylim=(-250, 500), xlabel="b", title="a hillside and a cliff")
panels[2].legend(loc="upper left")
plt.show()

# %%
# If training still diverges
# --------------------------
#
# The most common cause is another one: columns of very different scale. ``fit``
# warns of it, and a ``StandardScaler`` is the remedy. For training that must not
# fail, ``on_divergence="backoff"`` returns to the best epoch, divides the rate by
# four, and goes on:

rough = np.column_stack([waist, 300 * waist])  # the same in other units
model = SGDRegressor(random_state=0, on_divergence="backoff")
model.fit(rough, jumps)
print(f"the rate was quartered {model.history_['backoffs'][-1]:.0f} times")

# %%
# Exercise
# --------
#
# A gradient is (6, 8). What does ``clip_norm=5`` make of it, and what
# ``clip_value=5``, which bounds each entry? Which of them keeps the direction?

# %%

# Solution
# Its norm is 10, so clip_norm multiplies by 5 / 10; that keeps the direction.
g = np.array([6.0, 8.0])
print("clip_norm ", g * min(1, 5 / np.linalg.norm(g)))
print("clip_value", np.clip(g, -5, 5))

# %%
# What to remember
# ----------------
#
# * First scale the columns and choose the loss; then lower the rate; then clip.
# * Clipping that is frequent changes what is minimised. Not more than a fifth of
#   the steps should be clipped: ``history_["clipped"]``.
#
# Source: Pascanu, Mikolov and Bengio, *On the Difficulty of Training Recurrent
# Neural Networks*, 2013, `arXiv:1211.5063 <https://arxiv.org/abs/1211.5063>`_.
