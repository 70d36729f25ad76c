r"""
8. Convergence
==============

When is training finished? The objective has a minimum :math:`F^*`, and :math:`F - F^*` is the
*suboptimality*. How it falls is known for each kind of descent:

==============================================  ==============================================
whole gradients                                 :math:`(1 - 1/\kappa)^t`, a line on a log axis
Nesterov's                                      :math:`(1 - 1/\sqrt{\kappa})^t`, a steeper line
batches, constant rate                          fast, then a floor
batches, rate :math:`\propto 1/t`               :math:`1/t`: straight on two log axes
batches with stored gradients (SAGA, SDCA)      a line again, at the price of batches
==============================================  ==============================================

:math:`\kappa` is the condition number of lesson 3, and the objective must be curved everywhere,
which l2 ensures.
"""

# %%
# Four rates of convergence
# -------------------------
#
# The example is ridge regression on the diabetes data, where :class:`fastgd.Ridge` finds
# :math:`F^*` to rounding. On the left, with a linear axis for epochs, full gradients give straight
# lines, the second much steeper. On the right both axes are logarithmic: batches with a constant
# rate end at their noise floor, while with a rate that falls as :math:`1/t` the objective continues
# to fall, ever more slowly: each further digit takes ten times as long. (It falls a little faster
# than :math:`1/t`, because an epoch visits each row once rather than rows at random; Gürbüzbalaban
# et al. 2021.)

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler

from fastgd import Ridge, SGDRegressor

ALPHA = 0.05
X, y = load_diabetes(return_X_y=True)
X, y = StandardScaler().fit_transform(X), (y - y.mean()) / y.std()
best = Ridge(alpha=len(y) * ALPHA).fit(X, y).objective_
curvatures = np.linalg.eigvalsh(X.T @ X / len(y)) + ALPHA
print(f"minimum {best:.6f}, condition number {curvatures[-1] / curvatures[0]:.0f}")


def fit(max_iter, tol=None, **params):
    """Ridge regression by descent; the true objective is in the history."""
    model = SGDRegressor(alpha=ALPHA, max_iter=max_iter, tol=tol, monitor=True, random_state=0)
    return model.set_params(**params).fit(X, y)


def suboptimality(model):
    """F - F* after each epoch."""
    return np.maximum(np.array(model.history_["true_objective"]) - best, 1e-15)


constant = {"learning_rate": "constant", "batch_size": "full"}
L = curvatures[-1]
falling = {"learning_rate": lambda t: 1 / (ALPHA * (t + 400)), "batch_size": 8}
figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 4.1), layout="constrained")
plain = suboptimality(fit(400, eta0=1 / L, **constant))
nesterov = suboptimality(fit(400, eta0=0.6 / L, optimizer="nesterov", **constant))
left.semilogy(plain, label="whole gradients")
left.semilogy(nesterov, "--", label="Nesterov's")
left.set(xlabel="epochs", ylabel=r"$F - F^*$", ylim=(1e-15, 1), title="one axis logarithmic")
left.legend(loc="upper right")
floor = suboptimality(fit(1000, learning_rate="constant", eta0=0.03, batch_size=8))
robbins = suboptimality(fit(1000, **falling))
epochs = np.arange(1, 1001)
right.loglog(epochs, floor, "C2", linewidth=1, label="batches of 8, constant rate")
right.loglog(epochs, robbins, "C3", linewidth=1, label=r"batches of 8, rate $\propto 1/t$")
right.loglog(epochs, 0.004 / epochs, "k:", label=r"$\propto 1/t$")
right.set(xlabel="epochs", ylim=(1e-7, 1), title="both axes logarithmic")
right.legend(loc="upper right")
plt.show()
for name, curve in (("whole gradients", plain), ("Nesterov's", nesterov)):
    digits = np.log10(curve[20] / curve[60])
    print(f"{name:16s} {40 / digits:5.0f} epochs for each digit")

# %%
# When to stop
# ------------
#
# :math:`F^*` is not known in advance. The rule of scikit-learn, and of fastgd's ``SGD`` classes, is
# to stop when the objective has not fallen by ``tol`` for ``n_iter_no_change`` epochs. That
# measures how fast it falls, not how far it is from the minimum: slow training stops as if it were
# finished. Of the three rates below, with the same ``tol``, the smallest stops furthest away.

for eta0 in (0.2, 0.02, 0.002):
    model = fit(10_000, tol=1e-3, **{**constant, "eta0": eta0})
    gap = suboptimality(model)[-1]
    print(
        f"rate {eta0:5.3f}   stopped after {model.n_iter_:3d} epochs, {gap:.5f} above the minimum"
    )

# %%
# A model that has not converged within ``max_iter`` epochs warns:

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always", ConvergenceWarning)
    fit(5, tol=1e-3)
print(caught[0].message)

# %%
# There are two reliable criteria. The norm of the gradient is 0 at the minimum only; with
# ``monitor=True`` it is in ``history_["gradient_norm"]``. And duality gives a proven lower bound of
# :math:`F^*`. The estimators without a learning rate stop by such bounds and careful estimates;
# their ``tol`` is a relative suboptimality, and ``gap_`` is the proven bound. Their steps use the
# curvature (preconditioned descent) or solve for single rows (SDCA), so the condition number hardly
# matters, and raw columns from thousandths to thousands are no problem.

from sklearn.datasets import load_breast_cancer

from fastgd import LogisticRegression

raw_X, labels = load_breast_cancer(return_X_y=True)
print(f"standard deviations: {raw_X.std(axis=0).min():.3f} to {raw_X.std(axis=0).max():.0f}")
model = LogisticRegression().fit(raw_X, labels)
print(
    f"solver {model.solver_}, {model.n_iter_[0]} passes, objective {model.objective_:.6f}, "
    f"proven gap {model.gap_:.1e}"
)

figure, panel = plt.subplots(figsize=(6.5, 3.6), layout="constrained")
objectives = np.array(model.history_["objective"])
panel.semilogy(objectives[:-1] - objectives[-1], "o-", markersize=4)
panel.set(xlabel="passes over the rows", ylabel="objective above the last one")
plt.show()

# %%
# How accurate is accurate enough?
# --------------------------------
#
# A model is meant for new rows. Part of its error there cannot be removed by training, and a
# suboptimality far below that part is of no use (Bottou and Bousquet 2008): often two or three
# digits suffice, where stochastic descent is at its best. Solve to rounding where the numbers have
# to be reproducible: coefficients that are interpreted, published, or compared.
#
# To take away
# ------------
#
# * With full gradients each epoch reduces the suboptimality by a fixed factor. With batches
#   progress is fast at first, and then each digit costs more than the last.
# * ``tol`` of the ``SGD`` classes refers to the speed of convergence, that of the others to the
#   suboptimality.
# * Look at the curve: it is in ``history_`` of a fitted model, and
#   :class:`fastgd.plot.ConvergenceDisplay` plots several, relative to the best value that any
#   found.
#
# Sources: Nesterov, *Introductory Lectures on Convex Optimization*, 2004. Bottou and Bousquet, *The
# Tradeoffs of Large Scale Learning*, 2008. Gürbüzbalaban, Ozdaglar and Parrilo, *Why Random
# Reshuffling Beats Stochastic Gradient Descent*, 2021, `arXiv:1510.08560
# <https://arxiv.org/abs/1510.08560>`_. Bottou, Curtis and Nocedal, *Optimization Methods for
# Large-Scale Machine Learning*, 2018, `arXiv:1606.04838 <https://arxiv.org/abs/1606.04838>`_.
# Defazio, Bach and Lacoste-Julien, *SAGA*, 2014, `arXiv:1407.0202
# <https://arxiv.org/abs/1407.0202>`_. Shalev-Shwartz and Zhang, *Stochastic Dual Coordinate
# Ascent*, 2013, `arXiv:1209.1873 <https://arxiv.org/abs/1209.1873>`_.
