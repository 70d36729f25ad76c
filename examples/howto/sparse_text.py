"""
Sparse text
===========

A document has about a hundred words of a vocabulary of many thousands. With CSR rows the cost of a
step depends on the words of the document, not on the vocabulary; CSR of float32 or float64 is used
without a copy.

The texts here need no download: they are docstrings of three libraries, and the model predicts
which library a docstring is from.
"""

import importlib
import inspect
import re

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import train_test_split

from fastgd import LogisticRegression, SGDClassifier

MODULES = {
    "numpy": [
        "numpy",
        "numpy.linalg",
        "numpy.fft",
        "numpy.random",
        "numpy.ma",
        "numpy.polynomial",
    ],
    "scipy": [
        "scipy.linalg",
        "scipy.stats",
        "scipy.signal",
        "scipy.special",
        "scipy.optimize",
    ],
    "sklearn": [
        "sklearn.linear_model",
        "sklearn.metrics",
        "sklearn.utils",
        "sklearn.datasets",
    ],
}


def docstrings(library):
    """The docstrings of public functions and classes, without the names."""
    found = set()
    for module in map(importlib.import_module, MODULES[library]):
        for name in getattr(module, "__all__", []):
            text = inspect.getdoc(getattr(module, name)) or ""
            found.add(re.sub(r"numpy|np|scipy|sklearn|scikit\S*", " ", text))
    return sorted(text for text in found if len(text) > 200)


texts = {library: docstrings(library) for library in MODULES}
documents = [text for library in texts for text in texts[library]]
labels = np.repeat(list(texts), [len(found) for found in texts.values()])
train, test, y_train, y_test = train_test_split(
    documents, labels, random_state=0, stratify=labels
)
vectorizer = TfidfVectorizer(sublinear_tf=True)
X_train, X_test = vectorizer.fit_transform(train), vectorizer.transform(test)
n_texts, n_words = X_train.shape
print(
    f"{n_texts} texts, {n_words} words, {X_train.nnz / n_texts:.0f} in a text"
)

# %%
# ``LogisticRegression`` needs no learning rate. Here it uses dual coordinate ascent (``sdca``),
# which updates only the coefficients of the words in a text.

model = LogisticRegression(C=5.0).fit(X_train, y_train)
print(
    f"LogisticRegression ({model.solver_}): "
    f"accuracy {model.score(X_test, y_test):.3f}"
)

# %%
# ``SGDClassifier`` also works for streams. Rows have norm one, so columns need no scaling (a
# ``StandardScaler`` would destroy the zeros); learning rates may be large, since each word is rare.

sgd = SGDClassifier(
    "log_loss", alpha=1e-5, batch_size=16, random_state=0, max_iter=30, tol=None
)
sgd.fit(X_train, y_train)
print(f"SGDClassifier: accuracy {sgd.score(X_test, y_test):.3f}")

# %%
# The words with the largest coefficients for each library:

import matplotlib.pyplot as plt

words = vectorizer.get_feature_names_out()
figure, panels = plt.subplots(
    1, 3, figsize=(9.5, 3.6), sharex=True, layout="constrained"
)
for panel, library, coef in zip(
    panels, model.classes_, model.coef_, strict=True
):
    strongest = np.argsort(coef)[-8:]
    panel.barh(words[strongest], coef[strongest])
    panel.set(title=library, xlabel="coefficient")
    panel.grid(visible=False, axis="y")
plt.show()

# %%
# What helps
# ----------
#
# * ``HashingVectorizer`` instead of a vocabulary, for streams of texts.
# * ``optimizer="adagrad"`` or ``"ftrl"``: a learning rate for each word, larger for rare ones, and
#   exact on sparse rows. Adam and its variants do not update the moments of absent words, unless
#   ``lazy=False``.
# * ``penalty="l1"`` for a model with few words; its zeros are exact, and ``sparsify()`` stores only
#   the other coefficients.
