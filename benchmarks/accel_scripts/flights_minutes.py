"""Flights: minutes of delay as counts, by a Poisson regression."""

import numpy as np
from sklearn.linear_model import PoissonRegressor
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastgd.datasets import load_nycflights

X, y = load_nycflights(task="regression", return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, np.maximum(y, 0.0), random_state=0)
model = make_pipeline(StandardScaler(), PoissonRegressor(alpha=1e-3, max_iter=1000))
print(model.fit(X_train, y_train).score(X_test, y_test))
