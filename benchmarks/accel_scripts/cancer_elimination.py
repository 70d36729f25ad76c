"""Breast cancer: the ten measurements that matter most, dropped one by one."""

from sklearn.datasets import load_breast_cancer
from sklearn.feature_selection import RFECV
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

X, y = load_breast_cancer(return_X_y=True)
X = StandardScaler().fit_transform(X)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
chosen = RFECV(LogisticRegression(), min_features_to_select=5).fit(X_train, y_train)
permutation_importance(chosen, X_test, y_test, random_state=0)
print(chosen.score(X_test, y_test))
