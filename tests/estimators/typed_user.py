"""What a user writes, for type checkers to read (test_types.py); it is never run."""

from typing import Any, assert_type

import numpy as np
from numpy.typing import NDArray

import fastgd
from fastgd import LogisticRegression, Ridge, SGDClassifier, SGDRegressor
from fastgd.callbacks import EarlyStopping
from fastgd.losses import Huber
from fastgd.optimizers import Adam
from fastgd.schedules import Cosine, WarmUp

X: NDArray[np.float64] = np.zeros((10, 3))
y: NDArray[np.int64] = np.arange(10) % 2

model = SGDClassifier(
    loss="log_loss",
    optimizer=Adam(beta_1=0.8),
    learning_rate=WarmUp(Cosine(), 5),
    batch_size="full",
    callbacks=[EarlyStopping(patience=2), lambda view: print(view.epoch)],
)
assert_type(model.fit(X, y, sample_weight=[1.0] * 10), SGDClassifier)
assert_type(model.partial_fit(X, y, classes=[0, 1]), SGDClassifier)
assert_type(model.predict(X), NDArray[Any])
assert_type(SGDRegressor(loss=Huber(1.0)).fit(X, y), SGDRegressor)
assert_type(LogisticRegression(C=2.0).fit(X, y).predict_proba(X), NDArray[Any])
assert_type(Ridge(alpha=1.0).fit(X, y), Ridge)
fastgd.plot.LossCurveDisplay.from_estimator(model)
rows, targets, coef = fastgd.datasets.make_ill_conditioned(100, 5, coef=True)
fastgd.to_sklearn(model).predict(X)
