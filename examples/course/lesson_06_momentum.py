r"""
6. Momentum
===========

Many objectives have valleys: steep across, flat along. A rate that is short
enough for the steep direction is too short for the flat one. The *condition
number* :math:`\kappa` is the largest curvature divided by the smallest, and says
how bad it is. *Momentum* helps: it adds up what successive steps have in common.
"""

# %%
# Three formulas
# --------------
#
# With the gradient :math:`g = \nabla F(w)`, plain descent is
# :math:`w \leftarrow w - \eta g`. Momentum (Polyak 1964) has a *velocity*
# :math:`v`, in which the last gradients are kept, ever more weakly:
#
# .. math:: v \leftarrow \beta v + \nabla F(w), \qquad w \leftarrow w - \eta v .
#
# Across the valley the gradients change their sign from step to step, and cancel.
# Along it they agree: with :math:`\beta = 0.9` the velocity grows up to
# :math:`1 + 0.9 + 0.9^2 + \ldots = 1 / (1 - \beta) = 10` gradients. Nesterov
# (1983) takes the gradient where the velocity leads, so it brakes earlier:
#
# .. math:: v \leftarrow \beta v + \nabla F(w - \eta \beta v), \qquad
#    w \leftarrow w - \eta v .

import matplotlib.pyplot as plt
import numpy as np

from fastgd import SGDRegressor


def descend(method, curvatures, eta, beta, n_steps):
    """The points of a descent on sum(curvatures * w^2) / 2 from (4, 1)."""
    w, v = np.array([4.0, 1.0]), np.zeros(2)
    points = [w]
    for _ in range(n_steps):
        ahead = w - eta * beta * v if method == "nesterov" else w
        v = beta * v + curvatures * ahead
        w = w - eta * v
        points.append(w)
    return np.array(points)


# %%
# A valley with :math:`\kappa = 30`
# ---------------------------------
#
# :math:`F(w) = (w_1^2 + 30 w_2^2) / 2`. Plain descent goes from side to side, and
# moves slowly along the valley. With momentum it is soon near the minimum, and
# swings from side to side on its way, as a ball would. Nesterov's swings less.

valley = np.array([1.0, 30.0])
runs = {
    "plain": descend("plain", valley, 0.06, 0.0, 40),
    "momentum": descend("momentum", valley, 0.03, 0.7, 40),
    "nesterov": descend("nesterov", valley, 0.03, 0.7, 40),
}
for name, points in runs.items():
    print(f"{name:9s} {np.linalg.norm(points[-1]):.1e} from the minimum")

# %%

# Plot: three paths in the valley
figure, panels = plt.subplots(
    3, 1, figsize=(8, 6), sharex=True, layout="constrained"
)
grid = np.array(
    np.meshgrid(np.linspace(-2, 4.5, 90), np.linspace(-1.3, 1.3, 50))
)
F = (grid[0] ** 2 + 30 * grid[1] ** 2) / 2
for panel, (name, points) in zip(panels, runs.items(), strict=True):
    panel.contour(*grid, F, np.geomspace(0.1, 40, 8), colors="0.8")
    panel.plot(*points.T, "o-", markersize=3, linewidth=1)
    panel.plot(0, 0, "*", color="C1", markersize=12)
    panel.set(title=name, ylabel="$w_2$")
panels[-1].set_xlabel("$w_1$")
plt.show()

# %%
# How much it gains
# -----------------
#
# On a bowl with curvatures from :math:`\mu` to :math:`L = \kappa \mu`, the best
# numbers are known (Polyak 1964):
#
# .. math:: \eta = \frac{4}{(\sqrt{L} + \sqrt{\mu})^2}, \qquad
#    \beta = \left(\frac{\sqrt{\kappa} - 1}{\sqrt{\kappa} + 1}\right)^2 ,
#
# and plain descent needs about :math:`\kappa` steps for the same progress for
# which momentum needs :math:`\sqrt{\kappa}`:

counts = []
for kappa in (10, 100, 1000, 10_000):
    bowl, root = np.array([1.0, kappa]), np.sqrt(kappa)
    best = 4 / (root + 1) ** 2, ((root - 1) / (root + 1)) ** 2
    plain = descend("plain", bowl, 2 / (kappa + 1), 0.0, 10 * kappa)
    heavy = descend("momentum", bowl, *best, 10 * kappa)
    far = [np.linalg.norm(points, axis=1) > 1e-3 for points in (plain, heavy)]
    counts.append((kappa, *(is_far.nonzero()[0][-1] + 1 for is_far in far)))
    print(
        "condition {:5d}: plain {:5d} steps, momentum {:3d}".format(*counts[-1])
    )

# %%

# Plot: steps against the condition number
figure, panel = plt.subplots(figsize=(6, 3.6), layout="constrained")
kappas, *steps = np.transpose(counts)
for name, taken in zip(("plain", "momentum"), steps, strict=True):
    panel.loglog(kappas, taken, "o-", label=name)
panel.set(xlabel="condition number", ylabel="steps to 0.001 from the minimum")
panel.legend()
plt.show()

# %%
# Exercise
# --------
#
# A gradient stays the same, 1, for many steps; the rate is 0.01 and
# :math:`\beta = 0.9`. How long are the first step, and the hundredth? What does
# that say of the rate when you switch momentum on?

# %%

# Solution
# v = 1 at first, and 1 / (1 - 0.9) = 10 in the end: steps of 0.01 and of 0.1. So
# divide a rate that was tuned for plain descent by about 10. The same in fastgd,
# with a loss whose derivative is always -1 here:
line = SGDRegressor("absolute_error", penalty=None, optimizer="momentum")
line.set_params(learning_rate="constant", eta0=0.01, fit_intercept=False)
at = [line.partial_fit([[1.0]], [1e6]).coef_[0] for _ in range(100)]
print("first step", at[0], "- hundredth", round(at[99] - at[98], 4))

# %%
# What to remember
# ----------------
#
# * A valley makes plain descent slow: about :math:`\kappa` steps. Momentum needs
#   :math:`\sqrt{\kappa}`. Scaled columns make :math:`\kappa` smaller for both.
# * ``optimizer="momentum"`` or ``"nesterov"``; the rate is for one optimizer.
#
# Sources: Polyak, *Some Methods of Speeding Up the Convergence of Iteration
# Methods*, 1964. Nesterov, *A Method of Solving a Convex Programming Problem with
# Convergence Rate O(1/k^2)*, 1983.
