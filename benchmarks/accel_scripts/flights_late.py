"""Flights: which arrive late, from raw columns."""

from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split

from fastgd.datasets import load_nycflights

X, y = load_nycflights(task="classification", return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
model = LogisticRegression(max_iter=1000).fit(X_train, y_train)
print(roc_auc_score(y_test, model.decision_function(X_test)))
