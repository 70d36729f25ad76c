r"""
3. Cross-entropy: the loss of classification
============================================

A classifier should give probabilities, and a loss has to say how good they are.
If the label has the probability :math:`p`, the loss is :math:`-\log p`: nothing
for a sure and right prediction, and without bound for a sure and wrong one. This
lesson derives the log loss and the cross-entropy, and their simple gradient.
"""

# %%
# Two classes: the log loss
# -------------------------
#
# The raw prediction can be any number. The *logistic function* (sigmoid) makes
# a probability of it, and the *log loss* of a label :math:`y`, 0 or 1, is
#
# .. math::
#    p = \sigma(\mathrm{raw}) = \frac{1}{1 + e^{-\mathrm{raw}}}, \qquad
#    \mathrm{loss} = -y \log p - (1 - y) \log (1 - p) .
#
# Only one of the two terms is not zero: the one of the true label. Since
# :math:`\sigma' = p (1 - p)`, the derivative by :math:`\mathrm{raw}` is short:
#
# .. math:: \mathrm{loss}' = -\frac{y}{p}\, p (1 - p)
#    + \frac{1 - y}{1 - p}\, p (1 - p) = p - y ,
#
# *probability minus label*. A row that is predicted well hardly pulls.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from fastgd import SGDClassifier
from fastgd.losses import Hinge, LogLoss

log_loss = LogLoss()
print("label 1: raw, probability, loss, derivative")
for raw in (-4.0, 0.0, 4.0):
    p = 1 / (1 + np.exp(-raw))
    slope = log_loss.gradient(log_loss, 1.0, raw)
    print(f"{raw:+.0f}  {p:.3f}  {-np.log(p):.3f}  {slope:+.3f} = {p - 1:+.3f}")

# %%
# Many classes: softmax and cross-entropy
# ---------------------------------------
#
# With :math:`K` classes there is one raw prediction :math:`r_k` for each. The
# *softmax* makes probabilities of them, which are positive and sum to 1; the
# *cross-entropy* between the labels and them is the loss:
#
# .. math::
#    p_k = \frac{e^{r_k}}{\sum_{j=1}^K e^{r_j}}, \qquad
#    \mathrm{loss} = -\sum_{k=1}^K y_k \log p_k = -\log p_{\text{label}} .
#
# Here :math:`y_k` is 1 for the true class and 0 for the others (*one-hot*). The
# derivative has the same form as before: :math:`\partial\, \mathrm{loss} /
# \partial r_k = p_k - y_k`. With two classes softmax *is* the logistic function
# of :math:`r_1 - r_0`.


def softmax(r):
    """Probabilities; subtracting the largest avoids overflow."""
    powers = np.exp(r - r.max())
    return powers / powers.sum()


r, label = np.array([2.0, 1.0, -1.0]), 1
p = softmax(r)
loss = -np.log(p[label])
print("probabilities", p.round(4), "loss", loss.round(4))
print("p - y        ", (p - np.eye(3)[label]).round(4))
nudges = 1e-6 * np.eye(3)
differences = [(-np.log(softmax(r + d)[label]) - loss) / 1e-6 for d in nudges]
print("measured     ", np.round(differences, 4))

# %%
# Ten digits
# ----------
#
# ``SGDClassifier(loss="log_loss")`` trains a softmax when there are more than
# two classes. A model that knows nothing gives each digit the probability 0.1,
# a loss of :math:`\log 10 = 2.303`. Training lowers it:

X, y = load_digits(return_X_y=True)
X = X / 16
params = {"alpha": 0, "learning_rate": "constant", "eta0": 0.3}
model = SGDClassifier("log_loss", batch_size=32, random_state=0, **params)
mean_loss = [np.log(10)]
for _ in range(10):
    model.partial_fit(X, y, classes=range(10))
    of_labels = model.predict_proba(X)[np.arange(len(y)), y]
    mean_loss.append(-np.log(of_labels).mean())
print("after 0, 1, 10 epochs:", np.round(np.take(mean_loss, [0, 1, 10]), 3))

# %%

# Plot: losses of two classes, and the training of ten
figure, (left, right) = plt.subplots(
    1, 2, figsize=(9.5, 3.8), layout="constrained"
)
raws = np.linspace(-4, 4, 201)
for loss, style in ((LogLoss(), "-"), (Hinge(), ":")):
    values = [loss.value(loss, 1.0, r) for r in raws]
    slopes = [loss.gradient(loss, 1.0, r) for r in raws]
    name = type(loss).__name__
    left.plot(raws, values, f"C0{style}", label=f"{name}, label 1")
    left.plot(raws, slopes, f"C1{style}", label="its derivative")
left.legend(loc="upper right")
left.set(xlabel="raw prediction", title="two classes")
right.plot(mean_loss, "o-")
right.set(xlabel="epochs", ylabel="mean cross-entropy", title="ten digits")
right.set_ylim(0, 2.5)
plt.show()

# %%
# The dotted lines are the hinge loss of the support vector machine. It has no
# probabilities, and no derivative beyond the margin at 1: a row there has no
# influence at all, while the log loss always has some.
#
# Exercise
# --------
#
# A model predicts a wrong class with probability 0.999, and another one with
# 0.6 (two classes). How many rows of the second kind cost as much as one of the
# first? Do they also pull as strongly?

# %%

# Solution
# The losses are -log 0.001 and -log 0.4. The pulls are 0.999 and 0.6: the log
# loss grows without bound, but slowly, and its derivative is at most 1.
print(f"{np.log(0.001) / np.log(0.4):.1f} rows; pulls {0.999 / 0.6:.2f} to 1")

# %%
# What to remember
# ----------------
#
# * Cross-entropy is :math:`-\log` of the probability of the true class.
# * Its derivative is probability minus label, for two classes and for many.
#
# Source: Cox, *The Regression Analysis of Binary Sequences*, 1958.
