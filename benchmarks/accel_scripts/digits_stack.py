"""Handwritten digits: calibrated machines and a perceptron, stacked."""

from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_digits
from sklearn.ensemble import StackingClassifier
from sklearn.linear_model import LogisticRegression, Perceptron, RidgeClassifier
from sklearn.model_selection import train_test_split
from sklearn.svm import LinearSVC

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X / 16, y, random_state=0)
models = [
    ("svm", CalibratedClassifierCV(LinearSVC(random_state=0))),
    ("perceptron", Perceptron(random_state=0)),
    ("ridge", RidgeClassifier()),
]
stack = StackingClassifier(models, LogisticRegression(max_iter=1000)).fit(X_train, y_train)
print(stack.score(X_test, y_test))
