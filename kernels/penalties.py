"""Penalties: what a coefficient costs, and how a step shrinks it.

A penalty is a ``NamedTuple`` of its strengths with scalar static methods:

``value(penalty, param)``
    What one coefficient adds to the objective.
``proximal(penalty, param, change, step)``
    The coefficient after a step of length ``step`` that also moves it by ``change``.
``rest(penalty, param, time)``
    The coefficient after steps that did not move it, in closed form.
``clock(penalty, step)``
    The time of ``rest`` that one step takes: ``rest(penalty, w, clock(penalty, h))`` equals
    ``proximal(penalty, w, 0, h)``, and times add up, which is what makes a sparse step lazy.

The intercept is never penalised: no kernel calls a hook on it.
"""

import math
from typing import NamedTuple

from fastgd.kernels._hook import cast, hook
from fastgd.kernels.elementary import expm1

SMALLEST_SHRINKAGE = 1e-30  # a step >= 1/l2 leaves nothing; the clock still needs a logarithm


@hook
def value(penalty, param):
    """Return what one coefficient adds to the objective."""
    return type(penalty).value(penalty, param)


@hook
def proximal(penalty, param, change, step):
    """Return the coefficient after ``change`` and a penalty step of length ``step``."""
    return type(penalty).proximal(penalty, param, change, step)


@hook
def rest(penalty, param, time):
    """Return the coefficient after ``time`` in which nothing else moved it."""
    return type(penalty).rest(penalty, param, time)


@hook
def clock(penalty, step):
    """Return the time that one step of length ``step`` takes in ``rest``."""
    return type(penalty).clock(penalty, step)


class ElasticNet(NamedTuple):
    """l1 |w| + l2 w^2 / 2; it serves none, l1, l2 and elastic net alike.

    A step of length h is explicit in the quadratic part and proximal in the absolute one:

        w <- soft_threshold(max(0, 1 - h l2) w + change, h l1)

    With l1 = 0 that is scikit-learn's weight decay; with l1 > 0 zeros are exact, and dense and
    sparse data give the same coefficients (scikit-learn's cumulative truncation does not).

    References
    ----------
    .. [1] Duchi & Singer, "Efficient Online and Batch Learning using Forward Backward
       Splitting", 2009, sections 2 and 5.
    """

    l1: float = 0.0
    l2: float = 0.0

    @staticmethod
    def value(penalty, param):
        quadratic = cast(0.5 * penalty.l2, param) * param * param
        return quadratic if penalty.l1 == 0.0 else penalty.l1 * abs(param) + quadratic

    @staticmethod
    def proximal(penalty, param, change, step):
        moved = cast(max(1.0 - step * penalty.l2, 0.0), param) * param + change
        if penalty.l1 == 0.0:
            return moved
        threshold, zero = cast(step * penalty.l1, param), cast(0.0, param)
        # soft threshold without a branch: what lies beyond +-threshold
        return max(moved - threshold, zero) + min(moved + threshold, zero)

    @staticmethod
    def rest(penalty, param, time):
        # each step maps |w| to (1 - h l2) |w| - h l1, so |w| + l1/l2 shrinks geometrically
        if penalty.l2 == 0.0:
            if penalty.l1 == 0.0:
                return param
            shrunk = abs(param) - penalty.l1 * time
        else:
            lost = -expm1(-penalty.l2 * time)
            if penalty.l1 == 0.0:
                return param - cast(lost, param) * param
            shrunk = abs(param) - lost * (abs(param) + penalty.l1 / penalty.l2)
        return cast(math.copysign(max(shrunk, 0.0), param), param)

    @staticmethod
    def clock(penalty, step):
        if penalty.l2 == 0.0:
            return step
        return -math.log(max(1.0 - step * penalty.l2, SMALLEST_SHRINKAGE)) / penalty.l2


PENALTIES = ("l2", "l1", "elasticnet", None)
