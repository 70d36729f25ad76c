r"""
17. The chain rule
==================

A network computes in steps, each from the result of the last one. How does the loss at the end
change with a parameter at the beginning? By the *chain rule*: derivatives of the steps are
multiplied along the way. This lesson does it with two numbers, by hand.
"""

# %%
# Two weights, step by step
# -------------------------
#
# One input, :math:`x = 2`; one hidden unit with the weight :math:`u`; one output with the weight
# :math:`v`; the target :math:`y = 1`:
#
# .. math:: z = u x, \qquad h = \tanh z, \qquad r = v h, \qquad \ell = \frac{1}{2} (r - y)^2 .
#
# *Forward*: compute z, h, r and the loss, and keep them.

import matplotlib.pyplot as plt
import numpy as np

x, y, u, v = 2.0, 1.0, 0.3, -0.5
z = u * x
h = np.tanh(z)
r = v * h
loss = 0.5 * (r - y) ** 2
print(f"z = {z:.4f}, h = {h:.4f}, r = {r:.4f}, loss = {loss:.4f}")

# %%
# *Backward*: start with the derivative of the loss by r, and multiply step by step. Each line uses
# the one above it, and numbers that were kept on the way forward:
#
# .. math:: \frac{\partial \ell}{\partial u} = \frac{\partial \ell}{\partial r}
#    \cdot \frac{\partial r}{\partial h} \cdot \frac{\partial h}{\partial z}
#    \cdot \frac{\partial z}{\partial u}
#    = (r - y) \cdot v \cdot (1 - h^2) \cdot x .

d_r = r - y  # of the loss by r
d_v = d_r * h  # r = v h, so dr/dv = h
d_h = d_r * v  # and dr/dh = v
d_z = d_h * (1 - h**2)  # the derivative of tanh, by its value
d_u = d_z * x
print(f"derivatives: by v {d_v:.6f}, by u {d_u:.6f}")


# %%
# Are they right? Change a parameter a little, and look at the loss. This check by *finite
# differences* is how every layer of fastgd is tested.


def loss_at(u, v):
    """The loss as a function of both parameters."""
    return 0.5 * (v * np.tanh(u * x) - y) ** 2


step = 1e-6
by_u = (loss_at(u + step, v) - loss_at(u - step, v)) / (2 * step)
by_v = (loss_at(u, v + step) - loss_at(u, v - step)) / (2 * step)
print(f"differences: by v {by_v:.6f}, by u {by_u:.6f}")

# %%
# Descent along both
# ------------------
#
# With the two derivatives, descent is what it was in lesson 1. The valley is curved now, and has
# two branches: (u, v) and (-u, -v) predict the same. That is why networks have many minima that are
# equally good.

paths = []
for start in ((0.3, -0.5), (0.3, 0.5), (-1.0, 0.3)):
    path = [np.array(start)]
    for _ in range(60):
        a, b = path[-1]
        hidden = np.tanh(a * x)
        slope = b * hidden - y
        gradient = np.array([slope * b * (1 - hidden**2) * x, slope * hidden])
        path.append(path[-1] - 0.2 * gradient)
    paths.append(path)
    print(
        f"from {start}: loss {loss_at(*path[0]):.3f} "
        f"-> {loss_at(*path[-1]):.1e}"
    )

# %%

# Plot: three descents on the contours of the loss
axes = np.linspace(-1.5, 1.5, 120), np.linspace(-2.5, 2.5, 120)
grid_u, grid_v = np.meshgrid(*axes)
levels = np.geomspace(0.01, 6, 14)
figure, panel = plt.subplots(figsize=(6.5, 4.5), layout="constrained")
panel.contour(grid_u, grid_v, loss_at(grid_u, grid_v), levels, colors="0.8")
for path, color in zip(paths, ("C0", "C1", "C2"), strict=True):
    panel.plot(*np.array(path).T, ".-", color=color, linewidth=1)
    panel.plot(*path[0], "o", color=color, markeredgecolor="black")
panel.set(xlabel="u", ylabel="v")
plt.show()

# %%
# Exercise
# --------
#
# Replace tanh by :math:`h = z^2`. Which of the backward lines changes, and how? Compute the
# derivative by u for the same numbers.

# %%

# Solution
# Only the derivative of h by z: 2 z instead of 1 - h^2. Forward and backward:
z = u * x
r = v * z**2
by_hand = (r - y) * v * 2 * z * x
moved = [(v * ((u + e) * x) ** 2 - y) ** 2 / 2 for e in (step, -step)]
print(f"{by_hand:.6f}, measured {(moved[0] - moved[1]) / (2 * step):.6f}")

# %%
# What to remember
# ----------------
#
# * Forward computes and keeps; backward multiplies derivatives, from the loss to the first layer.
# * Backward costs about twice as much as forward, whatever the number of parameters. Finite
#   differences cost two forward passes *for each parameter*.
#
# Source: Rumelhart, Hinton and Williams, *Learning representations by back-propagating errors*,
# Nature 323, 1986.
