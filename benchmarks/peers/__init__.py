"""Time to suboptimality of fastgd and of the solvers that a user can install, on the same data.

    python -m pip install ".[bench]"
    python benchmarks/peers nycflights_cls breast_cancer      # logistic regression, raw columns
    python benchmarks/peers --task lasso --std nycflights_reg
    python benchmarks/peers --all-offline --plot peers.png --json peers.json --markdown
    python benchmarks/peers --data FOLDER mine                # FOLDER/mine.npz, see data.py

Every solver minimises the same objective, at several of its own tolerances or numbers of passes. A
line gives the wall time of the whole ``fit`` and the relative suboptimality (f - f*) / |f*| of the
model that it returned: f is computed here, in float64 and from the original X, and f* is the lowest
value that any solver reached, in this run or in earlier ones that ``--fstar FILE`` remembers. For
each target the summary shows the fastest peer in hindsight, at its best setting, and fastgd's
time; a ratio above 1 means that fastgd is faster.

Imports and caches are not timed: each solver first fits a small problem that does not count, and
solvers that compile also fit all rows once. There are as many threads as the machine has cores
unless ``--threads`` says otherwise. Every solver is given the same numbers in float32 and in
float64, and the better result counts: some solvers that compute in X's dtype are fast in float32,
others fail to converge there. Solvers that are not installed, and data that a solver does not
accept, are skipped with a line that says so.

The data sets are in ``benchmarks/data.py``, the objectives in ``TASKS``. Penalty strengths:
scikit-learn's default C = 1 or alpha = 1 where the loss is a sum over rows; alpha = 1e-3 for
poisson and gamma; 1e-4 for huber; and for l1, a hundredth of the alpha that leaves no coefficient
if columns are standardised, which leaves some zeros and some not.
"""

from .command import cores, main, options_from
from .contenders import OURS, TASKS, Contender, Problem, Task, greatest_alpha, ridge, solver
from .drawing import draw, frontier
from .objectives import (
    Objective,
    epsilon_insensitive,
    half_gamma_deviance,
    half_poisson_deviance,
    hinge,
    huber_objective,
    log_loss,
    pinball,
    squared_error,
)
from .report import TARGETS, Comparison, comparisons, lonely, markdown, overall
from .timing import Lowest, Result, Row, measure, timed_fit, told_setting, warm_up

__all__ = [
    "OURS",
    "TARGETS",
    "TASKS",
    "Comparison",
    "Contender",
    "Lowest",
    "Objective",
    "Problem",
    "Result",
    "Row",
    "Task",
    "comparisons",
    "cores",
    "draw",
    "epsilon_insensitive",
    "frontier",
    "greatest_alpha",
    "half_gamma_deviance",
    "half_poisson_deviance",
    "hinge",
    "huber_objective",
    "log_loss",
    "lonely",
    "main",
    "markdown",
    "measure",
    "options_from",
    "overall",
    "pinball",
    "ridge",
    "solver",
    "squared_error",
    "timed_fit",
    "told_setting",
    "warm_up",
]
