r"""
13. Regularisation
==================

Descent minimises the loss on the rows that it trains on. What one wants is a
small loss on *new* rows. A penalty on large coefficients keeps the two close
together. This lesson shows how to choose its strength.
"""

# %%
# The penalty
# -----------
#
# With a strength :math:`\alpha` the objective is
#
# .. math:: F(w, b) = \frac{1}{n} \sum_{i=1}^n \mathrm{loss}(y_i, \mathrm{raw}_i)
#    + \alpha\, \Omega(w), \qquad
#    \Omega(w) = \frac{1}{2} \sum_j w_j^2 \quad (\text{l2}) .
#
# The intercept :math:`b` is not penalised. The gradient of the penalty is
# :math:`\alpha w`, so a step also shrinks each coefficient a little (*weight
# decay*):
#
# .. math:: w \leftarrow w - \eta (g + \alpha w)
#    = (1 - \eta \alpha)\, w - \eta g .

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

from fastgd import SGDClassifier

# %%
# Overfitting and underfitting
# ----------------------------
#
# The model learns odd and even from 150 handwritten digits, and is tested on
# 1647 others. With almost no penalty it *overfits*: 65 parameters can separate
# 150 rows, so the training loss goes towards zero, and the test loss rises. With
# too strong a penalty it *underfits*: it predicts nearly the same for every
# digit. The best strength lies between, and is found by validation.

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X / 16, y % 2, train_size=150, random_state=0
)


def train(alpha, max_iter=300):
    """Logistic regression; the log losses on both sets, and the model."""
    model = SGDClassifier("log_loss", alpha=alpha, batch_size=8, random_state=0)
    model.set_params(learning_rate="constant", eta0=0.3)
    model.set_params(max_iter=max_iter, tol=None).fit(X_train, y_train)
    on_train = log_loss(y_train, model.predict_proba(X_train))
    return on_train, log_loss(y_test, model.predict_proba(X_test)), model


alphas = np.geomspace(1e-5, 0.3, 16)
results = [train(alpha) for alpha in alphas]
losses = np.array([result[:2] for result in results])
best = np.argmin(losses[:, 1])
for k in (0, best, len(alphas) - 1):
    print(
        f"alpha {alphas[k]:.0e}: training loss {losses[k, 0]:.3f}, test loss "
        f"{losses[k, 1]:.3f}, |w| = {np.linalg.norm(results[k][2].coef_):5.2f}"
    )

# %%

# Plot: both losses against alpha
figure, panel = plt.subplots(figsize=(6.5, 3.8), layout="constrained")
panel.semilogx(alphas, losses[:, 0], "o--", label="150 rows of the training")
panel.semilogx(alphas, losses[:, 1], "s-", label="1647 other rows")
panel.axvline(alphas[best], color="black", linestyle=":", label="best")
panel.set(xlabel="alpha", ylabel="log loss", ylim=(0, 0.8))
panel.legend()
plt.show()

# %%
# Early stopping is a penalty, too
# --------------------------------
#
# Descent begins at zero, and coefficients grow from epoch to epoch. Whoever
# stops early has small coefficients, and a model like that of a penalty (Ali et
# al. 2019). Without a penalty, after some epochs:

for max_iter in (1, 3, 30, 100, 300):
    on_train, on_test, model = train(0.0, max_iter)
    size = np.linalg.norm(model.coef_)
    print(f"{max_iter:3d} epochs: test loss {on_test:.3f}, |w| = {size:5.2f}")

# %%
# With validation rows, ``fit(X, y, X_val=..., y_val=...)`` stops there by
# itself: :doc:`/generated/howto/early_stopping`.
#
# Exercise
# --------
#
# The test rows above have chosen ``alpha``. Why is their loss at the best
# ``alpha`` too good an estimate of the loss on new rows, and what is the remedy?

# %%

# Solution
# The smallest of 16 numbers was chosen because it is small, in part by luck. Use
# three sets: train on the first, choose alpha by the second, report the third.
X_choose, X_report, y_choose, y_report = train_test_split(
    X_test, y_test, train_size=150, random_state=1
)
chosen = min(
    (log_loss(y_choose, result[2].predict_proba(X_choose)), k)
    for k, result in enumerate(results)
)
model = results[chosen[1]][2]
print(f"where alpha was chosen: {chosen[0]:.3f}")
on_new = log_loss(y_report, model.predict_proba(X_report))
print(f"on new rows:            {on_new:.3f}")

# %%
# What to remember
# ----------------
#
# * Training loss alone says nothing of new rows. Choose ``alpha`` by validation.
# * A penalty compares coefficients, whose size depends on units: scale columns.
#
# Sources: Hoerl and Kennard, *Ridge Regression*, 1970. Ali, Kolter and Tibshirani,
# *A Continuous-Time View of Early Stopping for Least Squares*, 2019,
# `arXiv:1810.10082 <https://arxiv.org/abs/1810.10082>`_.
