"""
Data that do not fit into memory
================================

There are two ways. A memory-mapped array is read from disk while it is visited: ``fit`` uses it as
it is, and copies it only if there is enough free memory. Or pass chunks from any origin to
``partial_fit``.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from fastgd import SGDClassifier

# %%
# A file stands in for the large data: 60,000 rows of 20 columns.

folder = tempfile.TemporaryDirectory()
path = Path(folder.name) / "X.npy"
rng = np.random.default_rng(0)
X = np.lib.format.open_memmap(
    path, mode="w+", dtype=np.float64, shape=(60_000, 20)
)
X[:] = rng.normal(size=X.shape)
X.flush()
y = (X @ rng.normal(size=20) + 2 * rng.normal(size=len(X)) > 0).astype(int)

# %%
# From a memory map
# -----------------
#
# float32 or float64 in C order is used without a copy, so save the data in that form: anything else
# (strings, integers, Fortran order) has to be converted, which needs memory.

on_disk = np.load(path, mmap_mode="r")
params = {
    "loss": "log_loss",
    "batch_size": 64,
    "learning_rate": "constant",
    "eta0": 0.05,
}
model = SGDClassifier(**params, max_iter=3, tol=None, random_state=0).fit(
    on_disk, y
)
print(f"memory map: accuracy {model.score(on_disk, y):.3f}")

# %%
# In chunks
# ---------
#
# The first call needs ``classes``, since a chunk may lack some of them. Schedule and optimizer
# continue from call to call, and there is no early stopping. Chunks should be mixed: a chunk with a
# single class biases the model towards that class.
#
# The score on each chunk *before* it is used for training is an unbiased estimate at no cost, since
# the rows are new to the model (progressive validation).

model = SGDClassifier(**params, random_state=0)
scores = []
for first in range(0, len(y), 2_000):
    chunk, labels = on_disk[first : first + 2_000], y[first : first + 2_000]
    if first > 0:
        scores.append(model.score(chunk, labels))
    model.partial_fit(chunk, labels, classes=[0, 1])
print(
    f"chunks: accuracy on the last one, before training on it: {scores[-1]:.3f}"
)

figure, panel = plt.subplots(figsize=(6, 3.4), layout="constrained")
panel.plot(2_000 * np.arange(1, len(scores) + 1), scores, "o-", markersize=3)
panel.set(xlabel="rows seen", ylabel="accuracy on the next 2000")
plt.show()

# %%
# What helps
# ----------
#
# * float32 halves the amount of data. Models are as good, since sums are computed in float64.
# * Scale with ``StandardScaler().partial_fit`` in a first pass over the chunks.
# * ``partial_fit(..., max_iter=3)`` trains three epochs on a chunk that is expensive to load.
# * For text and categories, ``HashingVectorizer`` and ``FeatureHasher`` need no pass to learn a
#   vocabulary, and their CSR output is used without a copy.
# * Monitor a long training and save its best state on disk: :doc:`/watching`.
# * If the distribution drifts, use ``learning_rate="constant"``.

on_disk = X = None  # before the folder goes
folder.cleanup()
