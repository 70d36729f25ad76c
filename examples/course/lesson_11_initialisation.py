r"""
11. Activations and first weights
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
# up for the other half, Glorot's do not.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

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
        from fastgd.initializers import Normal

        params["init"] = Normal(scale)
    return MLPClassifier(
        (32,) * 8,
        max_iter=max_iter,
        batch_size=64,
        tol=None,
        monitor=True,
        random_state=0,
        **params,
    )


figure, panel = plt.subplots(figsize=(7.5, 4.2), layout="constrained")
for name, params in STACKS.items():
    model = stack(learning_rate_init=1e-9, **params).fit(
        X, y
    )  # looks at the start, and stays there
    norms = [model.history_[f"gradient_norm/{k}"][0] for k in range(9)]
    panel.semilogy(range(9), norms, "o-", label=name)
    print(f"{name:22s} first layer {norms[0]:8.1e}, last {norms[-1]:8.1e}")
panel.set(xlabel="layer", ylabel="norm of the gradient at the start")
panel.legend()
panel.grid(visible=True, color="0.92")
plt.show()

# %%
# What that means for training
# ----------------------------
#
# The same networks, thirty epochs of Adam. Adam divides each gradient by its own size, so that a
# small gradient alone does not stop it; but a layer whose signals are all alike learns nothing.

figure, panel = plt.subplots(figsize=(7.5, 4.2), layout="constrained")
for name, params in STACKS.items():
    model = stack(max_iter=30, **params)
    try:
        model.fit(X, y)
    except ValueError as error:
        print(f"{name:22s} {str(error)[:60]}...")
        continue
    panel.semilogy(model.loss_curve_, label=name)
    print(f"{name:22s} accuracy {model.score(X, y):.2f}")
panel.set(xlabel="epochs", ylabel="objective")
panel.legend()
panel.grid(visible=True, color="0.92")
plt.show()

# %%
# Watching units die
# ------------------
#
# A rectifier whose sum is negative for every row puts out 0 and has the slope 0: it is *dead*, and
# nothing revives it. Large rates kill units. ``history_["dead/k"]`` is the share of layer k.

figure, panels = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained", sharey=True)
for panel, rate in zip(panels, (0.001, 0.02), strict=True):
    model = stack(max_iter=20, learning_rate_init=rate).fit(X, y)
    GradientFlowDisplay.from_estimator(model, quantity="dead", ax=panel)
    panel.set_title(f"rate {rate}")
    dead = np.mean([model.history_[f"dead/{k}"][-1] for k in range(8)])
    print(f"rate {rate}: {dead:.0%} dead, accuracy {model.score(X, y):.2f}")
plt.show()

# %%
# To take away
# ------------
#
# * ReLU and its relatives with He's numbers, tanh with Glorot's: that is what ``init=None`` does.
# * Look at ``gradient_norm/k`` of the first and the last layer before blaming the rate.
# * If many units die, lower the rate, or use ``leaky_relu``, ``elu`` or ``gelu``.
#
# Sources: Glorot and Bengio, *Understanding the difficulty of training deep feedforward neural
# networks*, 2010; He, Zhang, Ren and Sun, *Delving Deep into Rectifiers*, 2015,
# `arXiv:1502.01852 <https://arxiv.org/abs/1502.01852>`_.
