"""Breast cancer: how many measurements a diagnosis needs, by an l1 penalty."""

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

X, y = load_breast_cancer(return_X_y=True)
scores = []
for C in np.logspace(-2, 1, 10):
    lasso = LogisticRegression(C=C, l1_ratio=1.0, solver="saga", max_iter=10_000)
    model = make_pipeline(StandardScaler(), lasso)
    scores.append(cross_val_score(model, X, y, cv=5, scoring="roc_auc").mean())
print(max(scores))
