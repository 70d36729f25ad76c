r"""
16. When to stop
================

Training is finished when the objective is close enough to its minimum
:math:`F^*`. But :math:`F^*` is not known. This lesson compares three criteria:
how fast the objective falls, how long the gradient is, and a proven bound.
"""

# %%
# Progress is not distance
# ------------------------
#
# The rule of scikit-learn, and of fastgd's ``SGD`` classes: stop when the
# objective has not fallen by ``tol`` for ``n_iter_no_change`` epochs. That
# measures speed. Slow training stops as if it were finished. Of the three rates
# below, with the same ``tol``, the smallest stops furthest away.

import warnings

import matplotlib.pyplot as plt
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler

from fastgd import LogisticRegression, Ridge, SGDRegressor

ALPHA = 0.05
X, y = load_diabetes(return_X_y=True)
X, y = StandardScaler().fit_transform(X), (y - y.mean()) / y.std()
best = Ridge(alpha=len(y) * ALPHA).fit(X, y).objective_


def train(eta0, max_iter=10_000):
    """Ridge regression by whole gradients, until the rule stops it."""
    model = SGDRegressor(alpha=ALPHA, eta0=eta0, batch_size="full", tol=1e-3)
    model.set_params(learning_rate="constant", monitor=True, max_iter=max_iter)
    return model.fit(X, y)


models = {eta0: train(eta0) for eta0 in (0.2, 0.02, 0.002)}
for eta0, model in models.items():
    away = model.history_["true_objective"][-1] - best
    print(f"rate {eta0:5.3f}: {model.n_iter_:3d} epochs, {away:.5f} above F*")

# %%
# A model that reaches ``max_iter`` first warns:

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always", ConvergenceWarning)
    train(0.02, max_iter=5)
print(str(caught[0].message)[:76], "...")

# %%
# The norm of the gradient
# ------------------------
#
# It is 0 at the minimum only, and it does not depend on the rate. For an
# objective with curvatures of at least :math:`\mu` it bounds what is left
# (lesson 11); under l2, :math:`\mu \geq \alpha`:
#
# .. math:: F(w) - F^* \leq \frac{\lVert \nabla F(w) \rVert^2}{2 \mu} .

for eta0, model in models.items():
    bound = model.history_["gradient_norm"][-1] ** 2 / (2 * ALPHA)
    print(f"rate {eta0:5.3f}: at most {bound:.5f} above F*")

# %%

# Plot: the objectives, the places where the rule stopped, and the minimum
figure, panel = plt.subplots(figsize=(7, 3.8), layout="constrained")
for (eta0, model), style in zip(models.items(), ("-", "--", ":"), strict=True):
    curve = model.history_["true_objective"]
    panel.plot(range(1, len(curve) + 1), curve, style, label=f"rate {eta0}")
    panel.plot(len(curve), curve[-1], "sk", markersize=6)
panel.axhline(best, color="black", linewidth=1, label="$F^*$")
panel.set(xlabel="epochs", ylabel="objective", xscale="log")
panel.legend()
plt.show()

# %%
# A proven bound: the duality gap
# -------------------------------
#
# For convex problems there is a *dual* problem, each of whose points gives a
# value :math:`D` below the minimum (*weak duality*):
#
# .. math:: D(\theta) \leq F^* \leq F(w), \qquad
#    \text{gap} = F(w) - D(\theta) \geq F(w) - F^* .
#
# The estimators without a learning rate stop by it. Their ``tol`` is a relative
# suboptimality, and ``gap_`` is the proven bound; raw columns, from thousandths
# to thousands, are no problem for them.

raw_X, labels = load_breast_cancer(return_X_y=True)
low, high = raw_X.std(axis=0).min(), raw_X.std(axis=0).max()
print(f"standard deviations from {low:.3f} to {high:.0f}")
model = LogisticRegression().fit(raw_X, labels)
print(f"{model.n_iter_[0]} passes, objective {model.objective_:.8f}")
print(f"tol {model.tol}, proven gap {model.gap_:.0e}")

# %%
# Exercise
# --------
#
# A training with rate 0.0001 and ``tol=1e-3`` stops after a few epochs, and the
# loss is high. Is the problem solved? Name two checks that need no second model.

# %%

# Solution
# No: it is slow, not finished. Check the norm of the gradient; or continue with a
# larger rate, and see whether the objective falls.
model = train(0.0001)
print(f"{model.n_iter_} epochs, norm {model.history_['gradient_norm'][-1]:.2f}")
before = model.history_["true_objective"][-1]
model.set_params(eta0=0.1).partial_fit(X, y, max_iter=5)
print(
    f"objective {before:.3f}, then {model.history_['true_objective'][-1]:.3f}"
)

# %%
# What to remember
# ----------------
#
# * ``tol`` of the ``SGD`` classes is about speed, that of the others about the
#   distance from the minimum.
# * Look at the curve, and at the norm of the gradient, before you trust a stop.
#
# Source: Boyd and Vandenberghe, *Convex Optimization*, 2004, chapters 5 and 9.
