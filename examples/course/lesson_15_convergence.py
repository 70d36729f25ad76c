r"""
15. Convergence: how fast the objective falls
=============================================

The objective has a minimum :math:`F^*`; :math:`F - F^*` is the *suboptimality*.
How it falls is known for each kind of descent. This lesson measures four kinds on
one problem, and shows how to tell them apart by the axes of the plot.
"""

# %%
# What theory says
# ----------------
#
# The objective must be curved in every direction, which l2 ensures;
# :math:`\kappa` is its condition number (lesson 6). After :math:`t` epochs,
#
# ================================  ==============================================
# whole gradients                   :math:`F - F^* \sim (1 - 1/\kappa)^t`
# whole gradients, Nesterov         :math:`F - F^* \sim (1 - 1/\sqrt{\kappa})^t`
# batches, constant rate            fast, then a floor
# batches, rates as :math:`1/t`     :math:`F - F^* \sim 1/t`
# ================================  ==============================================
#
# The first two multiply the suboptimality by a fixed number in each epoch
# (*linear convergence*), so each further digit costs the same number of epochs:
#
# .. math:: \left(1 - \frac{1}{\kappa}\right)^t = \frac{1}{10}
#    \quad \text{for} \quad t = \frac{\log 10}{-\log(1 - 1/\kappa)} .
#
# With :math:`1/t` each further digit costs ten times as many as the last one.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.preprocessing import StandardScaler

from fastgd import Ridge, SGDRegressor

ALPHA = 0.05
X, y = load_diabetes(return_X_y=True)
X, y = StandardScaler().fit_transform(X), (y - y.mean()) / y.std()
best = Ridge(alpha=len(y) * ALPHA).fit(X, y).objective_  # to rounding
curvatures = np.linalg.eigvalsh(X.T @ X / len(y)) + ALPHA
L, kappa = curvatures[-1], curvatures[-1] / curvatures[0]
print(f"minimum {best:.6f}, condition number {kappa:.0f}")


def suboptimality(max_iter, eta0, batch_size, **params):
    """F - F* after each epoch of ridge regression by descent."""
    model = SGDRegressor(alpha=ALPHA, eta0=eta0, batch_size=batch_size)
    model.set_params(learning_rate="constant", max_iter=max_iter, tol=None)
    model.set_params(monitor=True, random_state=0, **params).fit(X, y)
    return np.maximum(np.array(model.history_["true_objective"]) - best, 1e-15)


curves = {
    "whole gradients": suboptimality(400, 1 / L, "full"),
    "Nesterov": suboptimality(400, 0.6 / L, "full", optimizer="nesterov"),
    "constant rate": suboptimality(1000, 0.03, 8),
    "rate as 1/t": suboptimality(
        1000, 0.03, 8, learning_rate=lambda t: 1 / (ALPHA * (t + 400))
    ),
}
for name in ("whole gradients", "Nesterov"):
    digits = np.log10(curves[name][20] / curves[name][60])
    print(f"{name:16s} {40 / digits:5.0f} epochs for each digit")
for name in ("constant rate", "rate as 1/t"):
    of = [curves[name][first : 2 * first].mean() for first in (10, 100, 500)]
    print(f"{name:16s} around epochs 15, 150, 750: {np.round(of, 6)}")

# %%
# Straight lines
# --------------
#
# Linear convergence is a straight line if one axis is logarithmic, :math:`1/t`
# if both are. (Here it falls a little faster than :math:`1/t`, because an epoch
# visits each row once, not rows at random: Gürbüzbalaban et al. 2021.)

# %%

# Plot: the same suboptimality on two kinds of axes
figure, (left, right) = plt.subplots(
    1, 2, figsize=(10.5, 4.1), layout="constrained"
)
for name, style in (("whole gradients", "C0-"), ("Nesterov", "C1--")):
    left.semilogy(curves[name], style, label=name)
left.set(xlabel="epochs", ylabel=r"$F - F^*$", ylim=(1e-15, 1))
left.set_title("one axis logarithmic: whole gradients")
epochs = np.arange(1, 1001)
for name, style in (("constant rate", "C2"), ("rate as 1/t", "C3")):
    right.loglog(epochs, curves[name], style, linewidth=1, label=name)
right.loglog(epochs, 0.004 / epochs, "k:", label="1/t")
right.set(xlabel="epochs", ylim=(1e-7, 1))
right.set_title("both axes logarithmic: batches of 8")
left.legend(loc="upper right")
right.legend(loc="upper right")
plt.show()

# %%
# How accurate is accurate enough?
# --------------------------------
#
# A model is meant for new rows. Part of its error there cannot be removed by
# training, and a suboptimality far below that part is of no use (Bottou and
# Bousquet 2008). Often two or three digits suffice, and there batches are at
# their best. Solve to rounding where coefficients are interpreted, published or
# compared. *Variance reduction* (SAGA, SDCA) has the price of batches and linear
# convergence; fastgd's estimators without a learning rate use it.
#
# Exercise
# --------
#
# Whole gradients, :math:`\kappa = 1000`. About how many epochs does a digit cost,
# by the table? And with Nesterov's method?

# %%

# Solution
# (1 - 1/k)^t = 0.1 gives t = log(10) / -log(1 - 1/k), about 2.3 k.
for name, k in (("whole gradients", 1000), ("Nesterov", np.sqrt(1000))):
    print(f"{name:16s} {np.log(10) / -np.log(1 - 1 / k):5.0f} epochs")

# %%
# What to remember
# ----------------
#
# * Whole gradients: each digit costs the same. Batches: fast at first, then each
#   digit costs more than the last.
# * :class:`fastgd.plot.ConvergenceDisplay` plots the curves of several models.
#
# Sources: Nesterov, *Introductory Lectures on Convex Optimization*, 2004. Bottou
# and Bousquet, *The Tradeoffs of Large Scale Learning*, 2008. Gürbüzbalaban et
# al., *Why Random Reshuffling Beats Stochastic Gradient Descent*, 2021,
# `arXiv:1510.08560 <https://arxiv.org/abs/1510.08560>`_. Defazio, Bach and
# Lacoste-Julien, *SAGA*, 2014, `arXiv:1407.0202 <https://arxiv.org/abs/1407.0202>`_.
