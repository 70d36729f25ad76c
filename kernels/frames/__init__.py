"""Frames: how the coefficients are kept while steps are taken.

A frame answers, for a solver that knows only rows and coefficients: which coefficients does this
batch need, are they up to date, and what does a step do to one of them.

``Plain``   every step passes over all coefficients (dense rows, or a rule that demands it).
``Tied``    as that, and then over all once more, for a penalty that ties them together.
``Scaled``  coefficients share a factor, which the quadratic penalty shrinks for all of them at
            once; a step touches the columns of its batch and owes nothing to the others. For plain
            sgd without an absolute penalty (Bottou's trick).
``Lazy``    a step touches the columns of its batch; what penalty and momentum would have done to
            the others is made up for when they are next read, and for all at the end of a span.
            ``Stepped`` and ``OwnLengths`` are its forms for momentum under a kink, and for steps of
            each coefficient's own length.

A frame that ``scatters`` takes a batch's step row by row, straight from the rows to the
coefficients: plain sgd is a sum over rows, and needs no gradient to be gathered first. With
``Scaled`` and ``Lazy`` a step on sparse rows costs O(non-zeros), whatever the number of features.
Parameters come flat: those of a column stand together, one for each output, and the intercepts
are last; "coefficient c" counts in that array. The intercepts are always plain.

References
----------
.. [1] Bottou, "Stochastic Gradient Descent Tricks", 2012, section 5.1.
.. [2] Xu, "Towards Optimal One Pass Large Scale Learning with Averaged Stochastic Gradient
   Descent", 2011, section 4.1 (the average of scaled coefficients). arXiv:1107.2490
"""

from fastgd.kernels.frames._dense import (
    Plain,
    Tied,
)
from fastgd.kernels.frames._lazy import (
    FORGOTTEN,
    Lazy,
    OwnLengths,
    Stepped,
)
from fastgd.kernels.frames._protocol import (
    Batch,
    add_to_average,
    begin_step,
    column,
    cost_after,
    cost_of_all,
    descend,
    factor,
    finish,
    made_up,
    make_up,
    n_outputs_of,
    ready_batch,
    ready_row,
    tie,
)
from fastgd.kernels.frames._scaled import (
    SMALLEST_FACTOR,
    Averaged,
    Gathered,
    GatheredAveraged,
    Scaled,
)
from fastgd.kernels.frames._touched import (
    Listed,
    list_columns,
)
from fastgd.kernels.penalties import at

__all__ = [
    "FORGOTTEN",
    "SMALLEST_FACTOR",
    "Averaged",
    "Batch",
    "Gathered",
    "GatheredAveraged",
    "Lazy",
    "Listed",
    "OwnLengths",
    "Plain",
    "Scaled",
    "Stepped",
    "Tied",
    "add_to_average",
    "at",
    "begin_step",
    "column",
    "cost_after",
    "cost_of_all",
    "descend",
    "factor",
    "finish",
    "list_columns",
    "made_up",
    "make_up",
    "n_outputs_of",
    "ready_batch",
    "ready_row",
    "tie",
]
