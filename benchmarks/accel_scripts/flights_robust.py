"""Flights: the typical delay, which a few enormous ones do not lead."""

from sklearn.linear_model import HuberRegressor
from sklearn.metrics import median_absolute_error
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastgd.datasets import load_nycflights

X, y = load_nycflights(task="regression", return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
model = make_pipeline(StandardScaler(), HuberRegressor(max_iter=1000)).fit(X_train, y_train)
print(-median_absolute_error(y_test, model.predict(X_test)))
