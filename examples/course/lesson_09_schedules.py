r"""
9. Schedules: rates that fall
=============================

Lesson 4 ended at a noise floor: with small batches and a constant rate descent
does not come to rest. So begin with long steps and end with short ones. A
*schedule* says which rate each step has.
"""

# %%
# Why falling rates work
# ----------------------
#
# Robbins and Monro (1951) proved that two conditions on the rates
# :math:`\eta_1, \eta_2, \ldots` suffice:
#
# .. math:: \sum_{t=1}^\infty \eta_t = \infty, \qquad
#    \sum_{t=1}^\infty \eta_t^2 < \infty .
#
# The first: the steps can reach any point, however far away. The second: their
# noise dies out. :math:`\eta_t = \eta_0 / t^p` satisfies both for
# :math:`1/2 < p \leq 1`; in fastgd it is ``"invscaling"`` with ``power_t=p``.
# Partial sums show it. :math:`1/t` grows without end, but slowly; its squares
# stop at :math:`\pi^2/6 = 1.645`:

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.preprocessing import StandardScaler

from fastgd import SGDRegressor
from fastgd.schedules import Cosine

for n in (100, 10_000, 1_000_000):
    rates = 1 / np.arange(1.0, n + 1)
    print(f"{n:8d} steps: sum {rates.sum():5.2f}, squares {sum(rates**2):.4f}")

# %%
# Schedules over a fixed number of epochs
# ---------------------------------------
#
# If the number of steps :math:`T` is known, the rate can stay large for most of
# the time, and go to zero at the end. ``"cosine"`` (Loshchilov and Hutter 2017):
#
# .. math:: \eta_t = \frac{\eta_0}{2} \left(1 + \cos \frac{\pi t}{T} \right) .
#
# ``"one_cycle"`` (Smith 2018) rises first, then falls. A third way keeps the rate
# and takes the *mean of the iterates* as the model (Polyak and Juditsky 1992):
# the noise of many steps cancels in their mean. That is ``average=``.

X, y = load_diabetes(return_X_y=True)
X, y = StandardScaler().fit_transform(X), (y - y.mean()) / y.std()
A = np.column_stack([X, np.ones(len(y))])
optimum = 0.5 * np.mean((A @ np.linalg.lstsq(A, y)[0] - y) ** 2)
N_EPOCHS, STEPS = 40, -(-len(y) // 4)


def history_of(eta0, **params):
    """Least squares by batches of 4; the history has each epoch."""
    model = SGDRegressor(penalty=None, eta0=eta0, batch_size=4)
    model.set_params(max_iter=N_EPOCHS, tol=None, monitor=True, random_state=0)
    return model.set_params(**{"learning_rate": "constant", **params}).fit(X, y)


courses = {
    "constant, large": (0.03, {}),
    "constant, small": (0.001, {}),
    "invscaling": (0.2, {"learning_rate": "invscaling", "power_t": 0.6}),
    "cosine": (0.03, {"learning_rate": "cosine"}),
    "one_cycle": (0.05, {"learning_rate": "one_cycle"}),
    "constant, averaged": (0.03, {"average": 10 * STEPS}),
}
histories, above = {}, {}
for name, (eta0, params) in courses.items():
    histories[name] = history_of(eta0, **params).history_
    above[name] = np.array(histories[name]["true_objective"]) / optimum - 1
    print(f"{name:19s} {100 * above[name][-1]:7.3f} % above the optimum")

# %%

# Plot: rates and objectives, epoch by epoch
figure, (left, right) = plt.subplots(
    1, 2, figsize=(10, 4.3), layout="constrained"
)
for (name, curve), style in zip(
    above.items(), ["-", ":", "--", "-", "-.", "-"], strict=True
):
    right.semilogy(range(1, N_EPOCHS + 1), curve, style, label=name)
    rates = histories[name]["learning_rate"]
    if name == "constant, averaged":  # has the rates of "constant, large"
        rates = [np.nan] * N_EPOCHS
    left.semilogy(range(1, N_EPOCHS + 1), rates, style)
left.set(xlabel="epochs", ylabel="learning rate", ylim=(1e-5, 0.2))
right.set(xlabel="epochs", ylabel="objective above the optimum", ylim=(5e-4, 1))
figure.legend(loc="outside lower center", ncols=3)
plt.show()

# %%
# Every schedule as numbers
# -------------------------
#
# ``values`` of a schedule object has the rates of its steps, for a plot or a
# check. Any function of the step numbers is a schedule, too:
# ``learning_rate=lambda t: 0.1 / t``.

cosine = Cosine(eta0=0.03).bind(0.03, steps_per_epoch=1, max_iter=5)
print("cosine over 5 epochs:", cosine.values(5).round(4))

# %%
# Exercise
# --------
#
# Does :math:`\eta_t = \eta_0 / \sqrt{t}` satisfy the two conditions? And
# :math:`\eta_0\, 0.99^t`? How far can descent with the second one go at most, if
# each gradient has the length 1 and :math:`\eta_0 = 0.1`?

# %%

# Solution
# 1 / sqrt(t): no, the squares are 1/t, whose sum is infinite. (Such rates work,
# but more slowly.) 0.99^t: no, the sum is finite, and some points cannot be
# reached: descent goes at most 0.1 (0.99 + 0.99^2 + ...) = 9.9 far.
print(f"{sum(0.1 * 0.99**t for t in range(1, 5000)):.2f}")

# %%
# What to remember
# ----------------
#
# * Small batches need a falling rate, or the mean of the iterates.
# * With schedules over ``max_iter`` epochs use ``tol=None``: they must reach their
#   end. ``"adaptive"`` and ``"plateau"`` lower the rate when training stalls.
# * A warm-up, :class:`fastgd.schedules.WarmUp`, can precede any schedule. All
#   thirteen, with formulas and plots: :doc:`/catalogue`.
#
# Sources: Robbins and Monro, *A Stochastic Approximation Method*, 1951. Polyak and
# Juditsky, *Acceleration of Stochastic Approximation by Averaging*, 1992.
# Loshchilov and Hutter, *SGDR*, 2017, `arXiv:1608.03983
# <https://arxiv.org/abs/1608.03983>`_. Smith, *A Disciplined Approach*, 2018,
# `arXiv:1803.09820 <https://arxiv.org/abs/1803.09820>`_.
