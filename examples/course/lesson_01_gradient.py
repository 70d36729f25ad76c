r"""
1. What a gradient is
=====================

A model has parameters, and a number :math:`F` says how bad they are. Training
looks for parameters with a small :math:`F`. This lesson is about the tool for
that, the *gradient*: it says in which direction :math:`F` grows fastest.
"""

# %%
# One parameter: the derivative
# -----------------------------
#
# The derivative :math:`F'(w)` is the slope of the curve at :math:`w`. Move
# :math:`w` by a small :math:`\varepsilon`, and :math:`F` changes by about
# :math:`\varepsilon F'(w)`. So it can be measured, by a *finite difference*:
#
# .. math:: F'(w) \approx
#    \frac{F(w + \varepsilon) - F(w - \varepsilon)}{2 \varepsilon} .

import matplotlib.pyplot as plt
import numpy as np


def curve(w):
    """One half of the squared distance from 2; its derivative is w - 2."""
    return (w - 2) ** 2 / 2


for w in (0.0, 2.0, 3.0):
    slope = (curve(w + 1e-6) - curve(w - 1e-6)) / 2e-6
    print(f"w = {w}: measured {slope:+.4f}, by the formula {w - 2:+.4f}")

# %%
# A negative slope: :math:`F` falls to the right. At the minimum it is 0.
#
# Many parameters: the gradient
# -----------------------------
#
# With two parameters there is a slope along each of them. The slope along
# :math:`w_1`, while :math:`w_2` is held fixed, is the *partial derivative*
# :math:`\partial F / \partial w_1`. The gradient is the vector of all of them:
#
# .. math:: \nabla F(w) = \left( \frac{\partial F}{\partial w_1},
#    \frac{\partial F}{\partial w_2} \right) .
#
# The example of this lesson is a bowl with its minimum at (2, 1):
#
# .. math:: F(w) = \frac{1}{2} (w_1 - 2)^2 + 2 (w_2 - 1)^2, \qquad
#    \nabla F(w) = \left( w_1 - 2,\ 4 (w_2 - 1) \right) .


def bowl(w):
    """The example; w has two numbers, or two arrays."""
    return (w[0] - 2) ** 2 / 2 + 2 * (w[1] - 1) ** 2


def gradient(w):
    """Its partial derivatives."""
    return np.array([w[0] - 2, 4 * (w[1] - 1)])


w = np.array([0.0, 0.5])
for name, move in (("w_1", [1e-6, 0]), ("w_2", [0, 1e-6])):
    difference = (bowl(w + move) - bowl(w - move)) / 2e-6
    print(f"measured along {name}: {difference:+.4f}")
print("by the formula:     ", gradient(w))

# %%
# Steepest ascent
# ---------------
#
# In which direction does :math:`F` grow fastest? A short step :math:`d` changes
# it by about
#
# .. math:: F(w + d) - F(w) \approx \nabla F(w) \cdot d
#    = \lVert \nabla F \rVert \, \lVert d \rVert \cos \theta ,
#
# where :math:`\theta` is the angle between the step and the gradient. The cosine
# is 1 for a step along the gradient (*steepest ascent*), 0 at a right angle to
# it, and -1 against it. So the gradient points **uphill**, and descent goes the
# opposite way. Steps of length 0.01, in eight directions:

g = gradient(w)
unit = g / np.linalg.norm(g)
for degrees in range(0, 360, 45):
    a = np.radians(degrees)
    turn = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    change = bowl(w + 0.01 * turn @ unit) - bowl(w)
    print(f"{degrees:3d} degrees from the gradient: F changes {change:+.4f}")

# %%
# The picture
# -----------
#
# A *contour* joins points of the same :math:`F`, as on a map. At each point the
# gradient (orange) is at a right angle to the contour and points uphill; its
# length is the slope. *Gradient descent* (Cauchy 1847) goes the other way, by a
# *learning rate* :math:`\eta` times the gradient:
#
# .. math:: w \leftarrow w - \eta \nabla F(w) .
#
# Near the minimum the slope is small, and so are the steps.

path = [np.array([-1.0, 2.2])]
for _ in range(12):
    path.append(path[-1] - 0.2 * gradient(path[-1]))
print("F along the path:", np.round([bowl(w) for w in path[:6]], 3), "...")

# %%

# Plot: contours, gradients, and a path of descent
grid = np.array(np.meshgrid(np.linspace(-2, 5, 90), np.linspace(-0.8, 2.8, 60)))
figure, panel = plt.subplots(figsize=(8, 4.4), layout="constrained")
panel.contour(*grid, bowl(grid), np.geomspace(0.1, 14, 10), colors="0.75")
for at in ([-1, 0], [0.5, 0.2], [1, 1.9], [3, 0.3], [4.2, 1.6]):
    panel.quiver(
        *at, *gradient(at), color="C1", angles="xy", scale_units="xy", scale=5
    )
panel.plot(*np.transpose(path), "o-", markersize=4, label="descent")
panel.plot([], [], color="C1", label="gradients (a fifth of their length)")
panel.plot(2, 1, "*k", markersize=12)
panel.set(xlabel="$w_1$", ylabel="$w_2$", aspect="equal")
panel.legend(loc="upper right", frameon=True)
plt.show()

# %%
# Exercise
# --------
#
# Let :math:`F(w) = w_1^2 w_2`. What is its gradient at (1, 3)? Does :math:`F`
# grow or fall on a short step in the direction (1, -4)?

# %%

# Solution
# The partial derivatives are 2 w_1 w_2 and w_1^2: the gradient is (6, 1).
# On 0.001 times (1, -4) F changes by about 0.001 (6 * 1 + 1 * (-4)): it grows.
step = 0.001 * np.array([1, -4])
print(f"F changes by {(1 + step[0]) ** 2 * (3 + step[1]) - 3:+.5f}")

# %%
# What to remember
# ----------------
#
# * The gradient is the vector of the partial derivatives. It points uphill, at a
#   right angle to the contours; its length is the slope in that direction.
# * Descent steps against it. At a minimum it is 0.
#
# Source: Cauchy, *Méthode générale pour la résolution des systèmes*, 1847.
