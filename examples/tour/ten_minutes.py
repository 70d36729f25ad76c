"""
A ten-minute tour
=================

From the first fit to streams of data. This page is a script that you can download at its end.
"""

# %%
# The first model
# ---------------
#
# Estimators have scikit-learn's names, parameters and defaults, and work in its pipelines and
# searches. What is new are the options of gradient descent: ``batch_size``, ``optimizer``,
# schedules, clipping. With more than two classes, ``log_loss`` trains a true softmax. With a
# learning rate, the SGD estimators need columns of about the same scale, as scikit-learn's do.

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastgd import SGDClassifier

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
model = make_pipeline(
    StandardScaler(),
    SGDClassifier(loss="log_loss", batch_size=16, random_state=0),
)
model.fit(X_train, y_train)
print(f"accuracy on other rows: {model.score(X_test, y_test):.3f}")
print(f"probabilities of the first: {model.predict_proba(X_test[:1]).round(3)}")

# %%
# The first fit with a combination of loss, layout and dtype compiles for a few seconds. The machine
# code is cached on disk, so later processes start at once.
#
# What happened during training
# -----------------------------
#
# ``history_`` has one entry for each epoch: objective, learning rate, seconds, and more.
# ``fastgd.plot`` plots it, and has other plots, too: :doc:`/pictures`.

import matplotlib.pyplot as plt

from fastgd.plot import LossCurveDisplay

history = model[-1].history_
print(f"epochs: {model[-1].n_iter_}; kept: {', '.join(history)}")
LossCurveDisplay.from_estimator(model)
plt.show()

# %%
# Without a learning rate
# -----------------------
#
# More than twenty estimators need neither a learning rate nor scaled columns, and report how far
# from the best possible model they are. Their arguments mean the same as in scikit-learn.

from sklearn.datasets import load_breast_cancer

from fastgd import LogisticRegression

# raw columns, from 0.001 to 4,000
cells, is_benign = load_breast_cancer(return_X_y=True)
exact = LogisticRegression().fit(cells, is_benign)
print(
    f"objective {exact.objective_:.5f}, proven to be within "
    f"{exact.gap_:.0e} of the optimum"
)

# %%
# Which one to use? ``LogisticRegression``, ``Ridge``, ``Lasso``, ``LinearSVC`` and the like if
# there is one for the loss, and the rows fit into memory; ``SGDClassifier`` and ``SGDRegressor``
# for streams, for other losses, and for everything that the course is about.
#
# Regression
# ----------
#
# ``SGDRegressor`` has losses for outliers (``"huber"``), quantiles, counts (``"poisson"``) and
# more; ``y`` with several columns is fitted in one pass. ``learning_rate="auto"`` takes raw
# columns: the length of each step follows from the rows.

from sklearn.datasets import load_diabetes

from fastgd import SGDRegressor

# raw columns: ages, pressures, 1 or 2 for the sex
patients, progress = load_diabetes(return_X_y=True, scaled=False)
line = SGDRegressor(learning_rate="auto", random_state=0)
line.fit(patients, progress)
print(f"R2 = {line.score(patients, progress):.2f}")

# %%
# Every option is a name or an object
# -----------------------------------
#
# A name stands for the defaults; an object sets hyperparameters. :doc:`/catalogue` lists them all.

from fastgd.losses import Softmax
from fastgd.schedules import Cosine, WarmUp

careful = SGDClassifier(
    loss=Softmax(label_smoothing=0.05),
    learning_rate=WarmUp(Cosine(eta0=0.2), length=2),
    batch_size=16,
    max_iter=30,
    tol=None,
    random_state=0,
)
careful.fit(X_train / 16, y_train)
print(f"accuracy on other rows: {careful.score(X_test / 16, y_test):.3f}")

# %%
# Early stopping with a validation set
# ------------------------------------
#
# With ``X_val`` and ``y_val``, training stops when the score on them no longer improves, and keeps
# the best coefficients.

careful.set_params(learning_rate="constant", eta0=0.1, max_iter=200, tol=1e-3)
careful.fit(X_train / 16, y_train, X_val=X_test / 16, y_val=y_test)
scores = careful.history_["validation_score"]
print(
    f"{careful.n_iter_} epochs; the best had {max(scores):.3f}, "
    f"the last {scores[-1]:.3f}"
)

# %%
# Streams and pauses
# ------------------
#
# ``partial_fit`` continues where the last call stopped: schedule, momentum, averages and order of
# the rows. 2 epochs and 3 more equal 5 to the last bit, even with a pickle in between.

import pickle

import numpy as np

params = {"loss": "log_loss", "batch_size": 16, "random_state": 0}
five = SGDClassifier(**params).partial_fit(
    X_train / 16, y_train, classes=range(10), max_iter=5
)
two = SGDClassifier(**params).partial_fit(
    X_train / 16, y_train, classes=range(10), max_iter=2
)
three_more = pickle.loads(pickle.dumps(two)).partial_fit(
    X_train / 16, y_train, max_iter=3
)
print("equal:", np.array_equal(five.coef_, three_more.coef_))

# %%
# Where to go next
# ----------------
#
# * Why it works, with plots: :doc:`/generated/course/index`.
# * Answers to single questions: :doc:`/generated/howto/index`.
# * Every argument, compared with scikit-learn's: :doc:`/scikit-learn`; what each estimator
#   minimises: :doc:`/estimators`.
