r"""
2. What the loss has to do with the descent
===========================================

A linear model predicts :math:`\mathrm{raw}_i = w x_i + b`. A *loss* says how bad
one prediction is. The mean over all rows is the *objective*,

.. math:: F(w, b) = \frac{1}{n} \sum_{i=1}^n \mathrm{loss}(y_i, \mathrm{raw}_i) .

By the chain rule (lesson 17), with :math:`\mathrm{loss}'` the derivative with
respect to :math:`\mathrm{raw}`, its gradient is

.. math::
   \frac{\partial F}{\partial w} =
   \frac{1}{n} \sum_{i=1}^n \mathrm{loss}'(y_i, \mathrm{raw}_i)\, x_i .

So descent depends on the loss through its derivative only: it says how strongly,
and in which direction, each row pulls at the model.
"""

# %%
# One step, by hand and with the library
# --------------------------------------
#
# The data are 442 patients: the progression of their diabetes after a year, and
# their body mass index. With ``batch_size="full"`` one epoch of ``partial_fit``
# is one step against the gradient above. The derivative of the squared error,
# :math:`(\mathrm{raw} - y)^2 / 2`, is :math:`\mathrm{raw} - y`.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes

from fastgd import SGDRegressor
from fastgd.losses import AbsoluteError, Huber, SquaredError

columns, y = load_diabetes(return_X_y=True, scaled=False)
x = (columns[:, 2] - 18) / 10  # body mass index, from 0 for the leanest patient
X = x[:, None]
RATE = 0.5


def line(loss="squared_error"):
    """A straight line, not yet fitted, that steps along the whole gradient."""
    params = {"learning_rate": "constant", "eta0": RATE, "batch_size": "full"}
    return SGDRegressor(loss, penalty=None, **params)


slopes = 0.0 - y  # of the squared error, raw - y, at w = b = 0
w, b = -RATE * np.mean(slopes * x), -RATE * np.mean(slopes)

model = line().partial_fit(X, y)
print(f"by hand     w = {w:.6f}  b = {b:.6f}")
print(f"by fastgd   w = {model.coef_[0]:.6f}  b = {model.intercept_[0]:.6f}")

# %%
# Three losses and their derivatives
# ----------------------------------
#
# The influence of a row under the squared error grows with its residual. Under
# Huber's loss (1964) it is bounded by ``epsilon``:
#
# .. math:: \mathrm{loss}'(y, \mathrm{raw})
#    = \max(-\varepsilon, \min(\varepsilon, \mathrm{raw} - y)) .
#
# Under the absolute error it is always one, whatever the residual.

# %%

# Plot: the losses above, their derivatives below
raw = np.linspace(-3, 3, 301)
figure, (above, below) = plt.subplots(
    2, 1, figsize=(6.5, 5), sharex=True, layout="constrained"
)
losses = [SquaredError(), Huber(epsilon=1.0), AbsoluteError()]
for loss, style in zip(losses, ("-", "--", ":"), strict=True):
    name = type(loss).__name__
    above.plot(raw, [loss.value(loss, 0.0, r) for r in raw], style, label=name)
    below.plot(raw, [loss.gradient(loss, 0.0, r) for r in raw], style)
above.legend(loc="upper center")
above.set(ylabel="loss at y = 0")
below.set(ylabel="derivative = pull", xlabel="raw")
plt.show()

# %%
# What that means for outliers
# ----------------------------
#
# Suppose that the targets of the ten leanest patients lost their decimal point,
# and are ten times too large. With the squared error these ten rows of 442 turn
# the line. With Huber's loss each of them has no more influence than any other
# row with a residual of 20 or more. The data and the algorithm are the same; the
# derivative differs.

y_damaged = y.copy()
damaged = np.argsort(x)[:10]
y_damaged[damaged] *= 10

fits = {
    "squared error, sound data": line().partial_fit(X, y, max_iter=500),
    "squared error": line().partial_fit(X, y_damaged, max_iter=500),
    "Huber, 20": line(Huber(20.0)).partial_fit(X, y_damaged, max_iter=500),
}
for name, fitted in fits.items():
    w, b = fitted.coef_[0], fitted.intercept_[0]
    print(f"{name:26s} w = {w:6.1f}  b = {b:6.1f}")

# %%

# Plot: the rows and the three lines
figure, panel = plt.subplots(figsize=(6.5, 4), layout="constrained")
panel.plot(x, y_damaged, ".", color="0.75")
panel.plot(x[damaged], y_damaged[damaged], "xk", label="damaged rows")
ends = np.array([[0.0], [2.4]])
for (name, fitted), style in zip(
    fits.items(), ("k--", "C1-", "C0-"), strict=True
):
    panel.plot(ends, fitted.predict(ends), style, label=name)
panel.set(xlabel="(body mass index - 18) / 10", ylabel="progress")
panel.legend(loc="upper right")
plt.show()

# %%
# Exercise
# --------
#
# One number :math:`b` is to stand for 1, 2, 3, 4 and 100. Which :math:`b`
# minimises the squared error, which the absolute error? Set the mean of the
# derivatives to zero.

# %%

# Solution
# Squared: mean(b - y) = 0, so b is the mean. Absolute: as many rows must pull up
# as down, so b is the median, which does not depend on how far away the 100 is.
numbers = np.array([1.0, 2.0, 3.0, 4.0, 100.0])
print("mean", numbers.mean(), "- median", np.median(numbers))

# %%
# What to remember
# ----------------
#
# * Choose the loss by what an error costs. Descent sees its derivative only.
# * With a bounded derivative, single rows have bounded influence on the model.
# * A loss of your own is two short functions: :doc:`/generated/howto/own_loss`.
#   All built-in losses, with formulas and plots: :doc:`/catalogue`.
#
# Sources: Huber, *Robust Estimation of a Location Parameter*, 1964. Bottou, Curtis
# and Nocedal, *Optimization Methods for Large-Scale Machine Learning*, 2018,
# `arXiv:1606.04838 <https://arxiv.org/abs/1606.04838>`_.
