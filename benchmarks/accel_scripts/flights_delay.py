"""Flights: how late they arrive, by a lasso whose strength is chosen by cross-validation."""

from sklearn.linear_model import LassoCV
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastgd.datasets import load_nycflights

X, y = load_nycflights(task="regression", return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
model = make_pipeline(StandardScaler(), LassoCV(alphas=50, cv=5)).fit(X_train, y_train)
print(model.score(X_test, y_test))
