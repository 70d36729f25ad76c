"""
Rare classes and weights
========================

One digit in ten is an eight. A model that never predicts an eight is right nine times out of ten,
so the rare class hardly affects accuracy or loss. Weights say how much each row counts.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import (
    balanced_accuracy_score,
    precision_recall_curve,
    recall_score,
)
from sklearn.model_selection import train_test_split

from fastgd import SGDClassifier

X, y = load_digits(return_X_y=True)
X, is_eight = X / 16, (y == 8).astype(int)
X_train, X_test, y_train, y_test = train_test_split(
    X, is_eight, random_state=0, stratify=is_eight
)
params = {
    "loss": "log_loss",
    "batch_size": 16,
    "alpha": 0.01,
    "random_state": 0,
}


def report(name, predicted):
    """Print how many eights were found, and how both classes fare."""
    recall = recall_score(y_test, predicted)
    balanced = balanced_accuracy_score(y_test, predicted)
    print(
        f"{name:24s} accuracy {np.mean(predicted == y_test):.3f}   "
        f"eights found {recall:.2f}   balanced accuracy {balanced:.3f}"
    )


# %%
# Three answers
# -------------
#
# ``class_weight="balanced"`` weights each class by the inverse of its frequency. ``sample_weight``
# weights rows, for example by the cost of an error. Or leave the training as it is, and change the
# threshold: the logistic loss estimates probabilities, and 0.5 is the right threshold only if both
# errors cost the same.

plain = SGDClassifier(**params).fit(X_train, y_train)
report("no weights", plain.predict(X_test))
balanced = SGDClassifier(**params, class_weight="balanced").fit(
    X_train, y_train
)
report('class_weight="balanced"', balanced.predict(X_test))
costs = np.where(y_train == 1, 5.0, 1.0)
costly = SGDClassifier(**params).fit(X_train, y_train, sample_weight=costs)
report("a miss costs 5", costly.predict(X_test))
probability = plain.predict_proba(X_test)[:, 1]
report("threshold 1/6", (probability > 1 / 6).astype(int))

# %%
# If a miss costs as much as 5 false alarms, the threshold is a probability of 1/6. The plot shows
# all thresholds. Weights and thresholds lead to nearly the same curve; they select different points
# on it.

figure, panel = plt.subplots(figsize=(5.8, 4.2), layout="constrained")
for name, model, style in (
    ("no weights", plain, "-"),
    ("balanced", balanced, "--"),
):
    precision, recall, _ = precision_recall_curve(
        y_test, model.decision_function(X_test)
    )
    panel.plot(recall, precision, style, label=name)
    said = model.predict(X_test) == 1
    point = (recall_score(y_test, said), np.mean(y_test[said]))
    panel.plot(*point, "o", color=panel.lines[-1].get_color(), markersize=9)
panel.set(
    xlabel="recall: share of the eights that were found",
    ylabel="precision",
    xlim=(0, 1.02),
)
panel.set_title("dots: the models' own thresholds")
panel.legend(loc="lower left")
plt.show()

# %%
# What to know
# ------------
#
# * Weights change the probabilities: a balanced model predicts 0.5 where an unweighted one predicts
#   0.1. To keep probabilities calibrated, change the threshold instead (scikit-learn's
#   ``TunedThresholdClassifierCV``).
# * ``partial_fit`` cannot know the class frequencies: pass ``class_weight`` as a dict.
# * :class:`fastgd.losses.Focal` gives less weight to rows that are already well predicted.
