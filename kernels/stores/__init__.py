"""Stores: how the coefficients are kept while steps are taken.

A store answers, for a solver that knows only rows and coefficients: which coefficients does this
batch need, are they up to date, and what does a step do to one of them.

``Plain``   every step passes over all coefficients (dense rows, or a rule that demands it).
``Coupled``    as that, and then over all once more, for a penalty that ties them together.
``Scaled``  coefficients share a factor, which the quadratic penalty shrinks for all of them at
            once; a step touches the columns of its batch and owes nothing to the others. For plain
            sgd without an absolute penalty (Bottou's trick); ``Averaged`` where an average of
            the iterates is asked for.
``Lazy``    a step touches the columns of its batch; what penalty and momentum would have done to
            the others is made up for when they are next read, and for all at the end of a span:
            by a ``ClosedForm``, for steps of each coefficient's ``OwnLengths`` (``InBlocks``
            where no state changes), or ``OneByOne``, for momentum under a kink.

A store's ``columns`` say which coefficients a batch's step is taken of: ``AllColumns``, those that
are ``Touched``, or the entries row by row, ``Scattered``: plain sgd is a sum over rows, and needs
no gradient to be gathered first. With ``Scaled`` and ``Lazy`` a step on sparse rows costs
O(non-zeros), whatever the number of features. Parameters come flat: those of a column stand
together, one for each output, and the intercepts are last; "coefficient c" counts in that array.
The intercepts are always plain.

References
----------
.. [1] Bottou, "Stochastic Gradient Descent Tricks", 2012, section 5.1.
.. [2] Xu, "Towards Optimal One Pass Large Scale Learning with Averaged Stochastic Gradient
   Descent", 2011, section 4.1 (the average of scaled coefficients). arXiv:1107.2490
"""

from fastgd.kernels.penalties import at
from fastgd.kernels.stores._dense import (
    Coupled,
    Plain,
)
from fastgd.kernels.stores._in_blocks import (
    IN_BLOCK,
    LANES,
    N_LINES,
    InBlocks,
)
from fastgd.kernels.stores._lazy import (
    COLUMNS_AHEAD,
    FORGOTTEN,
    ClosedForm,
    Lazy,
    OneByOne,
    OwnLengths,
    speed_of,
    time_of_steps,
)
from fastgd.kernels.stores._outputs import (
    count,
    evaluate_batch,
    slope_of,
    target_of,
)
from fastgd.kernels.stores._protocol import (
    Batch,
    add_to_average,
    begin_step,
    cost_after,
    cost_of_all,
    couple,
    descend,
    factor,
    fetch_columns,
    finish,
    made_up,
    ready_batch,
    ready_row,
)
from fastgd.kernels.stores._scaled import (
    SMALLEST_FACTOR,
    Averaged,
    Scaled,
)
from fastgd.kernels.stores._touched import (
    AllColumns,
    Scattered,
    Touched,
    column,
    gather,
    list_columns,
    step_of_batch,
)

__all__ = [
    "COLUMNS_AHEAD",
    "FORGOTTEN",
    "IN_BLOCK",
    "LANES",
    "N_LINES",
    "SMALLEST_FACTOR",
    "AllColumns",
    "Averaged",
    "Batch",
    "ClosedForm",
    "Coupled",
    "InBlocks",
    "Lazy",
    "OneByOne",
    "OwnLengths",
    "Plain",
    "Scaled",
    "Scattered",
    "Touched",
    "add_to_average",
    "at",
    "begin_step",
    "column",
    "cost_after",
    "cost_of_all",
    "count",
    "couple",
    "descend",
    "evaluate_batch",
    "factor",
    "fetch_columns",
    "finish",
    "gather",
    "list_columns",
    "made_up",
    "ready_batch",
    "ready_row",
    "slope_of",
    "speed_of",
    "step_of_batch",
    "target_of",
    "time_of_steps",
]
