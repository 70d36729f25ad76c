r"""
1. What the loss has to do with the descent
===========================================

A linear model predicts :math:`\mathrm{raw}_i = w x_i + b`. A *loss* says how bad one prediction is;
the mean over all rows is the *objective*,

.. math:: F(w, b) = \frac{1}{n} \sum_{i=1}^n \mathrm{loss}(y_i, \mathrm{raw}_i).

Gradient descent (Cauchy 1847) takes steps against the gradient of :math:`F`. The length of a step
is that of the gradient times a *learning rate* :math:`\eta`. By the chain rule

.. math::
   \frac{\partial F}{\partial w} =
   \frac{1}{n} \sum_{i=1}^n \mathrm{loss}'(y_i, \mathrm{raw}_i)\, x_i ,

where :math:`\mathrm{loss}'` is the derivative with respect to :math:`\mathrm{raw}`. So descent
depends on the loss through its derivative only: how strongly, and in which direction, each row
influences the model.
"""

# %%
# One step, by hand and with the library
# --------------------------------------
#
# The data are 442 patients: the progression of their diabetes after a year, and their body mass
# index. With ``batch_size="full"`` one epoch of ``partial_fit`` is one step of the formula above.

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
# There are two parameters, so :math:`F` can be plotted: each point on the left is a line on the
# right. The squared error forms a bowl. Steps are perpendicular to its contours, so the path first
# falls into the valley and then follows it: along the valley the slope is small, and so are the
# steps.


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
# Other losses
# ------------
#
# The upper plots show losses, the lower ones their derivatives, which is what descent uses. In
# regression (left), the influence of a row under the squared error grows with its residual; under
# Huber's loss (1964) it is bounded by ``epsilon``, and under the absolute error it is always one.
# In classification (right, for a row with label 1), rows on the wrong side have influence under all
# losses. Beyond the margin at 1 the hinge of the support vector machine has none, while the
# logistic loss always has some: its derivative is :math:`p - y`, probability minus label.

from fastgd.losses import AbsoluteError, Hinge, Huber, LogLoss, SquaredError, SquaredHinge

raw = np.linspace(-3, 3, 301)
groups = [
    (0.0, [SquaredError(), Huber(epsilon=1.0), AbsoluteError()]),
    (1.0, [SquaredHinge(), LogLoss(), Hinge()]),
]
figure, panels = plt.subplots(2, 2, figsize=(9.5, 5.5), sharex=True, layout="constrained")
for (above, below), (label, losses) in zip(panels.T, groups, strict=True):
    for loss, style in zip(losses, ("-", "--", ":"), strict=True):
        name = type(loss).__name__
        above.plot(raw, [loss.value(loss, label, r) for r in raw], style, label=name)
        below.plot(raw, [loss.gradient(loss, label, r) for r in raw], style)
    above.set_ylim(-0.2, 5)
    below.set_ylim(-5, 3.2)
    above.legend(loc="upper center" if label == 0.0 else "upper right")
panels[0, 0].set(ylabel="loss", title="numbers: y = 0")
panels[0, 1].set(title="classes: the label is 1")
panels[1, 0].set(ylabel="derivative = pull", xlabel="raw")
panels[1, 1].set(xlabel="raw")
plt.show()

# %%
# What that means for outliers
# ----------------------------
#
# Suppose that the targets of the ten leanest patients lost their decimal point, and are ten times
# too large. With the squared error these ten rows of 442 reduce the slope of the line by three
# quarters. Under Huber's loss each of them has no more influence than any other row with a residual
# of 20 or more, and the line hardly moves. The data and the algorithm are the same; the derivative
# differs.

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
# * Choose the loss by the cost of an error. It affects descent through its derivative only.
# * With a bounded derivative, single rows have bounded influence on the model.
# * A custom loss is two short functions: :doc:`/generated/howto/own_loss`. For all built-in losses,
#   with formulas and plots, see :doc:`/catalogue`.
#
# Sources: Cauchy, *Méthode générale pour la résolution des systèmes d'équations simultanées*, 1847.
# Huber, *Robust Estimation of a Location Parameter*, 1964. Cox, *The Regression Analysis of Binary
# Sequences*, 1958. Cortes and Vapnik, *Support-Vector Networks*, 1995. Bottou, Curtis and Nocedal,
# *Optimization Methods for Large-Scale Machine Learning*, 2018,
# `arXiv:1606.04838 <https://arxiv.org/abs/1606.04838>`_.
