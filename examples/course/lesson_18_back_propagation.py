r"""
18. Back-propagation
====================

With many units the chain rule of lesson 17 becomes products with matrices. This lesson writes
back-propagation for two layers in a few lines of NumPy, draws the numbers on the edges of the
network, and compares with fastgd, which does the same in compiled code.
"""

# %%
# Two layers in NumPy
# -------------------
#
# For a batch X with one row a sample:
#
# .. math::
#    H = \tanh(X W_1 + b_1), \quad R = H W_2 + b_2, \quad
#    \ell = \frac{1}{2m} \lVert R - y \rVert^2 .
#
# Backward, :math:`D` is the derivative of the loss by the array of the same place:
#
# .. math::
#    D_R = (R - y)/m, \quad G_2 = H^\top D_R, \quad D_H = D_R W_2^\top, \quad
#    D_Z = D_H \circ (1 - H^2), \quad G_1 = X^\top D_Z .

import matplotlib.pyplot as plt
import numpy as np

from fastgd.layers import Dense
from fastgd.neural_network import NetworkRegressor

X = np.array([[1.0, -0.5], [0.2, 0.8], [-1.0, 0.4], [0.6, 1.2]])
y = np.array([0.5, -0.2, 0.1, 0.9])
rng = np.random.default_rng(3)
W1, b1 = rng.normal(size=(2, 3)), np.zeros(3)
W2, b2 = rng.normal(size=(3, 1)), np.zeros(1)


def gradients(W1, b1, W2, b2):
    """The loss, its gradients, and the arrays that were kept."""
    H = np.tanh(X @ W1 + b1)
    R = H @ W2 + b2
    d_R = (R - y[:, None]) / len(y)
    d_Z = (d_R @ W2.T) * (1 - H**2)
    loss = 0.5 * np.mean((R[:, 0] - y) ** 2)
    return (
        loss,
        (X.T @ d_Z, d_Z.sum(axis=0), H.T @ d_R, d_R.sum(axis=0)),
        (H, R),
    )


loss, (G1, g1, G2, g2), (H, R) = gradients(W1, b1, W2, b2)
norms = [round(float(np.linalg.norm(G)), 4) for G in (G1, G2)]
print(f"loss {loss:.4f}; norms of G1 and G2: {norms}")

# %%
# The network as a graph
# ----------------------
#
# On each edge stands its weight, and in brackets the derivative of the loss by it; in each unit its
# value for the first row. An edge with a large derivative is one that the next step changes most.

# %%

# Plot: units, weights, and derivatives
figure, panel = plt.subplots(figsize=(8, 4.6), layout="constrained")
columns = [X[0], H[0], R[0]]
places = [
    [(k, n / 2 - i - 0.5) for i in range(n)] for k, n in enumerate((2, 3, 1))
]
strongest = max(abs(G1).max(), abs(G2).max())
for k, (W, G) in enumerate(((W1, G1), (W2, G2))):
    for (i, j), weight in np.ndenumerate(W):
        (x0, y0), (x1, y1) = places[k][i], places[k + 1][j]
        width = 0.8 + 5 * abs(G[i, j]) / strongest
        panel.plot(
            [x0, x1],
            [y0, y1],
            color="C0" if G[i, j] < 0 else "C1",
            linewidth=width,
        )
        share = 0.36 + 0.12 * j - 0.1 * i  # labels beside each other
        at = (x0 + share * (x1 - x0), y0 + share * (y1 - y0))
        box = {"facecolor": "white", "edgecolor": "none", "pad": 1}
        text = f"{weight:.2f} ({G[i, j]:+.2f})"
        panel.annotate(text, at, fontsize=8, ha="center", bbox=box)
for place, values in zip(places, columns, strict=True):
    for (at_x, at_y), value in zip(place, values, strict=True):
        panel.plot(
            at_x,
            at_y,
            "o",
            markersize=38,
            color="white",
            markeredgecolor="black",
        )
        panel.annotate(f"{value:.2f}", (at_x, at_y), ha="center", va="center")
panel.margins(0.06, 0.14)
panel.set_axis_off()
plt.show()

# %%
# The same in fastgd
# ------------------
#
# One step of plain gradient descent on all rows, from the same weights, must move them by
# -rate times these gradients.

plain = {"solver": "sgd", "momentum": 0.0, "alpha": 0.0, "batch_size": "full"}
model = NetworkRegressor([Dense(3, "tanh"), Dense(1)], **plain)
model.set_params(learning_rate_init=0.1, max_iter=1, tol=None, warm_start=True)
model.fit(X, y)  # makes the arrays
arrays = model.coefs_ + model.intercepts_
for own, start in zip(arrays, [W1, W2, b1, b2], strict=True):
    own[...] = start
model.fit(X, y)
for name, own, start, G in zip(
    ("W1", "W2"), model.coefs_, (W1, W2), (G1, G2), strict=True
):
    error = np.abs((start - own) / 0.1 - G).max()
    print(f"{name}: largest difference of the gradients {error:.1e}")
    assert error < 1e-12

# %%
# Exercise
# --------
#
# The network has 9 weights and 4 intercepts. How many forward passes do central differences need
# for the whole gradient? And with a million parameters?

# %%

# Solution
# Two for each parameter; back-propagation needs one forward and one backward
# pass, whatever the number.
print(2 * (W1.size + W2.size + b1.size + b2.size), "passes;", 2 * 10**6)

# %%
# What to remember
# ----------------
#
# * Each layer needs what came in and what went out; then its weights' gradient is *inputs times
#   derivatives*, and what it hands back is *derivatives times weights*.
# * Check new layers by central differences (lesson 17), with a step near 1e-5 in float64.
#
# Source: Goodfellow, Bengio and Courville, *Deep Learning*, 2016, section 6.5.
