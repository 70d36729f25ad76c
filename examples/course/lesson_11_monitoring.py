r"""
11. Watching gradients
======================

The loss curve shows *that* training goes wrong; the gradients show *why*. With
``monitor=True`` the norm of the gradient of all rows is kept after each epoch.
This lesson draws it for four trainings, one of which is sound.
"""

# %%
# What the norm says
# ------------------
#
# Near a minimum of a curved objective, with curvatures from :math:`\mu` to
# :math:`L`, the norm of the gradient bounds how far the objective can still fall:
#
# .. math:: \frac{\lVert \nabla F \rVert^2}{2 L} \;\leq\; F - F^*
#    \;\leq\; \frac{\lVert \nabla F \rVert^2}{2 \mu} .
#
# So it tells the cases apart. A norm that falls to zero: converged. One that
# stays: either the rate is too small, or noise keeps the model away from the
# minimum (lesson 4). One that grows: the rate is too large.

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.preprocessing import StandardScaler

from fastgd import SGDRegressor

ALPHA = 0.05
X, y = load_diabetes(return_X_y=True)
X, y = StandardScaler().fit_transform(X), (y - y.mean()) / y.std()
curvatures = np.linalg.eigvalsh(X.T @ X / len(y)) + ALPHA
mu, L = curvatures[0], curvatures[-1]
best = np.linalg.solve(X.T @ X / len(y) + ALPHA * np.eye(10), X.T @ y / len(y))
optimum = np.mean((X @ best - y) ** 2) / 2 + ALPHA * best @ best / 2


def train(eta0, batch_size):
    """Ridge regression; its history has a norm of the gradient per epoch."""
    model = SGDRegressor(alpha=ALPHA, eta0=eta0, batch_size=batch_size)
    model.set_params(learning_rate="constant", max_iter=60, tol=None)
    model.set_params(monitor=True, random_state=0, on_divergence="warn")
    with warnings.catch_warnings(action="ignore"):
        return model.fit(X, y)


cases = {
    "sound": (1 / L, "full"),
    "rate too small": (0.001 / L, "full"),
    "noise of batches": (0.1, 4),
    "rate too large": (2.05 / L, "full"),
}
models = {name: train(*how) for name, how in cases.items()}
for name, model in models.items():
    norms = model.history_["gradient_norm"]
    print(f"{name:17s} first {norms[0]:8.1e}, last {norms[-1]:8.1e}")

# %%

# Plot: the norms of the four trainings, and the bounds for the sound one
figure, (left, right) = plt.subplots(
    1, 2, figsize=(10, 4), layout="constrained"
)
for (name, model), style in zip(
    models.items(), ("-", ":", "--", "-."), strict=True
):
    left.semilogy(model.history_["gradient_norm"], style, label=name)
left.set(xlabel="epochs", ylabel="norm of the gradient")
left.set_ylim(top=300)  # room for the legend
left.legend(loc="upper left")
norms = np.array(models["sound"].history_["gradient_norm"])
gap = np.array(models["sound"].history_["true_objective"]) - optimum
right.semilogy(gap, label="objective above the minimum")
right.semilogy(norms**2 / (2 * L), "k:", label="bounds by the gradient")
right.semilogy(norms**2 / (2 * mu), "k:")
right.set(xlabel="epochs", title="the sound training")
right.legend()
plt.show()
print(f"at the end {gap[-1]:.1e}, at most {norms[-1] ** 2 / (2 * mu):.1e}")

# %%
# Other numbers of the history
# ----------------------------
#
# ``update_norm`` is how far an epoch moved the coefficients, ``coef_norm`` how
# large they are. Two trainings whose gradients stay at a level differ in the
# quotient: noise moves the model about, a small rate leaves it where it is.

for name, model in models.items():
    history = model.history_
    share = history["update_norm"][-1] / history["coef_norm"][-1]
    print(f"{name:17s} moves by {100 * share:8.3f} % of its size in an epoch")

# %%
# In a network each layer has a norm of its own: ``gradient_norm/0`` and so on.
# If the first layers' norms are much smaller, gradients *vanish* on their way
# back; if they grow without bound, they *explode* (lesson 19).
# :class:`fastgd.plot.GradientFlowDisplay` draws them.
#
# Exercise
# --------
#
# With batches of 4 the norm stays at a level. Halve the rate: what do you expect
# of the level?

# %%

# Solution
# The objective's floor is proportional to the rate (lesson 4), and the norm to
# the square root of the objective's distance from the minimum: so the norm
# should fall by the square root of 2. It falls by a little more, since an epoch
# that visits each row once is less noisy than rows drawn at random.
for eta0 in (0.1, 0.05):
    norms = train(eta0, 4).history_["gradient_norm"]
    print(f"rate {eta0}: {np.sqrt(np.mean(np.square(norms[-30:]))):.3f}")

# %%
# What to remember
# ----------------
#
# * ``monitor=True`` and ``history_["gradient_norm"]``: falling is good; a level
#   means noise, or a rate that is too small; growing means a rate too large.
# * The squared norm bounds how far the objective is from its minimum.
#
# Source: Bottou, Curtis and Nocedal, *Optimization Methods for Large-Scale Machine
# Learning*, 2018, `arXiv:1606.04838 <https://arxiv.org/abs/1606.04838>`_.
