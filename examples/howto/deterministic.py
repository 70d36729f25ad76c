"""
The same result each time
=========================

The same seed gives the same bits in every process of a machine, whether it compiles or reads
compiled code from disk, and whatever ``n_jobs`` is.
"""

import pickle

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import StandardScaler

from fastgd import LogisticRegression, SGDClassifier

X, y = load_breast_cancer(return_X_y=True)
X = StandardScaler().fit_transform(X)
params = {"loss": "log_loss", "batch_size": 16, "max_iter": 20, "tol": None}

one = SGDClassifier(**params, random_state=7).fit(X, y)
other = SGDClassifier(**params, random_state=7).fit(X, y)
print("same seed, same bits:   ", np.array_equal(one.coef_, other.coef_))
other = SGDClassifier(**params, random_state=8).fit(X, y)
difference = np.linalg.norm(other.coef_ - one.coef_) / np.linalg.norm(one.coef_)
print(f"another seed, relative:  {difference:.2f}")

# %%
# With ``random_state=None`` the SGD estimators take a random seed from the system. Those without a
# learning rate use a fixed one: they reach the minimum whatever the order of the rows.

first, second = (LogisticRegression().fit(X, y) for _ in range(2))
print("LogisticRegression:     ", np.array_equal(first.coef_, second.coef_))

# %%
# Interruptions change nothing
# ----------------------------
#
# ``partial_fit`` keeps the random generator, schedule and momentum, and so does a pickle. Training
# in two parts gives the same bits as training in one.

whole = SGDClassifier(**params, random_state=7).partial_fit(
    X, y, classes=[0, 1], max_iter=20
)
part = SGDClassifier(**params, random_state=7).partial_fit(
    X, y, classes=[0, 1], max_iter=8
)
part = pickle.loads(pickle.dumps(part)).partial_fit(X, y, max_iter=12)
print("8 + 12 epochs, pickled: ", np.array_equal(whole.coef_, part.coef_))

# %%
# The amount of memory changes nothing, either: if there is enough, rows are copied into the order
# in which they are visited; otherwise they are read where they are. The order is the same.
#
# What may differ
# ---------------
#
# * On another machine the compiler may fuse multiplications and additions differently, which
#   changes the last digits.
# * Another number of BLAS threads may change the last digits of the full-batch solvers, which use
#   matrix products of BLAS.
# * Dense and CSR, float32 and float64 agree to rounding.
# * Another version of fastgd may differ; the changelog says where numbers changed.
