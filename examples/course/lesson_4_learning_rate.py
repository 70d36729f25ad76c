r"""
4. The choice and adjustment of the learning rate
=================================================

The learning rate :math:`\eta` decides whether descent works. On a bowl of curvature :math:`L` a
step multiplies the distance from the minimum by :math:`1 - \eta L`:

=====================  =========================================================================
:math:`\eta = 1/L`     the bottom in one step
:math:`\eta < 1/L`     slowly down one side
:math:`\eta < 2/L`     from side to side, and down
:math:`\eta > 2/L`     from side to side, and up: training explodes
=====================  =========================================================================

A real objective has many curvatures. :math:`L`, the largest, sets the limit for all of them.
"""

# %%
# The limit in an example
# -----------------------
#
# The diabetes data with full batches. For the squared error the curvatures are the eigenvalues of
# :math:`X^\top X / n`, so the limit is known in advance; for other losses :math:`L` is multiplied
# by the largest curvature of the loss, which is 1/4 for the logistic loss.

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.preprocessing import StandardScaler

from fastgd import SGDRegressor

warnings.simplefilter("ignore")  # rates that are too large are tried on purpose

X, y = load_diabetes(return_X_y=True)
X, y = StandardScaler().fit_transform(X), (y - y.mean()) / y.std()
A = np.column_stack([X, np.ones(len(y))])
optimum = 0.5 * np.mean((A @ np.linalg.lstsq(A, y)[0] - y) ** 2)
L = np.linalg.eigvalsh(A.T @ A / len(A))[-1]
print(f"largest curvature {L:.2f}, so rates must stay below {2 / L:.2f}")


def train(eta0, n_epochs, batch_size="full", **more):
    """Least squares; the objective of all rows after each epoch is in the history."""
    model = SGDRegressor(
        penalty=None,
        eta0=eta0,
        batch_size=batch_size,
        max_iter=n_epochs,
        tol=None,
        monitor=True,
        random_state=0,
        **{"learning_rate": "constant", **more},
    )
    return model.fit(X, y)


figure, panel = plt.subplots(figsize=(6.5, 3.8), layout="constrained")
for share, style in ((0.05, ":"), (0.5, "--"), (1.0, "-"), (1.9, "-."), (2.1, "-")):
    curve = train(share / L, 30).history_["objective"]
    panel.semilogy(curve, style, label=rf"$\eta = {share:g}/L$")
panel.set(xlabel="steps", ylabel="objective", ylim=(0.2, 30))
panel.legend(loc="upper left", ncols=2)
plt.show()

# %%
# Finding the rate without theory
# -------------------------------
#
# Nobody computes the eigenvalues of a large data set to choose a rate. Use a *range test* (Smith
# 2017) instead: train for a few epochs with each rate of a coarse grid, and compare. The plot
# always has this shape: rates that are too small are harmless but slow, there is a broad range of
# good rates, and beyond it training diverges. Choose a rate about a third of that limit. The
# smaller the batches, the lower the limit: single rows have larger curvatures, :math:`|x_i|^2 + 1`,
# than their mean.

rates = np.geomspace(1e-4, 2, 25)
figure, panel = plt.subplots(figsize=(6.5, 3.8), layout="constrained")
for size, marker in ((1, "o"), (16, "s"), ("full", "^")):
    ends = []
    for eta0 in rates:
        try:
            ends.append(train(eta0, 5, size).history_["true_objective"][-1])
        except ValueError:  # overflow: the message says what to do
            ends.append(np.inf)
    panel.loglog(rates, ends, marker + "-", markersize=4, label=f"batch_size={size}")
panel.axvline(2 / L, color="black", linestyle=":", linewidth=1)
panel.annotate("2/L", (2 / L, 6), xytext=(-24, 0), textcoords="offset points")
panel.set(xlabel="learning rate", ylabel="objective after 5 epochs", ylim=(0.2, 30))
panel.legend(loc="upper left")
plt.show()

# %%
# Falling rates
# -------------
#
# Lesson 2 ended at a noise floor: with small batches a constant rate does not converge. So begin
# with large steps and end with small ones. Robbins and Monro (1951) proved that this is sufficient:
#
# .. math:: \sum_t \eta_t = \infty, \qquad \sum_t \eta_t^2 < \infty,
#
# steps that can reach any point, and whose noise vanishes. ``"invscaling"`` with ``power_t`` above
# 0.5 and up to 1 satisfies it. If the number of epochs is fixed in advance, ``"cosine"``
# (Loshchilov and Hutter 2017) and ``"one_cycle"`` (Smith 2018) are hard to beat: the rate stays
# large for most of the time and goes to zero at the end. Another way to reduce the noise is a
# constant rate with the *mean of the iterates* as the model (Polyak and Juditsky 1992):
# ``average=True``, here from the tenth epoch on.

N_EPOCHS, STEPS = 40, -(-len(y) // 4)
courses = {
    "constant, large": (0.03, {}),
    "constant, small": (0.001, {}),
    "invscaling": (0.2, {"learning_rate": "invscaling", "power_t": 0.6}),
    "cosine": (0.03, {"learning_rate": "cosine"}),
    "one_cycle": (0.05, {"learning_rate": "one_cycle"}),
    "constant, averaged": (0.03, {"average": 10 * STEPS}),
}
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.3), layout="constrained")
styles = ["-", ":", "--", "-", "-.", "-"]
for (name, (eta0, params)), style in zip(courses.items(), styles, strict=True):
    history = train(eta0, N_EPOCHS, 4, **params).history_
    above = np.array(history["true_objective"]) / optimum - 1
    epochs = np.arange(1, N_EPOCHS + 1)
    if name != "constant, averaged":  # its rates are those of "constant, large"
        left.semilogy(epochs, history["learning_rate"], style)
    else:
        left.semilogy([], [], style)
    right.semilogy(epochs, above, style, label=name)
    print(f"{name:19s} {100 * above[-1]:7.3f} % above the optimum")
left.set(xlabel="epochs", ylabel="learning rate", ylim=(1e-5, 0.2))
right.set(xlabel="epochs", ylabel="objective above the optimum", ylim=(5e-4, 1))
figure.legend(loc="outside lower center", ncols=3)
plt.show()

# %%
# To take away
# ------------
#
# * Scale the columns first: it lowers :math:`L` relative to all other curvatures.
# * Find the limit by a range test, and stay a factor of three below it.
#   :class:`fastgd.plot.LearningRateDisplay` runs such a test in one call, and suggests a rate.
# * Small batches need a falling rate, or the mean of the iterates. With schedules over ``max_iter``
#   epochs use ``tol=None``, so that they reach their end.
# * ``learning_rate="adaptive"`` and ``"plateau"`` lower the rate when training stalls. A warm-up
#   (:class:`fastgd.schedules.WarmUp`) can precede any schedule.
# * ``SGDClassifier``'s default, ``"optimal"``, is Bottou's :math:`1/(\alpha (t_0 + t))`: it needs
#   no ``eta0``, but relies on a suitable ``alpha``.
# * A custom schedule is any function of the step numbers: ``learning_rate=lambda t: 0.1 / t``.
#
# All thirteen schedules with formulas and plots: :doc:`/catalogue`.
#
# Sources: Robbins and Monro, *A Stochastic Approximation Method*, 1951. Polyak and Juditsky,
# *Acceleration of Stochastic Approximation by Averaging*, 1992. Bottou, *Stochastic Gradient
# Descent Tricks*, 2012. Smith, *Cyclical Learning Rates for Training Neural Networks*, 2017,
# `arXiv:1506.01186 <https://arxiv.org/abs/1506.01186>`_. Loshchilov and Hutter, *SGDR*, 2017,
# `arXiv:1608.03983 <https://arxiv.org/abs/1608.03983>`_. Smith, *A Disciplined Approach to Neural
# Network Hyper-Parameters*, 2018, `arXiv:1803.09820 <https://arxiv.org/abs/1803.09820>`_.
