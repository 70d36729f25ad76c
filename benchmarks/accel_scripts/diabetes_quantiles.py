"""Diabetes: an interval for its progression, by regressions of quantiles."""

import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.linear_model import QuantileRegressor
from sklearn.metrics import mean_pinball_loss
from sklearn.model_selection import KFold
from sklearn.preprocessing import PolynomialFeatures

X, y = load_diabetes(return_X_y=True)
X = PolynomialFeatures(2, include_bias=False).fit_transform(X)
losses = []
for train, test in KFold(5, shuffle=True, random_state=0).split(X):
    for quantile in (0.05, 0.5, 0.95):
        model = QuantileRegressor(quantile=quantile, alpha=0.001).fit(X[train], y[train])
        losses.append(mean_pinball_loss(y[test], model.predict(X[test]), alpha=quantile))
print(-np.mean(losses))
