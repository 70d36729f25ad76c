r"""
1. What the loss has to do with the descent
===========================================

A linear model predicts :math:`\mathrm{raw}_i = w x_i + b`. A *loss* says how bad one prediction is;
the mean over all rows is the *objective*,

.. math:: F(w, b) = \frac{1}{n} \sum_{i=1}^n \mathrm{loss}(y_i, \mathrm{raw}_i).

Gradient descent (Cauchy 1847) takes steps against the gradient of :math:`F`, and the length of a
step is the gradient's times a *learning rate* :math:`\eta`. By the chain rule

.. math::
   \frac{\partial F}{\partial w} =
   \frac{1}{n} \sum_{i=1}^n \mathrm{loss}'(y_i, \mathrm{raw}_i)\, x_i ,

where :math:`\mathrm{loss}'` is the derivative by :math:`\mathrm{raw}`. So descent never sees the
loss itself. All that it knows of the loss is its derivative: how hard, and in which direction, each
row pulls at the model.
"""

# %%
# One step, by hand and by the library
# ------------------------------------
#
# 442 patients: the progress of their diabetes after a year, against their body mass index. With
# ``batch_size="full"`` one epoch of ``partial_fit`` is one step of the formula above.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes

from fastgd import SGDRegressor

columns, y = load_diabetes(return_X_y=True, scaled=False)
x = (columns[:, 2] - 18) / 10  # body mass index, from 0 for the leanest patient
X = x[:, None]
RATE = 0.5


def line(loss="squared_error"):
    """A straight line, not yet fitted, that steps along the whole gradient."""
    return SGDRegressor(loss, penalty=None, learning_rate="constant", eta0=RATE, batch_size="full")


slopes = 0.0 - y  # of the squared error, raw - y, at w = b = 0
w, b = -RATE * np.mean(slopes * x), -RATE * np.mean(slopes)

model = line().partial_fit(X, y)
print(f"by hand     w = {w:.6f}  b = {b:.6f}")
print(f"by fastgd   w = {model.coef_[0]:.6f}  b = {model.intercept_[0]:.6f}")

# %%
# The landscape
# -------------
#
# Two parameters, so :math:`F` can be drawn: each point of the left picture is a line in the right
# one. The squared error makes a bowl. Steps stand at right angles to its contours, which is why the
# path first falls into the valley and then follows it: along the valley the slope is small, and so
# are the steps.


def path_of(model, n_steps):
    """The parameters (w, b) before and after each step."""
    path = [(0.0, 0.0)]
    for _ in range(n_steps):
        model.partial_fit(X, y)
        path.append((model.coef_[0], model.intercept_[0]))
    return np.array(path)


path = path_of(line(), 100)
grid_w, grid_b = np.meshgrid(np.linspace(-20, 180, 80), np.linspace(-20, 150, 80))
F = np.mean((grid_w[..., None] * x + grid_b[..., None] - y) ** 2, axis=-1) / 2

figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 4), layout="constrained")
levels = F.min() + np.geomspace(5, 12000, 12)
left.contour(grid_w, grid_b, F, levels, colors="0.75", linewidths=1)
left.plot(*path.T, "o-", markersize=4, linewidth=1)
left.set(xlabel="slope w", ylabel="intercept b", title="F(w, b) and 100 steps")
right.plot(x, y, ".", color="0.75")
for n_steps, shade in ((1, 0.4), (5, 0.6), (100, 1.0)):
    w, b = path[n_steps]
    color = plt.get_cmap("Blues")(shade)
    right.plot([0, 2.4], [b, 2.4 * w + b], color=color, label=f"after {n_steps}")
    left.plot(w, b, "s", color=color, markeredgecolor="black", markersize=9)
right.set(xlabel="(body mass index - 18) / 10", ylabel="progress", title="the line")
right.legend(title="steps", loc="upper left")
plt.show()

# %%
# Other losses pull otherwise
# ---------------------------
#
# The upper pictures show losses, the lower ones their derivatives: what descent sees. For numbers
# (left) the squared error pulls the harder the further away a row is; Huber's loss (1964) stops at
# ``epsilon``, the absolute error always pulls by one. For classes (right, of a row with label 1)
# all pull at rows on the wrong side. Beyond the margin at 1 the hinge of the support-vector machine
# lets go altogether, while the logistic loss never quite does: its derivative is :math:`p - y`,
# probability minus label.

from fastgd.losses import AbsoluteError, Hinge, Huber, LogLoss, SquaredError, SquaredHinge

raw = np.linspace(-3, 3, 301)
groups = [
    (0.0, [SquaredError(), Huber(epsilon=1.0), AbsoluteError()]),
    (1.0, [SquaredHinge(), LogLoss(), Hinge()]),
]
figure, panels = plt.subplots(2, 2, figsize=(9.5, 5.5), sharex=True, layout="constrained")
for (above, below), (label, tags) in zip(panels.T, groups, strict=True):
    for tag, style in zip(tags, ("-", "--", ":"), strict=True):
        name = type(tag).__name__
        above.plot(raw, [tag.value(tag, label, r) for r in raw], style, label=name)
        below.plot(raw, [tag.gradient(tag, label, r) for r in raw], style)
    above.set_ylim(-0.2, 5)
    below.set_ylim(-5, 3.2)
    above.legend(loc="upper center" if label == 0.0 else "upper right")
panels[0, 0].set(ylabel="loss", title="numbers: y = 0")
panels[0, 1].set(title="classes: the label is 1")
panels[1, 0].set(ylabel="derivative = pull", xlabel="raw")
panels[1, 1].set(xlabel="raw")
plt.show()

# %%
# What that means for damaged data
# --------------------------------
#
# Let the ten leanest patients have lost their decimal point: their targets are ten times too large.
# With the squared error ten rows of 442 take three quarters of the line's slope away. Under Huber's
# loss each of them pulls no harder than any other row that is 20 or more away, and the line stays
# about where it was. Same data, same descent, another derivative.

y_damaged = y.copy()
damaged = np.argsort(x)[:10]
y_damaged[damaged] *= 10

figure, panel = plt.subplots(figsize=(6.5, 4.2), layout="constrained")
panel.plot(x, y_damaged, ".", color="0.75")
panel.plot(x[damaged], y_damaged[damaged], "x", color="black", label="damaged rows")
ends = np.array([[0.0], [2.4]])
huber = line(Huber(epsilon=20.0)).partial_fit(X, y_damaged, max_iter=500)
for name, fitted, style in (
    ("squared error, sound data", line().partial_fit(X, y, max_iter=500), "k--"),
    ("squared error", line().partial_fit(X, y_damaged, max_iter=500), "C1-"),
    ("Huber, epsilon = 20", huber, "C0-"),
):
    panel.plot(ends, fitted.predict(ends), style, label=name)
    print(f"{name:26s} w = {fitted.coef_[0]:6.1f}  b = {fitted.intercept_[0]:6.1f}")
panel.set(xlabel="(body mass index - 18) / 10", ylabel="progress", ylim=(0, 1700))
panel.legend(loc="upper right")
plt.show()

# %%
# To take away
# ------------
#
# * Choose the loss for what a mistake costs. Descent follows from it through its derivative alone.
# * A bounded derivative makes a model that single rows cannot carry away.
# * A loss of your own is two short functions: :doc:`/generated/howto/own_loss`. All that are built
#   in, with formulas and pictures: :doc:`/catalogue`.
#
# Sources: Cauchy, *Méthode générale pour la résolution des systèmes d'équations simultanées*, 1847.
# Huber, *Robust Estimation of a Location Parameter*, 1964. Cox, *The Regression Analysis of Binary
# Sequences*, 1958. Cortes and Vapnik, *Support-Vector Networks*, 1995. Bottou, Curtis and Nocedal,
# *Optimization Methods for Large-Scale Machine Learning*, 2018,
# `arXiv:1606.04838 <https://arxiv.org/abs/1606.04838>`_.
