"""
The same result each time
=========================

The same seed gives the same bits: in every process of a machine, in the one that compiles and in
those that read compiled code from disk, whatever ``n_jobs`` is.
"""

import pickle

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import StandardScaler

from fastgd import LogisticRegression, SGDClassifier

X, y = load_breast_cancer(return_X_y=True)
X = StandardScaler().fit_transform(X)
words = {"loss": "log_loss", "batch_size": 16, "max_iter": 20, "tol": None}

one = SGDClassifier(**words, random_state=7).fit(X, y)
other = SGDClassifier(**words, random_state=7).fit(X, y)
print("same seed, same bits:   ", np.array_equal(one.coef_, other.coef_))
other = SGDClassifier(**words, random_state=8).fit(X, y)
difference = np.linalg.norm(other.coef_ - one.coef_) / np.linalg.norm(one.coef_)
print(f"another seed, relative:  {difference:.2f}")

# %%
# ``random_state=None`` draws a seed from the system for the SGD estimators. Those without a
# learning rate have a fixed one then: they end at the minimum whatever the order of the rows.

first, second = (LogisticRegression().fit(X, y) for _ in range(2))
print("LogisticRegression:     ", np.array_equal(first.coef_, second.coef_))

# %%
# Pauses do not show
# ------------------
#
# ``partial_fit`` keeps generator, schedule and momenta; so does a pickle. A training in two parts
# has the bits of one in a single part.

whole = SGDClassifier(**words, random_state=7).partial_fit(X, y, classes=[0, 1], max_iter=20)
part = SGDClassifier(**words, random_state=7).partial_fit(X, y, classes=[0, 1], max_iter=8)
part = pickle.loads(pickle.dumps(part)).partial_fit(X, y, max_iter=12)
print("8 + 12 epochs, pickled: ", np.array_equal(whole.coef_, part.coef_))

# %%
# Neither does memory: where there is room, rows are copied into the order in which they are
# visited; where there is none, they are read where they lie. The visits are the same.
#
# What may differ
# ---------------
#
# * Another machine: its compiler may fuse other multiplications and additions, which moves last
#   digits.
# * Another number of BLAS threads, for the full-batch solvers, whose products are BLAS's.
# * Dense and CSR, float32 and float64: equal to rounding.
# * Another version of fastgd: CHANGELOG tells where numbers changed.
