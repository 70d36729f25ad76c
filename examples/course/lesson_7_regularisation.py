r"""
7. Regularisation
=================

Descent minimises the loss on the training rows. What one wants is a small loss on new rows. A
penalty on the coefficients keeps the two close together:

.. math:: F(w, b) = \frac{1}{n} \sum_i \mathrm{loss}(y_i, \mathrm{raw}_i) + \alpha\, \Omega(w),
   \qquad \Omega = \tfrac{1}{2} \lVert w \rVert_2^2 \text{ (l2)}, \quad
   \lVert w \rVert_1 \text{ (l1)}

or a mixture of both, the elastic net. The intercept is not penalised.
"""

# %%
# Overfitting and underfitting
# ----------------------------
#
# The model learns odd and even from 150 handwritten digits, and is tested on 1647. Without a
# penalty the training loss goes towards zero, since 65 parameters can separate 150 rows, and the
# test loss rises. With too strong a penalty the model predicts the same for every digit. In between
# there is a minimum: the best ``alpha`` is found by validation.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes, load_digits
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from fastgd import SGDClassifier, SGDRegressor

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X / 16, y % 2, train_size=150, random_state=0)

alphas = np.geomspace(1e-5, 1, 16)
losses = []
for alpha in alphas:
    model = SGDClassifier(
        "log_loss",
        alpha=alpha,
        learning_rate="constant",
        eta0=0.3,
        batch_size=8,
        max_iter=300,
        tol=None,
        random_state=0,
    ).fit(X_train, y_train)
    losses.append(
        (
            log_loss(y_train, model.predict_proba(X_train)),
            log_loss(y_test, model.predict_proba(X_test)),
        )
    )

figure, panel = plt.subplots(figsize=(6.5, 3.8), layout="constrained")
train, test = np.transpose(losses)
panel.semilogx(alphas, train, "o--", label="150 rows of the training")
panel.semilogx(alphas, test, "s-", label="1647 other rows")
best = np.argmin(test)
panel.annotate(
    "best",
    (alphas[best], test[best]),
    xytext=(0, -22),
    textcoords="offset points",
    ha="center",
    arrowprops={"arrowstyle": "-"},
)
panel.set(xlabel="alpha", ylabel="logistic loss", ylim=(0, 0.8))
panel.legend(loc="upper left")
plt.show()
print(f"best alpha {alphas[best]:.0e}: test loss {test[best]:.3f}, with almost none {test[0]:.3f}")

# %%
# Small coefficients or few
# -------------------------
#
# With two columns of the diabetes data everything can be plotted. As ``alpha`` falls, the minimum
# of :math:`F` moves from 0 to the unpenalised solution. Under l2 both coefficients grow from the
# start. Under l1 one of them stays *exactly* zero for a while: the diamond :math:`\lVert w \rVert_1
# = c` has corners, and a contour of the loss touches a corner first. That is how l1 selects columns
# (Tibshirani 1996).
#
# The l1 norm has no derivative at zero, so its step is a *proximal* step: first along the gradient
# of the loss, then towards zero by at most :math:`\eta \alpha`,
#
# .. math:: w_j \leftarrow \operatorname{sign}(w_j) \max(|w_j| - \eta \alpha,\ 0).
#
# The third path has no penalty: it is descent from 0, stopped early. It stays near the path of l2,
# which is why early stopping also regularises.

names = ["bmi", "bp"]
columns, y = load_diabetes(return_X_y=True)
y = (y - y.mean()) / y.std()
columns = StandardScaler().fit_transform(columns)
pair = columns[:, [2, 3]]


def descend(penalty, alpha=0.0, n_epochs=300):
    """Least squares under a penalty, by whole gradients: the two coefficients."""
    model = SGDRegressor(
        penalty=penalty,
        alpha=alpha,
        learning_rate="constant",
        eta0=0.1,
        batch_size="full",
        max_iter=n_epochs,
        tol=None,
    )
    return model.fit(pair, y).coef_


paths = {
    "l2": [descend("l2", alpha) for alpha in np.geomspace(0.01, 5, 30)],
    "l1": [descend("l1", alpha) for alpha in np.geomspace(0.01, 0.6, 30)],
    "descent, stopped early": [descend(None, n_epochs=n) for n in range(1, 60, 2)],
}
axis = np.linspace(-0.25, 0.65, 80)
plane = np.stack(np.meshgrid(axis, axis), axis=-1)
F = 0.5 * np.mean((plane @ pair.T - y) ** 2, axis=-1)
figure, panel = plt.subplots(figsize=(6.4, 5.2), layout="constrained")
panel.contour(*plane.transpose(2, 0, 1), F, F.min() + np.geomspace(1e-3, 0.3, 10), colors="0.8")
panel.plot([0.2, 0, -0.2, 0, 0.2], [0, 0.2, 0, -0.2, 0], color="C1", linewidth=1)
panel.add_patch(plt.Circle((0, 0), 0.2, fill=False, color="C0"))
for (kind, path), style in zip(paths.items(), ("o-", "s-", "^:"), strict=True):
    panel.plot(*np.transpose(path), style, markersize=3.5, linewidth=1.2, label=kind)
panel.plot(*np.linalg.lstsq(pair, y)[0], "*", color="black", markersize=13)
panel.set(xlim=(-0.25, 0.65), ylim=(-0.25, 0.5), aspect="equal")
panel.set(xlabel=f"coefficient of {names[0]}", ylabel=f"coefficient of {names[1]}")
panel.legend(loc="upper left")
plt.show()

# %%
# All ten columns
# ---------------
#
# The same for all columns as a function of ``alpha``, with the estimators that reach the minimum
# without a learning rate: :class:`fastgd.Ridge` (whose ``alpha`` refers to the sum over the rows,
# not the mean) and :class:`fastgd.Lasso`. l2 shrinks all coefficients together, and none to zero;
# l1 sets one after the other to zero. The zeros are exact, and are counted below the plot.

from fastgd import Lasso, Ridge

labels = load_diabetes().feature_names
colored = {"sex": "C4", "bmi": "C0", "bp": "C2", "s1": "C3", "s3": "C5", "s5": "C1"}
estimator_of = {"l2": lambda alpha: Ridge(len(y) * alpha), "l1": Lasso}
grids = {"l2": np.geomspace(0.003, 5, 25), "l1": np.geomspace(0.003, 0.6, 25)}
figure, panels = plt.subplots(1, 2, figsize=(10, 4.2), sharey=True, layout="constrained")
for panel, (kind, alphas) in zip(panels, grids.items(), strict=True):
    coefs = np.array([estimator_of[kind](alpha).fit(columns, y).coef_ for alpha in alphas])
    for values, label in sorted(zip(coefs.T, labels, strict=True), key=lambda c: c[1] in colored):
        name = label if label in colored else None
        panel.semilogx(alphas, values, color=colored.get(label, "0.8"), label=name)
    panel.set(xlabel="alpha", title=kind)
    for k in (0, 12, 24):
        print(f"{kind}, alpha = {alphas[k]:.3f}: {np.sum(coefs[k] == 0)} exact zeros")
panels[0].set_ylabel("coefficient")
panels[1].legend(ncols=2, loc="lower right")
plt.show()

# %%
# To take away
# ------------
#
# * Use ``penalty="l2"`` for good predictions, ``"l1"`` for few columns, ``"elasticnet"`` for groups
#   of correlated columns.
# * :class:`fastgd.plot.CoefficientPathDisplay` plots such paths for your own data.
# * Scale the columns: a penalty compares coefficients, whose size depends on units.
# * Choose ``alpha`` by validation, or stop early by ``X_val``,
#   :doc:`/generated/howto/early_stopping`.
# * There are also bounds and non-negative coefficients, max-norm, group lasso, a strength for each
#   column (:doc:`/catalogue`); decoupled decay in ``AdamW``.
#
# Sources: Hoerl and Kennard, *Ridge Regression*, 1970. Tibshirani, *Regression Shrinkage and
# Selection via the Lasso*, 1996. Zou and Hastie, *Regularization and Variable Selection via the
# Elastic Net*, 2005. Parikh and Boyd, *Proximal Algorithms*, 2014. Ali, Kolter and Tibshirani, *A
# Continuous-Time View of Early Stopping for Least Squares*, 2019, `arXiv:1810.10082
# <https://arxiv.org/abs/1810.10082>`_.
