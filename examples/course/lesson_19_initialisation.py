r"""
19. Activations and first weights
=================================

On its way back through a deep network a derivative is multiplied by each layer's weights and by
each activation's slope. If the product is below one in each layer, it *vanishes*; above one, it
*explodes*. This lesson measures it with ``monitor=True``, which keeps the norm of each layer's
gradient.
"""

# %%
# Stacks of eight layers
# ----------------------
#
# The logistic function's slope is at most 1/4. Eight layers of it multiply the derivative by less
# than 1/65,536. Rectifiers (ReLU) pass one half of the signals unchanged; He's first weights make
# up for the other half, Glorot's do not. For a layer with :math:`n` inputs and :math:`m` outputs
# the variances of the first weights are
#
# .. math:: \text{Glorot: } \frac{2}{n + m}, \qquad \text{He: } \frac{2}{n} .

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from fastgd.initializers import Normal
from fastgd.neural_network import MLPClassifier
from fastgd.plot import GradientFlowDisplay

X, y = load_digits(return_X_y=True)
X = ((X - 8) / 8).astype(np.float32)

STACKS = {
    "logistic, Glorot": {"activation": "logistic", "init": "glorot_uniform"},
    "tanh, Glorot": {"activation": "tanh", "init": "glorot_uniform"},
    "relu, Glorot": {"activation": "relu", "init": "glorot_uniform"},
    "relu, He": {"activation": "relu", "init": "he_uniform"},
    "relu, normal numbers": {"activation": "relu", "init": None, "scale": 0.5},
}


def stack(max_iter=1, scale=None, **params):
    """Eight hidden layers of 32 units."""
    if scale is not None:
        params["init"] = Normal(scale)
    model = MLPClassifier((32,) * 8, max_iter=max_iter, batch_size=64)
    return model.set_params(tol=None, monitor=True, random_state=0, **params)


norms = {}
for name, params in STACKS.items():  # a rate that leaves the weights alone
    model = stack(learning_rate_init=1e-9, **params).fit(X, y)
    norms[name] = [model.history_[f"gradient_norm/{k}"][0] for k in range(9)]
    ends = norms[name][0], norms[name][-1]
    print("{:22s} first layer {:8.1e}, last {:8.1e}".format(name, *ends))

# %%

# Plot: the norms of the layers
figure, panel = plt.subplots(figsize=(7.5, 4.2), layout="constrained")
for name, of_layers in norms.items():
    panel.semilogy(range(9), of_layers, "o-", label=name)
panel.set(xlabel="layer", ylabel="norm of the gradient at the start")
panel.legend()
plt.show()

# %%
# What that means for training
# ----------------------------
#
# The same networks, thirty epochs of Adam. Adam divides each gradient by its own size, so that a
# small gradient alone does not stop it; but a layer whose signals are all alike learns nothing.

curves = {}
for name, params in STACKS.items():
    model = stack(max_iter=30, **params)
    try:
        model.fit(X, y)
    except ValueError as error:
        print(f"{name:22s} {str(error)[:50]}...")
        continue
    curves[name] = model.loss_curve_
    print(f"{name:22s} accuracy {model.score(X, y):.2f}")

# %%

# Plot: the objectives
figure, panel = plt.subplots(figsize=(7.5, 4.2), layout="constrained")
for name, curve in curves.items():
    panel.semilogy(curve, label=name)
panel.set(xlabel="epochs", ylabel="objective")
panel.legend()
plt.show()

# %%
# Watching units die
# ------------------
#
# A rectifier whose sum is negative for every row puts out 0 and has the slope 0: it is *dead*, and
# nothing revives it. Large rates kill units. ``history_["dead/k"]`` is the share of layer k.

models = {}
for rate in (0.001, 0.02):
    model = stack(max_iter=20, learning_rate_init=rate).fit(X, y)
    models[rate] = model
    dead = np.mean([model.history_[f"dead/{k}"][-1] for k in range(8)])
    print(f"rate {rate}: {dead:.0%} dead, accuracy {model.score(X, y):.2f}")

# %%

# Plot: the share of dead units, layer by layer
figure, panels = plt.subplots(
    1, 2, figsize=(10, 3.8), layout="constrained", sharey=True
)
for panel, (rate, model) in zip(panels, models.items(), strict=True):
    GradientFlowDisplay.from_estimator(model, quantity="dead", ax=panel)
    panel.set_xlabel(f"epochs at the rate {rate}")
plt.show()

# %%
# Exercise
# --------
#
# Inputs have the variance 1, weights the variance :math:`2/n`, and there are :math:`n = 1000` of
# them. What is the variance of the sum, and the mean square after a rectifier?

# %%

# Solution
# Each product has the variance 2/n, and n of them are added: 2. The rectifier
# sets one half to zero, so the mean square is 1, as that of the inputs.
rng = np.random.default_rng(0)
draws = rng.normal(size=(2000, 1000))
sums = draws @ rng.normal(size=1000) * np.sqrt(2 / 1000)
print(f"variance {sums.var():.2f}, after: {np.mean(sums.clip(0) ** 2):.2f}")

# %%
# What to remember
# ----------------
#
# * ReLU and its relatives with He's numbers, tanh with Glorot's: that is what ``init=None`` does.
# * Look at ``gradient_norm/k`` of the first and the last layer before blaming the rate.
# * If many units die, lower the rate, or use ``leaky_relu``, ``elu`` or ``gelu``.
#
# Sources: Glorot and Bengio, *Understanding the difficulty of training deep feedforward neural
# networks*, 2010; He, Zhang, Ren and Sun, *Delving Deep into Rectifiers*, 2015,
# `arXiv:1502.01852 <https://arxiv.org/abs/1502.01852>`_.
