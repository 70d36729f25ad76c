r"""
6. Quantization
===============

If several machines share the work, each sends its gradient to the others in every step, and the
network may be slower than the arithmetic. A remedy is to send fewer bits. A gradient of 65 numbers
takes 260 bytes in float32; a *quantizer* replaces it by a coarser one with 8, 4, 2 or 1 bit a
number. Two ideas keep training correct:

* **stochastic rounding**: round up or down at random, so that the *expected value* of the payload
  is the gradient (QSGD, Alistarh et al. 2017),

  .. math:: \mathbb{E}[Q(g)] = g ;

* **error feedback**: add the error of a step to the gradient of the next one (Seide et al. 2014,
  Karimireddy et al. 2019),

  .. math:: p = g + e, \qquad e \leftarrow p - Q(p).

fastgd trains on one machine, where nothing is sent: ``quantize=`` shows what such a training would
lose, and ``encode`` returns the real bytes.
"""

# %%
# A quantized gradient
# --------------------
#
# The task is to tell odd from even among 1797 handwritten digits. The plot shows the gradient at
# the start, for the 32 pixels of the upper half of the image. With fifteen levels (4 bits) the
# quantized gradient is close; with three (2 bits) most entries are 0 and some are too large, which
# averages out over many steps. ``"sign"`` sends one magnitude for all entries.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from fastgd import SGDClassifier
from fastgd.transforms import Qsgd, decode, encode

X, y = load_digits(return_X_y=True)
X, y = X / 16, y % 2
A = np.column_stack([X, np.ones(len(y))])


def gradient(w):
    """Of the logistic loss, over all rows."""
    return A.T @ (1 / (1 + np.exp(-A @ w)) - y) / len(y)


def sent(quantizer, g, step=0):
    """What arrives of it."""
    return decode(quantizer, encode(quantizer, g, seed=0, step=step), g.size, np.float64)


g = gradient(np.zeros(65))
shown = range(32)
figure, panels = plt.subplots(1, 3, figsize=(11, 3.2), sharey=True, layout="constrained")
for panel, (name, quantizer) in zip(
    panels, {"4 bits": Qsgd(4), "2 bits": Qsgd(2), "sign": "sign"}.items(), strict=True
):
    arrives = sent(quantizer, g)
    panel.bar(shown, g[:32], color="0.8", label="gradient")
    panel.plot(shown, arrives[:32], "o", markersize=4, color="C1", label="sent")
    panel.set(title=f"{name}: {encode(quantizer, g, 0, 0).nbytes} bytes", xlabel="pixel")
panels[0].set(ylabel="entry of the gradient", ylim=(-0.14, 0.14))
panels[0].legend(ncols=2, loc="upper left")
plt.show()
mean = np.mean([sent(Qsgd(2), g, step) for step in range(1000)], axis=0)
print(
    f"2 bits: one message is off by {np.linalg.norm(sent(Qsgd(2), g) - g):.3f}, "
    f"the mean of a thousand by {np.linalg.norm(mean - g):.3f}"
)
print(f"sign:   any number of messages by {np.linalg.norm(sent('sign', g) - g):.3f}")

# %%
# Why the sign needs error feedback
# ---------------------------------
#
# The error of the sign is systematic: small entries are always sent too large, large ones too
# small. Without error feedback descent takes a detour, and needs several times as many steps. With
# it, each error is corrected in the next payload, and one bit a number is as good as the exact
# gradient: the two lower curves coincide.


def descend(quantizer, feeds_back, n_steps=3000, rate=0.3):
    """Descent by what is sent; the gradient's norm after each step."""
    w, memory, norms = np.zeros(65), np.zeros(65), []
    for _ in range(n_steps):
        owed = gradient(w) + memory
        arrives = sent(quantizer, owed) if quantizer else owed
        memory = (owed - arrives) * feeds_back
        w -= rate * arrives
        norms.append(np.linalg.norm(gradient(w)))
    return norms


figure, panel = plt.subplots(figsize=(6.5, 3.8), layout="constrained")
for name, quantizer, feeds_back, style in (
    ("sign, no memory", "sign", False, "C1-"),
    ("sign, with memory", "sign", True, "C0-"),
    ("exact", None, False, "k:"),
):
    norms = descend(quantizer, feeds_back)
    panel.loglog(norms, style, label=name)
    print(f"{name:18s} {np.argmax(np.array(norms) < 0.02):5d} steps to a gradient of 0.02")
panel.set(xlabel="steps", ylabel="norm of the whole gradient")
panel.legend(loc="lower left")
plt.show()

# %%
# What training loses
# -------------------
#
# Mini-batches of 32 with a falling rate; ``quantize=b`` is QSGD with b bits. All reach the same
# objective, since a falling rate averages out the noise of the quantizer together with that of the
# batches. What differs is the number of bytes sent, which is the horizontal axis. (A payload has a
# header of 16 bytes and a scale of 8 bytes; for long gradients these are negligible, and 4 bits are
# an eighth of float32.)

N_EPOCHS, STEPS = 40, -(-len(y) // 32)
bytes_of = {None: 65 * 4, 8: encode(8, g, 0, 0).nbytes, 4: encode(4, g, 0, 0).nbytes}
bytes_of |= {2: encode(2, g, 0, 0).nbytes, "sign": encode("sign", g, 0, 0).nbytes}
figure, panel = plt.subplots(figsize=(6.5, 3.8), layout="constrained")
for (quantize, n_bytes), style in zip(bytes_of.items(), ("-", "--", "-.", ":", "-"), strict=True):
    model = SGDClassifier(
        "log_loss",
        learning_rate="cosine",
        eta0=0.2,
        batch_size=32,
        max_iter=N_EPOCHS,
        tol=None,
        quantize=quantize,
        monitor=True,
        random_state=0,
    ).fit(X, y)
    name = {None: "float32", "sign": "sign"}.get(quantize, f"{quantize} bits")
    objective = model.history_["true_objective"]
    megabytes = n_bytes * STEPS * np.arange(1, N_EPOCHS + 1) / 1e6
    panel.semilogx(megabytes, objective, style, label=name)
    print(
        f"{name:8s} {n_bytes:4d} bytes a step   objective {objective[-1]:.4f}   "
        f"accuracy {model.score(X, y):.3f}"
    )
panel.set(xlabel="megabytes sent", ylabel="objective")
panel.legend()
plt.show()

# %%
# To take away
# ------------
#
# * Four bits with stochastic rounding, or one with error feedback, cost hardly any accuracy.
# * On one machine quantization only costs time; over a slow network it may save most of the time.
# * A coarse gradient has to be unbiased, or its error has to be fed back.
#
# What all quantizers cost, and two workers that exchange bytes: :doc:`/quantization`.
#
# Sources: Alistarh, Grubic, Li, Tomioka and Vojnovic, *QSGD*, 2017, `arXiv:1610.02132
# <https://arxiv.org/abs/1610.02132>`_. Seide, Fu, Droppo, Li and Yu, *1-Bit Stochastic Gradient
# Descent*, 2014. Karimireddy, Rebjock, Stich and Jaggi, *Error Feedback Fixes SignSGD*, 2019,
# `arXiv:1901.09847 <https://arxiv.org/abs/1901.09847>`_.
