"""
Rare classes and weights
========================

One digit in ten is an eight. A model that never says "eight" is right nine times of ten, so
accuracy hardly notices the rare class, and neither does the loss. Weights say what a row counts.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import balanced_accuracy_score, precision_recall_curve, recall_score
from sklearn.model_selection import train_test_split

from fastgd import SGDClassifier

X, y = load_digits(return_X_y=True)
X, is_eight = X / 16, (y == 8).astype(int)
X_train, X_test, y_train, y_test = train_test_split(X, is_eight, random_state=0, stratify=is_eight)
words = {"loss": "log_loss", "batch_size": 16, "alpha": 0.01, "random_state": 0}


def report(name, predicted):
    """Print how many eights were found, and how the two classes fare on average."""
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
# ``class_weight="balanced"`` weighs each class by the inverse of its share. ``sample_weight``
# weighs rows, for costs of their own. Or leave the training alone, and move the threshold:
# probabilities of the logistic loss mean something, and 0.5 is right only where both mistakes cost
# the same.

plain = SGDClassifier(**words).fit(X_train, y_train)
report("no weights", plain.predict(X_test))
balanced = SGDClassifier(**words, class_weight="balanced").fit(X_train, y_train)
report('class_weight="balanced"', balanced.predict(X_test))
costs = np.where(y_train == 1, 5.0, 1.0)
costly = SGDClassifier(**words).fit(X_train, y_train, sample_weight=costs)
report("a miss costs 5", costly.predict(X_test))
probability = plain.predict_proba(X_test)[:, 1]
report("threshold 1/6", (probability > 1 / 6).astype(int))

# %%
# A miss that costs 5 false alarms means: say "eight" from a probability of 1/6 on. The picture has
# all thresholds at once. Weights and thresholds walk along nearly the same curve; what they choose
# is the point on it.

figure, panel = plt.subplots(figsize=(5.8, 4.2), layout="constrained")
for name, model, style in (("no weights", plain, "-"), ("balanced", balanced, "--")):
    precision, recall, _ = precision_recall_curve(y_test, model.decision_function(X_test))
    panel.plot(recall, precision, style, label=name)
    said = model.predict(X_test) == 1
    point = (recall_score(y_test, said), np.mean(y_test[said]))
    panel.plot(*point, "o", color=panel.lines[-1].get_color(), markersize=9)
panel.set(xlabel="recall: share of the eights that were found", ylabel="precision", xlim=(0, 1.02))
panel.set_title("dots: the models' own thresholds")
panel.legend(loc="lower left")
plt.show()

# %%
# What to know
# ------------
#
# * Weights change the probabilities: a balanced model says 0.5 where an unweighted one says 0.1. To
#   keep probabilities honest, move the threshold instead (scikit-learn's
#   ``TunedThresholdClassifierCV``).
# * ``partial_fit`` cannot know the classes' shares: pass ``class_weight`` as a dict.
# * :class:`fastgd.losses.Focal` turns down rows that are already well predicted.
