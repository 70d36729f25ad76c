"""Penalties: what a coefficient costs, and how a step shrinks it.

A penalty is a ``NamedTuple`` of its strengths with scalar static methods; c is the coefficient's
place in the flat parameters, for penalties that tell coefficients apart:

``value(penalty, param, c)``
    What one coefficient adds to the objective.
``proximal(penalty, param, change, step, c)``
    The coefficient after a step of length ``step`` that also moves it by ``change``.
``skip(penalty, param, time)``
    The coefficient after steps that did not move it, in closed form.
``time_of_step(penalty, step)``
    The time of ``skip`` that one step takes: ``skip(penalty, w, time_of_step(penalty, h))`` equals
    ``proximal(penalty, w, 0, h, c)``, and times add up, which is what makes a sparse step lazy.
``penalty_factor(penalty, c)``
    How much longer than the step the penalty's own step of coefficient c is, in ``time_of_step``.
``longest_step(penalty, c)``
    The longest step that does not go beyond the penalty's own minimum; infinite by default.
``faded_change(penalty, before, after, time, faded)``
    What is left of the change of ``skip`` in an average that forgets meanwhile; as of an even
    change by default.
``ftrl_minimum(penalty, z, sums, c)``
    The minimum that FTRL asks for.
``joint_proximal(penalty, params, lengths, n_outputs)``
    What ties coefficients together, after all have taken their steps (``MaxNorm``,
    ``GroupLasso``); such a penalty is ``joint``, and every step passes over all coefficients.
``joint_value(penalty, params, n_outputs, output)``
    What the tie adds to an output's objective.

Facts, which are not compiled; what a penalty does not say is taken for what claims least:

``joint``
    Whether it ties coefficients together; default False.
``ties``
    Which coefficients a joint penalty ties: those of a ``feature``, or of an ``output``, so that
    each such group may be tied by itself; default all, also for a class made of one that says so.
``alike``
    Whether it treats all coefficients alike, whatever c is; default False, also for a class made of
    one that says so.
``square``
    Whether it is l2 |w|^2 / 2, whatever its fields; default False, also for a class made of one
    that says so.
``is_linear(penalty)``
    Whether its step multiplies each coefficient by a number that does not depend on it.
``project(penalty, coef)``
    Plain numpy: move an array of coefficients, which are where a training starts, to where the
    penalty allows them, in place.
``above(penalty, low)``
    The penalty with all coefficients kept at ``low`` or more, for ``positive=True``.
``spread(penalty, n_features, n_outputs)``
    Plain numpy: the penalty for the flat parameters, from one that knows features.
``simplest(penalty)``
    Plain Python: an equal penalty whose steps take fewer operations, or the penalty itself.
``check(penalty)``
    Raises ValueError where fields, each allowed by itself, do not go together.

The intercept is never penalised: no kernel calls a hook on it.
"""

import math
from typing import NamedTuple

import numpy as np

from fastgd.kernels._hook import cast, hook, optional
from fastgd.kernels._jit import helper
from fastgd.kernels.elementary import exp, expm1, expm1_alike

SMALLEST_SHRINKAGE = 1e-30  # a step >= 1/l2 leaves nothing; what is added up is a logarithm
LARGEST_FALL = 1e9  # as good as infinite, and a number where what falls is zero
TOLERANCE = 1e-15  # of the multiplier that a tie asks for, relative; Newton's steps double digits
MAX_NEWTON = 50
OF_FEATURE, OF_OUTPUT = "feature", "output"


@hook
def value(penalty, param, c):
    """Return what one coefficient adds to the objective."""
    return type(penalty).value(penalty, param, c)


@hook
def proximal(penalty, param, change, step, c):
    """Return the coefficient after ``change`` and a penalty step of length ``step``."""
    return type(penalty).proximal(penalty, param, change, step, c)


@hook
def skip(penalty, param, time):
    """Return the coefficient after ``time`` in which nothing else moved it."""
    return type(penalty).skip(penalty, param, time)


@hook
def time_of_step(penalty, step):
    """Return the time that one step of length ``step`` takes in ``skip``."""
    return type(penalty).time_of_step(penalty, step)


@optional
def penalty_factor(penalty, c):
    """Return the factor of the penalty's step for coefficient c."""
    return 1.0


@optional
def longest_step(penalty, c):
    """Return the length of a step after which nothing is left of coefficient c, 1 / l2."""
    return math.inf


@optional
def faded_change(penalty, before, after, time, faded):
    """Return what is left of the change of ``skip`` if it fades all along, by e^-faded in all."""
    return even_change(before, after, faded)


@helper()
def even_change(before, after, faded):
    """Return what is left of a change that came evenly: the integral of  change e^-faded(1 - u)."""
    return (after - before) * (-expm1(-faded) / faded if faded > 0 else 1.0)


@helper()
def geometric_change(before, after, fall, faded):
    """Return what is left of a change from ``before`` to ``after``, which is e^-fall of it.

    The integral of  -before fall e^-(fall u) e^-faded(1 - u)  for u from 0 to 1. Where nothing is
    left at once, that is -before e^-faded.
    """
    fall, lost = min(fall, LARGEST_FALL), -expm1(-faded)
    apart = fall - faded
    if abs(apart) > 1e-6:
        return fall * ((after - before) + lost * before) / apart
    return -fall * before * (1.0 - lost) * (1.0 - 0.5 * apart)


@hook
def ftrl_minimum(penalty, z, sums, c):
    """Return argmin  z w + curvature w^2 / 2 + l1 |w| + time psi(w)  of (curvature, l1, time)."""
    return type(penalty).ftrl_minimum(penalty, z, sums, c)


@hook
def joint_proximal(penalty, params, lengths, n_outputs):
    """Tie the coefficients together, each after a step of its own length."""
    return type(penalty).joint_proximal(penalty, params, lengths, n_outputs)


@optional
def joint_value(penalty, params, n_outputs, output):
    """Return what the tie adds to an output's objective."""
    return 0.0


def is_linear(penalty):
    """Tell whether a step multiplies all coefficients by one number."""
    same = not hasattr(type(penalty), "penalty_factor") and hasattr(type(penalty), "is_linear")
    return same and bool(type(penalty).is_linear(penalty))


def is_zero(penalty):
    """Tell whether there is no strength in a penalty but its bounds."""
    return getattr(penalty, "l1", 1.0) == 0 and getattr(penalty, "l2", 1.0) == 0


def is_alike(penalty):
    """Tell whether all coefficients are treated alike; what a class inherits does not say so."""
    return bool(vars(type(penalty)).get("alike", False))


def is_square(penalty):
    """Tell whether a penalty is a multiple of |w|^2; what a class inherits does not say so."""
    return bool(vars(type(penalty)).get("square", False))


def ties(penalty):
    """Return which coefficients are tied, OF_FEATURE or OF_OUTPUT; None for all."""
    return vars(type(penalty)).get("ties")


def has_series(penalty):
    """Tell whether time goes as in ``ElasticNet``, which has a series in the steps' lengths."""
    return getattr(type(penalty), "time_of_step", None) is ElasticNet.time_of_step


@helper()
def at(j, n_outputs, output):
    """Return where the coefficient of column j and an output stands in the flat array."""
    return np.uint64(j) * np.uint64(n_outputs) + np.uint64(output)


class ElasticNet(NamedTuple):
    """l1 |w| + l2 w^2 / 2; it serves none, l1, l2 and elastic net alike.

    A step of length h is explicit in the quadratic part and proximal in the absolute one:

        w <- soft_threshold(max(0, 1 - h l2) w + change, h l1)

    With l1 = 0 that is scikit-learn's weight decay; with l1 > 0 zeros are exact, and dense and
    sparse data give the same coefficients (scikit-learn's cumulative truncation does not).

    Parameters
    ----------
    l1 : float, default=0.0
        Strength of the absolute penalty, >= 0.
    l2 : float, default=0.0
        Strength of the quadratic penalty, >= 0.

    References
    ----------
    .. [1] Duchi & Singer, "Efficient Online and Batch Learning using Forward Backward
       Splitting", 2009, sections 2 and 5.
    """

    l1: float = 0.0
    l2: float = 0.0

    joint = False
    alike = True

    @staticmethod
    def above(penalty, low):
        return Bounded(penalty.l1, penalty.l2, low)

    @staticmethod
    def simplest(penalty):
        # a class that is made of this one may have another step
        is_itself = type(penalty) is ElasticNet
        return Quadratic(penalty.l2) if is_itself and penalty.l1 == 0 else penalty

    @staticmethod
    def is_linear(penalty):
        return penalty.l1 == 0

    @staticmethod
    def value(penalty, param, c):
        quadratic = cast(0.5 * penalty.l2, param) * param * param
        return quadratic if penalty.l1 == 0.0 else penalty.l1 * abs(param) + quadratic

    @staticmethod
    def proximal(penalty, param, change, step, c):
        moved = cast(max(1.0 - step * penalty.l2, 0.0), param) * param + change
        if penalty.l1 == 0.0:
            return moved
        threshold, zero = cast(step * penalty.l1, param), cast(0.0, param)
        # soft threshold without a branch: what lies beyond +-threshold
        return max(moved - threshold, zero) + min(moved + threshold, zero)

    @staticmethod
    def skip(penalty, param, time):
        # each step maps |w| to (1 - h l2) |w| - h l1, so |w| + l1/l2 shrinks geometrically
        if penalty.l2 == 0.0:
            if penalty.l1 == 0.0:
                return param
            shrunk = abs(param) - penalty.l1 * time
        else:
            lost = -expm1_alike(-penalty.l2 * time)
            if penalty.l1 == 0.0:
                return param - cast(lost, param) * param
            shrunk = abs(param) - lost * (abs(param) + penalty.l1 / penalty.l2)
        return cast(math.copysign(max(shrunk, cast(0.0, shrunk)), param), param)

    @staticmethod
    def time_of_step(penalty, step):
        if penalty.l2 == 0.0:
            return step
        return -math.log(max(1.0 - step * penalty.l2, SMALLEST_SHRINKAGE)) / penalty.l2

    @staticmethod
    def longest_step(penalty, c):
        return 1.0 / penalty.l2 if penalty.l2 > 0 else math.inf

    @staticmethod
    def faded_change(penalty, before, after, time, faded):
        if penalty.l1 == 0.0:
            return geometric_change(before, after, penalty.l2 * time, faded)
        # |w| + l1/l2 shrinks geometrically, or |w| evenly, until it is zero, where it stays
        size, moved, share = abs(before), time, 1.0
        if after == 0:
            ratio = size / penalty.l1
            moved = math.log1p(penalty.l2 * ratio) / penalty.l2 if penalty.l2 > 0 else ratio
            share = moved / time if time > moved else 1.0
        meanwhile = share * faded
        if penalty.l2 == 0.0:
            left = even_change(size, abs(after), meanwhile)
        else:
            more = penalty.l1 / penalty.l2
            fall = penalty.l2 * moved
            left = geometric_change(size + more, abs(after) + more, fall, meanwhile)
        return math.copysign(exp(meanwhile - faded), before) * left

    @staticmethod
    def ftrl_minimum(penalty, z, sums, c):
        curvature, l1, time = sums
        threshold, zero = cast(l1 + time * penalty.l1, z), cast(0.0, z)
        beyond = max(z - threshold, zero) + min(z + threshold, zero)
        return -beyond / cast(curvature + time * penalty.l2, z)


class Quadratic(NamedTuple):
    """l2 w^2 / 2: the ``ElasticNet`` with l1 = 0, to the last digit.

    Kernels are handed it in the other's place. Where l1 is a number that may be zero, each step of
    a coefficient selects between two results: three times the operations, up to half of the time
    of a step of one dense row.
    """

    l2: float = 0.0

    l1 = 0.0
    joint = False
    alike = True
    square = True
    time_of_step = ElasticNet.time_of_step
    longest_step = ElasticNet.longest_step

    @staticmethod
    def above(penalty, low):
        return Bounded(0.0, penalty.l2, low)

    @staticmethod
    def is_linear(penalty):
        return True

    @staticmethod
    def value(penalty, param, c):
        return cast(0.5 * penalty.l2, param) * param * param

    @staticmethod
    def proximal(penalty, param, change, step, c):
        return cast(max(1.0 - step * penalty.l2, 0.0), param) * param + change

    @staticmethod
    def skip(penalty, param, time):
        return param + cast(expm1_alike(-penalty.l2 * time), param) * param

    @staticmethod
    def faded_change(penalty, before, after, time, faded):
        return geometric_change(before, after, penalty.l2 * time, faded)

    @staticmethod
    def ftrl_minimum(penalty, z, sums, c):
        curvature, l1, time = sums
        threshold, zero = cast(l1, z), cast(0.0, z)
        beyond = max(z - threshold, zero) + min(z + threshold, zero)
        return -beyond / cast(curvature + time * penalty.l2, z)


class Unpenalised(ElasticNet):
    """The ``ElasticNet`` of two zeros, to the last digit: networks' weights, whose l2 is elsewhere.

    What the other finds out for each coefficient, in float64, is more than half of a step of Adam.
    """

    __slots__ = ()

    @staticmethod
    def proximal(penalty, param, change, step, c):
        return param + change


class Bounded(NamedTuple):
    """l1 |w| + l2 w^2 / 2  for  low <= w <= high: ``Bounded(low=0.0)`` keeps w nonnegative.

    A step is that of ``ElasticNet``, clipped. Coefficients start within the bounds, at the point
    nearest to where they would; the intercept is free.

    Parameters
    ----------
    l1 : float, default=0.0
        Strength of the absolute penalty, >= 0.
    l2 : float, default=0.0
        Strength of the quadratic penalty, >= 0.
    low : float, default=-inf
        The least that a coefficient may be.
    high : float, default=inf
        The most that a coefficient may be.

    Notes
    -----
    Skipped steps, too, are those of the elastic net, clipped: their path is monotone.
    """

    l1: float = 0.0
    l2: float = 0.0
    low: float = -math.inf
    high: float = math.inf

    joint = False
    alike = True
    value = ElasticNet.value
    time_of_step = ElasticNet.time_of_step
    longest_step = ElasticNet.longest_step

    @staticmethod
    def check(penalty):
        if not penalty.low <= penalty.high:
            raise ValueError(
                f"low of the penalty 'Bounded' must be <= high, which is {penalty.high!r}, got "
                f"{penalty.low!r}."
            )

    @staticmethod
    def project(penalty, coef):
        np.clip(coef, penalty.low, penalty.high, out=coef)

    @staticmethod
    def proximal(penalty, param, change, step, c):
        moved = proximal(ElasticNet(penalty.l1, penalty.l2), param, change, step, c)
        return min(max(moved, cast(penalty.low, param)), cast(penalty.high, param))

    @staticmethod
    def skip(penalty, param, time):
        after = skip(ElasticNet(penalty.l1, penalty.l2), param, time)
        return min(max(after, cast(penalty.low, param)), cast(penalty.high, param))

    @staticmethod
    def faded_change(penalty, before, after, time, faded):
        if penalty.low <= 0 <= penalty.high:  # on its way to zero it meets no bound
            free = ElasticNet(penalty.l1, penalty.l2)
            return faded_change(free, before, after, time, faded)
        return even_change(before, after, faded)

    @staticmethod
    def ftrl_minimum(penalty, z, sums, c):
        free = ftrl_minimum(ElasticNet(penalty.l1, penalty.l2), z, sums, c)
        return min(max(free, cast(penalty.low, z)), cast(penalty.high, z))


class Weighted(NamedTuple):
    """sum_j factors_j (l1 |w_j| + l2 w_j^2 / 2): a strength for each feature.

    A factor of zero leaves a feature free. Every output takes the same factors.

    Parameters
    ----------
    l1 : float
        Strength of the absolute penalty, >= 0.
    l2 : float
        Strength of the quadratic penalty, >= 0.
    factors : ndarray of shape (n_features,)
        What the strengths are multiplied by, >= 0.

    References
    ----------
    .. [1] Zou, "The Adaptive Lasso and Its Oracle Properties", 2006, equation 4 (weights of the
       l1 penalty).
    """

    l1: float
    l2: float
    factors: np.ndarray

    joint = False
    skip = ElasticNet.skip
    time_of_step = ElasticNet.time_of_step
    faded_change = ElasticNet.faded_change

    @staticmethod
    def longest_step(penalty, c):
        l2 = penalty.l2 * penalty.factors[c]
        return 1.0 / l2 if l2 > 0 else math.inf

    @staticmethod
    def spread(penalty, n_features, n_outputs):
        factors = np.asarray(penalty.factors)
        if factors.shape != (n_features,):
            raise ValueError(
                f"factors of Weighted has shape {factors.shape}, but X has {n_features} features."
            )
        return penalty._replace(factors=np.repeat(factors, n_outputs))

    @staticmethod
    def penalty_factor(penalty, c):
        return np.float64(penalty.factors[c])

    @staticmethod
    def value(penalty, param, c):
        return penalty.factors[c] * value(ElasticNet(penalty.l1, penalty.l2), param, c)

    @staticmethod
    def proximal(penalty, param, change, step, c):
        return proximal(
            ElasticNet(penalty.l1, penalty.l2), param, change, step * penalty.factors[c], c
        )

    @staticmethod
    def ftrl_minimum(penalty, z, sums, c):
        curvature, l1, time = sums
        own = (curvature, l1, time * cast(penalty.factors[c], time))
        return ftrl_minimum(ElasticNet(penalty.l1, penalty.l2), z, own, c)


class MaxNorm(NamedTuple):
    """l1 |w| + l2 w^2 / 2  for  |w_k|_2 <= limit, the norm of each output's coefficients.

    The step of ``ElasticNet``, then the projection in the metric of the step,

        argmin_w  sum_j (w_j - u_j)^2 / (2 h_j)   for  |w|_2 <= limit,

    whose solution is w_j = u_j / (1 + h_j mu). For steps h of one length that is u scaled to the
    limit; for those of Adam and its like it is what makes the resting point the minimum.

    Parameters
    ----------
    limit : float
        The longest that an output's coefficients may be, > 0.
    l1 : float, default=0.0
        Strength of the absolute penalty, >= 0.
    l2 : float, default=0.0
        Strength of the quadratic penalty, >= 0.

    References
    ----------
    .. [1] Srebro, Rennie & Jaakkola, "Maximum-Margin Matrix Factorization", 2005 (the norm).
    .. [2] Srivastava et al., "Dropout", 2014, section 5.1 (the projection, after every step).
    """

    limit: float
    l1: float = 0.0
    l2: float = 0.0

    joint, ties = True, OF_OUTPUT
    value = ElasticNet.value
    proximal = ElasticNet.proximal

    @staticmethod
    def joint_proximal(penalty, params, lengths, n_outputs):
        n_features = params.shape[0] // n_outputs - 1
        for output in range(n_outputs):
            first = at(0, n_outputs, output)
            mu = _multiplier(params, lengths, (first, n_outputs, n_features), penalty.limit)
            if mu > 0:
                for j in range(n_features):
                    c = at(j, n_outputs, output)
                    params[c] /= 1.0 + mu * lengths[c]


class GroupLasso(NamedTuple):
    """group sum_j |W_j|_2 + l2 |W|^2 / 2: W_j holds a feature's coefficients for all outputs.

    Features leave the model for all outputs at once, with exact zeros. A step is explicit in the
    quadratic part and proximal in the group's, in the metric of the step:

        argmin_w  sum_k (w_k - u_k)^2 / (2 h_k) + group |w|_2

    For steps h of one length that is max(0, 1 - h group / |u|) u; for those of Adam and its like
    w_k = u_k / (1 + h_k group / |w|). With one output it is the l1 penalty.

    Parameters
    ----------
    group : float
        Strength of the groups' norms, >= 0.
    l2 : float, default=0.0
        Strength of the quadratic penalty, >= 0.

    References
    ----------
    .. [1] Yuan & Lin, "Model Selection and Estimation in Regression with Grouped Variables",
       2006, equation 2.3.
    .. [2] Duchi & Singer, "Efficient Online and Batch Learning using Forward Backward
       Splitting", 2009, section 5.3 (mixed norms).
    """

    group: float
    l2: float = 0.0

    joint, ties = True, OF_FEATURE
    value = Quadratic.value
    proximal = Quadratic.proximal

    @staticmethod
    def joint_proximal(penalty, params, lengths, n_outputs):
        for j in range(params.shape[0] // n_outputs - 1):
            first = at(j, n_outputs, 0)
            norm = _norm_after(params, lengths, (first, n_outputs), penalty.group)
            for output in range(n_outputs):
                c = first + np.uint64(output)
                if norm > 0:
                    params[c] *= norm / (norm + penalty.group * lengths[c])
                else:
                    params[c] = 0

    @staticmethod
    def joint_value(penalty, params, n_outputs, output):
        # an output's share of |W_j| is w_jk^2 / |W_j|, so that shares add up
        total = 0.0
        for j in range(params.shape[0] // n_outputs - 1):
            square = 0.0
            for k in range(n_outputs):
                square += np.float64(params[at(j, n_outputs, k)]) ** 2
            if square > 0:
                total += np.float64(params[at(j, n_outputs, output)]) ** 2 / math.sqrt(square)
        return penalty.group * total


@helper()
def _multiplier(params, lengths, output, limit):
    """Return mu >= 0 with |u / (1 + h mu)|_2 = limit; 0 where the norm is within the limit.

    Newton's method on 1 / |w(mu)| - 1 / limit, which is concave in mu and nearly straight (and
    straight where all h are equal): from mu = 0 it rises to the root.
    """
    first, stride, n = output
    mu = 0.0
    for _ in range(MAX_NEWTON):
        square, slope = 0.0, 0.0
        for j in range(n):
            c = first + np.uint64(j) * np.uint64(stride)
            shrinkage = 1.0 / (1.0 + mu * lengths[c])
            w = params[c] * shrinkage
            square += w * w
            slope += w * w * lengths[c] * shrinkage
        norm = math.sqrt(square)
        if norm <= limit * (1.0 + TOLERANCE) or slope == 0.0:
            break
        # d(1 / |w|) / d mu = slope / |w|^3
        more = (norm - limit) / limit * square / slope
        mu += more
        if more <= TOLERANCE * mu:
            break
    return mu


@helper()
def _norm_after(params, lengths, group, strength):
    """Return |w|_2 of the group's proximal step, 0 where it has no part left.

    The root of |u / (norm + h strength)|_2 = 1: Newton's method on 1 / |.|, from below.
    """
    first, n = group
    left = 0.0
    for k in range(n):
        c = first + np.uint64(k)
        if lengths[c] > 0:
            left += (np.float64(params[c]) / lengths[c]) ** 2
        elif params[c] != 0:
            left = math.inf
    if left <= strength * strength:
        return 0.0
    norm = 0.0
    for _ in range(MAX_NEWTON):
        square, slope = 0.0, 0.0
        for k in range(n):
            c = first + np.uint64(k)
            below = max(norm + strength * lengths[c], SMALLEST_SHRINKAGE)
            ratio = params[c] / below
            square += ratio * ratio
            slope += ratio * ratio / below
        # d(1 / |r|) / d norm = slope / |r|^3, and the root has |r| = 1
        more = (math.sqrt(square) - 1.0) * square / slope
        norm += more
        if more <= TOLERANCE * norm:
            break
    return norm


PENALTIES = ("l2", "l1", "elasticnet", None)
