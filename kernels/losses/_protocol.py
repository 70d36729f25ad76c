r"""What a loss is: its static methods, and the hooks by which kernels call them.

A loss is a ``NamedTuple`` of its hyperparameters with scalar static methods:

``value(loss, y_true, raw)``
    The loss of one sample; ``raw = x @ coef + intercept``, before any link.
``gradient(loss, y_true, raw)``
    The derivative of ``value`` with respect to ``raw``.
``slope(loss, y_true, raw)``
    ``gradient`` as stochastic steps use it: by default within +-1e12, for which each of them waits
    some cycles; a loss whose gradient is bounded may say that it is ``gradient``.
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
instead, which take a row of K raw predictions. One whose derivatives are made of exponentials may
say ``gradient_row`` in two parts besides, ``begin_row(loss, y_true, raw)`` and ``end_row(loss,
y_true, raw)``, both in place; those who have many rows take the exponentials in between at once.

The rest are facts: attributes of the class or, where they depend on the hyperparameters, static
methods of ``(loss)``; nothing of them is compiled. A user's own loss may say what it knows. What
it does not say is taken for what claims least:

``kind``
    What ``y_true`` is: "regression" (default), "binary", or "multinomial" for a loss of many
    outputs.
``negative``
    How the negative class of a binary loss is written, default -1; 1 is the positive one.
``link``
    "log" where predictions are e^raw, "logit" where they are 1 / (1 + e^-raw); default: ``raw``.
``domain``
    "nonnegative" or "positive" where not every ``y_true`` is allowed; default: all are.
``convex``
    Whether it is convex in ``raw``, so that a bound of the suboptimality may be claimed; default
    False.
``nonnegative``
    Whether no value is below zero; default False.
``smooth``
    Whether the gradient is continuous; default: whether there is a ``curvature``.
``curvature_bound``
    The largest \|curvature\| for any y_true and raw; default: infinity.
``quadratic``
    Whether the curvature is ``curvature_bound`` everywhere; default False.
``variance_power``
    p of the variance mean^p of the Tweedie family's deviances, whose fields ``level`` and ``reach``
    solvers may set; default None.
``of_residual``
    Whether it depends on raw - y_true only, apart from its hyperparameters; default False.
``jumps``
    Whether the curvature has two values, 0 and ``curvature_bound``; default False.
``degree``
    k where multiplying y_true, raw and ``epsilon`` by c > 0 multiplies it by c^k; default None.
``cross_entropy``
    Of a loss of many outputs: whether it is log(sum_k e^raw_k) - raw_y, for which the solvers
    without a learning rate are compiled; default False.
``of_classes``
    The loss of many outputs that a binary one becomes where there are more than two classes;
    default None: one against the rest.

and three methods in plain numpy, on arrays:

``probability(loss, raw)``
    That of the positive class, or of each class (softmax); without it there is no
    ``predict_proba``.
``pieces(loss, y_true)``
    Of a piecewise linear loss, that is a sum of terms max_{low <= r <= high} r (raw - at): the
    arrays (at, low, high), each (n_terms, n_samples). One term, or two: the first with low = 0,
    the second with high = 0. Such a loss has no curvature, and a method of its own.
``interval(loss, y_true)``
    Of a loss that is the square of the distance from an interval: its ends (low, high), one of
    which may be infinite.

Conventions: 1/2 in the squared losses; everything is finite for ``|raw| <= 1e4``.
"""

import math
from typing import NamedTuple

import numpy as np

from fastgd.kernels._hook import hook, implement, optional
from fastgd.kernels._jit import kernel

REGRESSION, BINARY, MULTINOMIAL = "regression", "binary", "multinomial"
LOG, LOGIT, NONNEGATIVE, POSITIVE = "log", "logit", "nonnegative", "positive"
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
def begin_row(loss, y_true, raw):
    """Replace raw predictions by what is to be exponentiated; return a part of the loss."""
    return type(loss).begin_row(loss, y_true, raw)


@hook
def end_row(loss, y_true, raw):
    """Make of the exponentials the derivatives; return the other part of the loss."""
    return type(loss).end_row(loss, y_true, raw)


@hook
def inverse_link_row(loss, raw, out):
    """Write the K predictions that ``raw`` stands for into ``out`` (which may be ``raw``)."""
    return type(loss).inverse_link_row(loss, raw, out)


def kind_of(loss):
    """Return the kind of a loss, or of its type to the compiler; a user's own need not say."""
    return getattr(getattr(loss, "instance_class", type(loss)), "kind", REGRESSION)


def _fact(loss, name, default):
    """Return what a loss says of itself, by an attribute of its class or a method of the loss."""
    said = getattr(type(loss), name, default)
    return said(loss) if callable(said) else said


def has(loss, *methods):
    """Tell whether a loss has all of these methods."""
    return all(hasattr(type(loss), method) for method in methods)


def link_of(loss):
    """Return LOG, LOGIT, or None where predictions are ``raw`` or a class."""
    return _fact(loss, "link", None)


def domain_of(loss):
    """Return which targets a loss allows: NONNEGATIVE, POSITIVE, or None for all."""
    return _fact(loss, "domain", None)


def is_convex(loss):
    """Tell whether a loss is known to be convex."""
    return bool(_fact(loss, "convex", False))


def is_nonnegative(loss):
    """Tell whether a loss is known to have no value below zero."""
    return bool(_fact(loss, "nonnegative", False))


def is_smooth(loss):
    """Tell whether the gradient is continuous."""
    return bool(_fact(loss, "smooth", has(loss, "curvature")))


def is_quadratic(loss):
    """Tell whether the curvature is the same everywhere."""
    return bool(_fact(loss, "quadratic", False))


def is_piecewise_linear(loss):
    """Tell whether a loss says of which linear pieces it consists."""
    return has(loss, "pieces")


def is_of_interval(loss):
    """Tell whether a loss says from which interval it is the square of the distance."""
    return has(loss, "interval")


def curvature_bound(loss):
    """Return the largest curvature there is; infinity where there is none, or none is known."""
    return float(_fact(loss, "curvature_bound", math.inf))


def usual_curvature(loss):
    """Return the largest curvature; 1 where none is known: what first steps are made from."""
    largest = curvature_bound(loss)
    return largest if largest < math.inf else 1.0


def variance_power(loss):
    """Return p of the variance mean^p that a deviance stands for, None for other losses."""
    return _fact(loss, "variance_power", None)


def is_of_residual(loss):
    """Tell whether a loss depends on raw - y_true only."""
    return bool(_fact(loss, "of_residual", False))


def degree_of(loss):
    """Return the degree in which a loss is homogeneous, None if it is not known to be."""
    return _fact(loss, "degree", None)


def is_half_square(loss):
    """Tell whether a loss is (raw - y_true)^2 / 2, which methods of least squares solve."""
    is_square = is_quadratic(loss) and is_of_residual(loss) and degree_of(loss) == 2
    return is_square and curvature_bound(loss) == 1.0


def has_jumps(loss):
    """Tell whether the curvature is either 0 or the largest there is."""
    return bool(_fact(loss, "jumps", False))


def is_cross_entropy(loss):
    """Tell whether a loss of many outputs is the one that solvers are compiled for."""
    return bool(_fact(loss, "cross_entropy", False))


def of_classes(loss):
    """Return the loss of many outputs that stands for this one, None where there is none."""
    return _fact(loss, "of_classes", None)


def raw_of_mean(loss, mean):
    """Return the raw prediction that stands for a mean target or a share of positive ones."""
    if link_of(loss) == LOG:
        return getattr(loss, "level", 0.0) + np.log(np.maximum(mean, 1e-300))
    if link_of(loss) == LOGIT:
        return np.log(mean / (1.0 - mean))
    return mean if kind_of(loss) == REGRESSION else 0.0


def intercept_gradient(loss):
    """Return the constant slope of the objective along the intercept, 0 for most losses."""
    return type(loss).intercept_gradient(loss) if hasattr(type(loss), "intercept_gradient") else 0.0


@implement(intercept_gradient)
def _intercept_gradient(loss):
    if hasattr(loss.instance_class, "intercept_gradient"):
        return loss.instance_class.intercept_gradient
    return lambda loss: 0.0


def negative(loss):
    """Return how a loss on classes writes the negative one; a regression loss takes -1 and 1."""
    return getattr(type(loss), "negative", -1.0)


@implement(negative)
def _negative(loss):
    number = float(getattr(loss.instance_class, "negative", -1.0))
    return lambda loss: number


@optional
def slope(loss, y_true, raw):
    """Return ``gradient`` within +-1e12, as stochastic steps use it."""
    return min(max(gradient(loss, y_true, raw), -STEEPEST), STEEPEST)


@kernel()
def predictions(loss, raw, out):
    """Write the predictions that an array of ``raw`` stands for into ``out``."""
    for i in range(raw.shape[0]):
        out[i] = inverse_link(loss, raw[i])


Loss = NamedTuple  # any spec of the form that the module's docstring describes
