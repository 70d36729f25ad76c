"""What a loss is: its static methods, and the hooks by which kernels call them.

A loss is a ``NamedTuple`` of its hyperparameters with scalar static methods:

``value(loss, y_true, raw)``
    The loss of one sample; ``raw = x @ coef + intercept``, before any link.
``gradient(loss, y_true, raw)``
    The derivative of ``value`` with respect to ``raw``.
``curvature(loss, y_true, raw)``
    The derivative of ``gradient``; a generalised one where that jumps.
``inverse_link(loss, raw)``
    The prediction that ``raw`` stands for.

Dual solvers (``sdca``) take four more, of the stored derivative r = loss'(raw), the *dual*:

``conjugate(loss, y_true, dual)``
    sup over raw of ``dual * raw - value(raw)``, for a dual within ``dual_bounds``.
``dual_bounds(loss, y_true)``
    The interval of the derivatives, which is where the conjugate is finite.
``dual_curvature(loss, y_true, dual)``
    The curvature at the raw prediction whose derivative is ``dual``; 1 inside a jump.
``dual_step(loss, y_true, raw, dual, q)``
    The solution r of ``r = loss'(raw - q (r - dual))`` and its derivative by ``raw``.

A loss over many outputs (softmax) has ``value_row``, ``gradient_row`` and ``inverse_link_row``
instead, which take a row of K raw predictions.

``kind`` says what ``y_true`` is, and ``negative`` how the negative class of a binary loss is
written (1 is the positive one). A regression loss may also say ``link``: "log" where predictions
are e^raw, nothing where they are ``raw``; ``convex``: False where it is not (a bool, or a function
of the loss), so that no bound is claimed; and ``domain``: "nonnegative" or "positive" where not
every ``y_true`` is allowed. Conventions: 1/2 in the squared losses; everything is finite for
``|raw| <= 1e4``.
"""

from typing import NamedTuple

from numba.extending import overload

from fastgd.kernels._hook import hook
from fastgd.kernels._jit import INLINED, helper, kernel

REGRESSION, BINARY, MULTINOMIAL = "regression", "binary", "multinomial"
LOG, NONNEGATIVE, POSITIVE = "log", "nonnegative", "positive"
STEEPEST = 1e12  # scikit-learn's bound: a quadratic loss far from its minimum stays finite


@hook
def value(loss, y_true, raw):
    """Return the loss of one sample."""
    return type(loss).value(loss, y_true, raw)


@hook
def gradient(loss, y_true, raw):
    """Return the derivative of the loss with respect to ``raw``."""
    return type(loss).gradient(loss, y_true, raw)


@hook
def curvature(loss, y_true, raw):
    """Return the second derivative of the loss with respect to ``raw``."""
    return type(loss).curvature(loss, y_true, raw)


@hook
def inverse_link(loss, raw):
    """Return the prediction that ``raw`` stands for."""
    return type(loss).inverse_link(loss, raw)


@hook
def conjugate(loss, y_true, dual):
    """Return the convex conjugate of the loss."""
    return type(loss).conjugate(loss, y_true, dual)


@hook
def dual_bounds(loss, y_true):
    """Return the least and the largest derivative of the loss."""
    return type(loss).dual_bounds(loss, y_true)


@hook
def dual_curvature(loss, y_true, dual):
    """Return the second derivative of the loss where its first one is ``dual``."""
    return type(loss).dual_curvature(loss, y_true, dual)


@hook
def dual_step(loss, y_true, raw, dual, q):
    """Return r = loss'(raw - q (r - dual)), and its derivative with respect to ``raw``."""
    return type(loss).dual_step(loss, y_true, raw, dual, q)


@hook
def value_row(loss, y_true, raw):
    """Return the loss of one sample with K raw predictions; ``y_true`` is the class's number."""
    return type(loss).value_row(loss, y_true, raw)


@hook
def gradient_row(loss, y_true, raw, out):
    """Write the K derivatives into ``out`` (which may be ``raw``) and return the loss's value."""
    return type(loss).gradient_row(loss, y_true, raw, out)


@hook
def inverse_link_row(loss, raw, out):
    """Write the K predictions that ``raw`` stands for into ``out`` (which may be ``raw``)."""
    return type(loss).inverse_link_row(loss, raw, out)


def kind_of(loss):
    """Return the kind of a loss, or of its type to the compiler; a user's own need not say."""
    return getattr(getattr(loss, "instance_class", type(loss)), "kind", REGRESSION)


def pull(loss):
    """Return the constant slope of the objective along the intercept, 0 for most losses."""
    return type(loss).pull(loss) if hasattr(type(loss), "pull") else 0.0


@overload(pull, jit_options=INLINED)
def _pull(loss):
    if hasattr(loss.instance_class, "pull"):
        return loss.instance_class.pull
    return lambda loss: 0.0


def negative(loss):
    """Return how a loss on classes writes the negative one; a regression loss takes -1 and 1."""
    return getattr(type(loss), "negative", -1.0)


@overload(negative, jit_options=INLINED)
def _negative(loss):
    number = float(getattr(loss.instance_class, "negative", -1.0))
    return lambda loss: number


@helper()
def slope(loss, y_true, raw):
    """Return ``gradient`` within +-1e12, as stochastic steps use it."""
    return min(max(gradient(loss, y_true, raw), -STEEPEST), STEEPEST)


@kernel()
def predictions(loss, raw, out):
    """Write the predictions that an array of ``raw`` stands for into ``out``."""
    for i in range(raw.shape[0]):
        out[i] = inverse_link(loss, raw[i])


Loss = NamedTuple  # any tag of the form that the module's docstring describes
