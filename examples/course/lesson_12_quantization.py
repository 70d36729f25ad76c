r"""
12. Quantization
================

When several machines share the work, each sends its gradient to the others in
every step, and the network may be slower than the arithmetic. A *quantizer* sends
fewer bits for each number. This lesson shows the two ideas that keep training
correct. (fastgd trains on one machine; ``quantize=`` shows what would be lost.)
"""

# %%
# Stochastic rounding
# -------------------
#
# Divide a number by a step :math:`\Delta`. Round up or down at random, so that
# the *expected value* is the number itself (QSGD, Alistarh et al. 2017):
#
# .. math:: Q(g) = \Delta \left\lfloor \frac{g}{\Delta} + u \right\rfloor,
#    \quad u \text{ uniform on } [0, 1), \qquad \mathbb{E}[Q(g)] = g .
#
# One payload is coarse; the mean of many steps is right. The task below is to
# tell odd from even among 1797 handwritten digits.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from fastgd import SGDClassifier
from fastgd.transforms import Qsgd, decode, encode

X, y = load_digits(return_X_y=True)
X, y = X / 16, y % 2
A = np.column_stack([X, np.ones(len(y))])


def gradient(w):
    """Of the log loss, over all rows."""
    return A.T @ (1 / (1 + np.exp(-A @ w)) - y) / len(y)


def sent(quantizer, g, step=0):
    """What arrives of it."""
    payload = encode(quantizer, g, seed=0, step=step)
    return decode(quantizer, payload, g.size, np.float64)


g = gradient(np.zeros(65))
mean = np.mean([sent(Qsgd(2), g, step) for step in range(1000)], axis=0)
print(
    f"2 bits: a payload is off by {np.linalg.norm(sent(Qsgd(2), g) - g):.3f},"
)
print(f"        the mean of a thousand by {np.linalg.norm(mean - g):.3f}")

# %%

# Plot: 32 entries of the gradient, and what arrives of them
figure, panels = plt.subplots(
    1, 3, figsize=(11, 3.2), sharey=True, layout="constrained"
)
choices = {"4 bits": Qsgd(4), "2 bits": Qsgd(2), "sign": "sign"}
for panel, (name, quantizer) in zip(panels, choices.items(), strict=True):
    n_bytes = encode(quantizer, g, 0, 0).nbytes
    panel.bar(range(32), g[:32], color="0.8", label="gradient")
    panel.plot(sent(quantizer, g)[:32], "oC1", markersize=4, label="sent")
    panel.set(title=f"{name}: {n_bytes} bytes", xlabel="pixel")
panels[0].set_ylabel("entry of the gradient")
panels[0].legend(loc="upper left")
plt.show()

# %%
# Error feedback
# --------------
#
# ``"sign"`` sends one bit a number, and one size for all. Its error is
# systematic: small entries are always sent too large, large ones too small. The
# remedy is a memory :math:`e` of what has not been sent yet (Seide et al. 2014):
#
# .. math:: p = g + e, \qquad \text{send } Q(p), \qquad e \leftarrow p - Q(p) .


def descend(quantizer, feeds_back, n_steps=4000, rate=0.3):
    """Descent by what is sent; the gradient's norm after each step."""
    w, memory, norms = np.zeros(65), np.zeros(65), []
    for _ in range(n_steps):
        owed = gradient(w) + memory
        arrives = sent(quantizer, owed) if quantizer else owed
        memory = (owed - arrives) * feeds_back
        w -= rate * arrives
        norms.append(np.linalg.norm(gradient(w)))
    return np.array(norms)


norms = {
    "sign, no memory": descend("sign", False),
    "sign, with memory": descend("sign", True),
    "exact": descend(None, False),
}
for name, curve in norms.items():
    print(f"{name:18s} {np.sum(curve > 0.02):4d} steps to a norm of 0.02")

# %%

# Plot: the norm of the gradient, step by step
figure, panel = plt.subplots(figsize=(6.5, 3.6), layout="constrained")
for (name, curve), style in zip(
    norms.items(), ("C1-", "C0-", "k:"), strict=True
):
    panel.loglog(curve, style, label=name)
panel.set(xlabel="steps", ylabel="norm of the whole gradient")
panel.legend()
plt.show()

# %%
# What training loses
# -------------------
#
# With batches and a falling rate, which averages out all noise: hardly anything.

params = {"learning_rate": "cosine", "eta0": 0.2, "max_iter": 20, "tol": None}
for quantize in (None, 4, 2, "sign"):
    model = SGDClassifier("log_loss", batch_size=32, random_state=0, **params)
    model.set_params(quantize=quantize).fit(X, y)
    n_bytes = encode(quantize, g, 0, 0).nbytes if quantize else 65 * 4
    print(f"{quantize!s:5} {n_bytes:4d} bytes, score {model.score(X, y):.3f}")

# %%
# Exercise
# --------
#
# With :math:`\Delta = 1`, how often must 0.3 be rounded up, so that the mean is
# right? What is the variance of a payload?

# %%

# Solution
# With probability 0.3: 0.3 * 1 + 0.7 * 0 = 0.3. The variance is 0.3 * 0.7.
draws = np.floor(0.3 + np.random.default_rng(0).random(100_000))
print(f"mean {draws.mean():.2f}, variance {draws.var():.2f}")

# %%
# What to remember
# ----------------
#
# * A coarse gradient must be unbiased, or its error must be fed back. What all
#   quantizers cost, and two workers that send bytes: :doc:`/quantization`.
#
# Sources: Alistarh et al., *QSGD*, 2017, `arXiv:1610.02132
# <https://arxiv.org/abs/1610.02132>`_. Seide et al., *1-Bit Stochastic Gradient
# Descent*, 2014. Karimireddy et al., *Error Feedback Fixes SignSGD*, 2019,
# `arXiv:1901.09847 <https://arxiv.org/abs/1901.09847>`_.
