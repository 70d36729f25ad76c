"""Penalties to hand to ``penalty=``, with strengths of their own (``alpha`` does not scale them).

>>> from fastgd.penalties import Bounded
>>> Bounded(l2=1e-4, low=0.0).low
0.0
"""

from fastgd.kernels.penalties import (
    PENALTIES,
    Bounded,
    ElasticNet,
    GroupLasso,
    MaxNorm,
    Weighted,
)

__all__ = ["PENALTIES", "Bounded", "ElasticNet", "GroupLasso", "MaxNorm", "Weighted"]
