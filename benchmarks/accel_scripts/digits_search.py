"""Handwritten digits: the strength of a logistic regression by a grid search."""

from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
grid = {"logisticregression__C": [1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0]}
search = GridSearchCV(model, grid, scoring="neg_log_loss").fit(X_train, y_train)
print(search.score(X_test, y_test))
