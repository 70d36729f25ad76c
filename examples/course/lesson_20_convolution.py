r"""
20. How the parameters of a convolution travel
==============================================

A convolution uses the same few weights at every place of an image. So the gradient of a weight is
the *sum* over all places of what it would be there. This lesson shows that sum, the filters before,
while and after they are trained, and what happens when gradients explode on the way.
"""

# %%
# Shared weights, added gradients
# -------------------------------
#
# A sequence of five numbers :math:`x`, a filter of two weights :math:`w`: four places :math:`p`,
# each with its raw prediction :math:`r_p`. Each place says how it would change the weights; the
# filter's gradient is the sum of the four:
#
# .. math:: r_p = \sum_k w_k x_{p + k}, \qquad \frac{\partial \ell}{\partial w_k}
#    = \sum_p \frac{\partial \ell}{\partial r_p}\, x_{p + k} .

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from fastgd.layers import Conv1D, Conv2D, Dense, GlobalAveragePool, MaxPool2D
from fastgd.neural_network import NetworkClassifier, NetworkRegressor

x = np.array([0.5, 1.0, -1.0, 2.0, 0.3])
w, target = np.array([0.4, -0.2]), 1.0
windows = np.lib.stride_tricks.sliding_window_view(x, 2)
prediction = np.mean(windows @ w)
of_place = (prediction - target) / len(windows) * windows
print("what each place says:\n", of_place.round(3))
print("their sum:", of_place.sum(axis=0).round(4))

plain = {"solver": "sgd", "momentum": 0.0, "alpha": 0.0, "tol": None}
model = NetworkRegressor(
    [Conv1D(1, 2, bias=False), GlobalAveragePool()], **plain
)
model.set_params(learning_rate_init=0.1, max_iter=1, warm_start=True)
rows = x.reshape(1, 5, 1)
model.fit(rows, [target])
model.coefs_[0][:, 0] = w
model.fit(rows, [target])
step = (w - model.coefs_[0][:, 0]) / 0.1
print("fastgd's gradient:", step.round(4))
assert np.allclose(step, of_place.sum(axis=0))

# %%
# Filters while they learn
# ------------------------
#
# Eight filters of 3 x 3 on the digits' images, before training and after 1, 5 and 20 epochs. They
# begin as noise; most of them become edges of some direction: bright on one side, dark on the
# other.

X, y = load_digits(return_X_y=True)
images = (X.reshape(-1, 8, 8) / 16).astype(np.float32)
layers = [Conv2D(8, 3, activation="relu"), MaxPool2D(2), Dense(10)]
network = NetworkClassifier(layers, batch_size=32, random_state=0)
network.set_params(learning_rate_init=1e-12)  # first looks at the start
network.partial_fit(images, y, classes=range(10))
network.set_params(learning_rate_init=0.003)
filters, epochs = {}, 0
for until in (0, 1, 5, 20):
    if until > epochs:
        network.partial_fit(images, y, max_iter=until - epochs)
    epochs = until
    filters[until] = network.coefs_[0].reshape(3, 3, 8).copy()
    print(f"after {until:2d} epochs: accuracy {network.score(images, y):.2f}")

# %%

# Plot: eight filters at four times
figure, panels = plt.subplots(4, 8, figsize=(9, 4.8), layout="constrained")
for row, (until, at_time) in zip(panels, filters.items(), strict=True):
    for k, panel in enumerate(row):
        panel.imshow(at_time[..., k], cmap="RdBu", vmin=-1, vmax=1)
        panel.set(xticks=[], yticks=[])
        panel.grid(visible=False)
    row[0].set_ylabel(f"{until} epochs")
plt.show()

# %%
# Explosions, with and without clipping
# -------------------------------------
#
# A deep stack of convolutions whose first weights are too large, and a rate that is too high for
# them. Without clipping the first steps throw the network to where it predicts one class; with
# ``clip_norm=1`` no step is longer than the rate.

from fastgd.initializers import Normal

same = {"padding": "same", "activation": "relu", "init": Normal(0.5)}
deep = [Conv2D(8, 3, **same) for _ in range(6)]
params = {
    "solver": "sgd",
    "learning_rate_init": 0.05,
    "max_iter": 15,
    "tol": None,
}
params |= {"batch_size": 64, "random_state": 0}
for clip_norm in (None, 1.0):
    stack = NetworkClassifier([*deep, MaxPool2D(2), Dense(10)], **params)
    stack.set_params(clip_norm=clip_norm)
    try:
        stack.fit(images, y)
        print(f"clip_norm={clip_norm}: accuracy {stack.score(images, y):.2f}")
    except ValueError as error:
        print(f"clip_norm={clip_norm}: {str(error)[:58]}...")

# %%
# Exercise
# --------
#
# A layer ``Conv2D(8, 3)`` reads images of 8 x 8 with one channel. How many parameters has it, how
# many outputs, and how many has a dense layer with as many outputs?

# %%

# Solution
# 3 * 3 weights and an intercept for each of 8 filters; 6 * 6 places of each.
n_outputs = 6 * 6 * 8
print(
    8 * (3 * 3 + 1), "parameters,", n_outputs, "outputs; dense:", 65 * n_outputs
)

# %%
# What to remember
# ----------------
#
# * Weight sharing means that gradients of all places are added: a filter learns from each of them.
# * A convolution is a matrix product of the image's patches; that is how it is computed, and why
#   back-propagation is the same as in lesson 18.
# * Deep stacks need first weights of the right size; clipping is the safety belt.
#
# Source: LeCun, Bottou, Bengio and Haffner, *Gradient-based learning applied to document
# recognition*, 1998.
