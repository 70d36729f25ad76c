"""
Early stopping
==============

Training for too long fits the noise of the rows. Monitor the score on other rows during training,
stop when it no longer improves, and keep the coefficients that were best for them.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from fastgd import SGDClassifier

X, y = load_digits(return_X_y=True)
X_train, X_rest, y_train, y_rest = train_test_split(
    X / 16, y % 2, train_size=300, random_state=0
)
X_val, X_test, y_val, y_test = train_test_split(
    X_rest, y_rest, train_size=600, random_state=0
)
params = {
    "loss": "log_loss",
    "learning_rate": "constant",
    "eta0": 0.1,
    "batch_size": 16,
}
params |= {
    "alpha": 0.0,
    "random_state": 0,
    "max_iter": 1000,
    "n_iter_no_change": 20,
    "tol": 1e-4,
}

# %%
# With a validation set
# ---------------------
#
# ``fit(X_val=..., y_val=...)`` monitors ``score(X_val, y_val)``. Training ends when it has not
# improved on its best by ``tol`` for ``n_iter_no_change`` epochs. No row of ``X`` is held out.

model = SGDClassifier(**params)
model.fit(X_train, y_train, X_val=X_val, y_val=y_val)
scores = np.array(model.history_["validation_score"])
best = scores.argmax()
print(
    f"{model.n_iter_} epochs; best {scores[best]:.3f} after {best + 1}, "
    f"last {scores[-1]:.3f}"
)
print(
    f"the model is the best one: {model.score(X_val, y_val):.3f}; new rows: "
    f"{model.score(X_test, y_test):.3f}"
)

figure, panel = plt.subplots(figsize=(6.5, 3.6), layout="constrained")
epochs = np.arange(1, len(scores) + 1)
panel.plot(epochs, scores, label="score on X_val")
panel.plot(best + 1, scores[best], "o", label="kept")
panel.set(xlabel="epochs", ylabel="accuracy")
panel.legend(loc="lower right")
plt.show()

# %%
# With held-out rows
# ------------------
#
# ``early_stopping=True`` holds out ``validation_fraction`` of the rows, as scikit-learn does.
# Unlike in scikit-learn, the best coefficients are kept, and the score is that of ``score``.

model = SGDClassifier(
    **params, early_stopping=True, validation_fraction=0.2
).fit(X_train, y_train)
print(f"{model.n_iter_} epochs, new rows {model.score(X_test, y_test):.3f}")

# %%
# Other rules are callbacks: :class:`fastgd.callbacks.EarlyStopping`.
#
# In a pipeline
# -------------
#
# The validation rows must be transformed like the training rows. scikit-learn does that with
# ``transform_input``, under metadata routing.

import sklearn
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

with sklearn.config_context(enable_metadata_routing=True):
    estimator = SGDClassifier(**params).set_fit_request(X_val=True, y_val=True)
    pipeline = make_pipeline(
        StandardScaler(), estimator, transform_input=["X_val"]
    )
    pipeline.fit(X_train, y_train, X_val=X_val, y_val=y_val)
    print(
        f"pipeline: {pipeline[-1].n_iter_} epochs, "
        f"new rows {pipeline.score(X_test, y_test):.3f}"
    )
