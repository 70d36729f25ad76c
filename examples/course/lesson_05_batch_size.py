r"""
5. Why 32, 64, 128
==================

The batch sizes that one sees everywhere are 32, 64 and 128. There are two
reasons, which pull in opposite directions. Small batches learn more from each
row. Large batches need less time for each row. Some tens of rows are where both
are nearly satisfied.
"""

# %%
# What a larger batch gains: noise falls slowly
# ---------------------------------------------
#
# The gradient of :math:`m` random rows is a mean of :math:`m` random numbers.
# Its error falls as that of any mean:
#
# .. math:: \sqrt{\mathbb{E} \lVert g - \nabla F \rVert^2}
#    = \frac{\sigma}{\sqrt{m}} ,
#
# with :math:`\sigma` the spread of single rows' gradients. A batch four times as
# large costs four times as much, and is only twice as accurate. The rate does
# not help for ever, either: beyond a certain batch size the limit of lesson 8
# forbids longer steps, and further rows in the batch are wasted.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from fastgd import SGDClassifier

X, y = load_digits(return_X_y=True)
X, y = X / 16, y % 2  # odd or even
rows = (X.T * (1 / 2 - y)).T  # each row's gradient of the log loss at w = 0
whole = rows.mean(axis=0)
rng = np.random.default_rng(0)
sizes = np.array([1, 4, 16, 64, 256])
errors = []
for m in sizes:
    drawn = rows[rng.integers(len(y), size=(200, m))].mean(axis=1)
    errors.append(np.sqrt(np.mean(np.sum((drawn - whole) ** 2, axis=1))))
    relative = errors[-1] / np.linalg.norm(whole)
    print(f"{m:4d} rows: the error is {relative:.2f} times the gradient")

# %%
# What a smaller batch costs: time
# --------------------------------
#
# A processor multiplies several numbers at once, and reads memory in pieces. One
# row at a time leaves most of that unused, because the next row has to wait for
# the step of this one. From some tens of rows on an epoch gets hardly faster.
# On a graphics processor, with thousands of units, that point lies at larger
# batches. Powers of two fill vectors and memory lines without a rest; 60 or 100
# rows are not wrong.
#
# The times are those of the machine that built this page:

table, labels = np.tile(X, (40, 1)).astype(np.float32), np.tile(y, 40)
params = {"alpha": 0, "learning_rate": "constant", "tol": None}
times = []
for m in sizes:
    model = SGDClassifier("log_loss", batch_size=int(m), max_iter=6)
    model.set_params(eta0=0.01, **params).fit(table, labels)
    seconds = min(model.history_["seconds"])  # of the fastest epoch
    times.append(1e9 * seconds / len(labels))
    print(f"batches of {m:3d}: {times[-1]:4.0f} ns a row")

# %%
# Both together
# -------------
#
# How many rows must be read until the model is good? Small batches need fewer.
# Each batch size has the best of several rates; counted are the epochs until the
# log loss of all rows is below 0.22:

epochs_needed = []
for m in sizes:
    found = []
    for eta0 in (0.1, 0.3, 1.0, 2.0):
        model = SGDClassifier("log_loss", batch_size=int(m), max_iter=30)
        model.set_params(eta0=eta0, monitor=True, random_state=0, **params)
        curve = np.array(model.fit(X, y).history_["true_objective"])
        found.append(np.argmax(curve < 0.22) + 1 if min(curve) < 0.22 else 31)
    epochs_needed.append(min(found))
    print(f"batches of {m:3d}: {epochs_needed[-1]:3d} epochs")

# %%

# Plot: the error of a gradient, the time of an epoch, the epochs needed
figure, panels = plt.subplots(1, 3, figsize=(11, 3.5), layout="constrained")
panels[0].loglog(sizes, errors, "o-", label="measured")
panels[0].loglog(sizes, errors[0] / np.sqrt(sizes), "k:", label=r"$1/\sqrt{m}$")
panels[0].set_title("error of the gradient")
panels[0].legend()
panels[1].semilogx(sizes, times, "o-C1")
panels[1].set(title="nanoseconds a row", ylim=(0, None))
panels[2].semilogx(sizes, epochs_needed, "o-C2")
panels[2].set(title="epochs to a loss of 0.22", ylim=(0, None))
for panel in panels:
    panel.set_xlabel("rows in a batch, m")
    panel.set_xticks(sizes, sizes)
    panel.minorticks_off()
plt.show()

# %%
# Exercise
# --------
#
# Your batches have 32 rows, and the rate is tuned. You change to 128 rows. Which
# rate do you try first, and how much better is the gradient?

# %%

# Solution
# The noise floor is proportional to rate / size (lesson 4), so four times the
# rate has the same floor (Goyal et al. 2017), as long as it is below the limit.
# The error of a single gradient is divided by the square root of 4.
print("rate times", 128 // 32, "- error divided by", (128 / 32) ** 0.5)

# %%
# What to remember
# ----------------
#
# * Noise falls as :math:`1/\sqrt{m}`; the time for a row falls, too, but only up
#   to some tens of rows. That is where 32, 64 and 128 come from.
# * Start there. Use 1 for scikit-learn's steps, ``"full"`` for few rows.
#
# Sources: Goyal et al., *Accurate, Large Minibatch SGD*, 2017, `arXiv:1706.02677
# <https://arxiv.org/abs/1706.02677>`_. Masters and Luschi, *Revisiting Small
# Batch Training*, 2018, `arXiv:1804.07612 <https://arxiv.org/abs/1804.07612>`_.
