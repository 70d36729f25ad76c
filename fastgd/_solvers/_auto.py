"""The choice of a solver, by a rule with measurements behind it (docs/architecture.md).

What decides is P, the number of parameters, and q = |x_i|^2 / (l2 n), how much one row can move
its own prediction: SDCA's passes grow with its mean, and cost no more than the non-zeros.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from fastgd._solvers import _gd, _piecewise, _saga, _sdca
from fastgd._solvers._certificates import ALLOWANCE
from fastgd._solvers._costs import (
    FINISHED_IN_FLOAT64,
    LARGEST_MATRIX,
    is_scattered,
    largest_matrix,
)
from fastgd._solvers._direct import directly
from fastgd._solvers._direct_rows import in_rows
from fastgd._solvers._exact import exact
from fastgd._solvers._gd import gd
from fastgd._solvers._interior_small import interior_small
from fastgd._solvers._interior_squares import by_interior, has_squares
from fastgd._solvers._intervals import by_intervals, has_intervals
from fastgd._solvers._least_norm import is_hardly_penalised, least_norm
from fastgd._solvers._newton import newton
from fastgd._solvers._newton_rows import newton_in_rows
from fastgd._solvers._piecewise import piecewise_linear
from fastgd._solvers._problem import is_deviance, is_exact
from fastgd._solvers._requirements import Requires, check, lacking
from fastgd._solvers._saga import saga
from fastgd._solvers._sdca import mean_q, median_q, sdca
from fastgd._solvers._stored import as_stored, roundings_of
from fastgd._solvers._task import Options, Solution, State, Task
from fastgd._solvers._units import Units, in_units, units_of, within
from fastgd._solvers._wide import in_basis, is_reducible
from fastgd._solvers._working import by_working_sets, wants_working_sets
from fastgd.kernels import losses
from fastgd.kernels.rows import Dense

# Beyond it SDCA needs more time than descent: on one-hot tables with q = 8 its 11 to 44 passes took
# three times as long as 5 to 8 of L-BFGS, on texts with q = 1 its 4 to 9 took half of 4 to 35. With
# no fewer columns than rows, L-BFGS needed 40 to 113 at q of 5 to 10 on texts, SDCA 6 to 13 of a
# fifth of the time, and about as long on one-hot tables. A non-smooth loss is harder to descend.
# Rows of unit length have q = C, up to rounding, so that C = 10 is no border. Sparse rows of texts
# or one-hot numbers that columns outnumber are nearly independent: at q from 20 to 10,000 SDCA took
# 6 to 60 passes of most, descent 60 to 230 dearer ones; where it took more, it hands on in time.
LARGEST_Q, LARGEST_Q_OF_WIDE, LARGEST_Q_OF_PIECES = 4.0, 10.5, 10.0
LARGEST_Q_OF_SCATTERED = 10_500.0
# Of half of the rows, where a piecewise linear loss has too many rows and columns for a matrix:
# 20,000 x 3,100 of q = 200 took 860 passes to 5e-5, smooth approximations ended 1.5e-3 away after
# 1,000. With five rows 1e5 times as large, which SDCA does not mind, these ended at twice the
# optimum. At q = 1,200 and more they were the better ones, unless all rows can be right.
LARGEST_Q_WITHOUT_MATRIX = 1_000.0
ROUNDINGS = 2.0  # times what numbers of the coefficients' dtype may differ by
NEARLY_EXACT = 1e-9  # of the targets: less is taken for rounding, where it may be that
# Then descent goes on from there. Of sparse rows that columns outnumber, SDCA is the better one for
# longer where a pass of descent is dear (softmax) or it needs many (hinges, also squared ones).
SDCA_PASSES, MORE_SDCA_PASSES = 100, 600
PASSES_TO_SQUARES = 50  # of descent, where another method goes on; most take a fifth of that
PASSES_OF_ONE = 200  # of each of the other methods that take longer
MORE_PASSES_TO_SQUARES = 250  # where steps of that other method take longer
NEARLY_ZERO = 1e-5  # in units in which targets are about 1
SHARE_OF_LAST = 10  # of the passes that a small task has, or one without a matrix, for descent


def descend(task: Task, options: Options, start: Any = None) -> Solution:
    """Solve a task by full-batch descent, a piecewise linear loss by its own methods.

    Where columns outnumber rows, in a basis of the rows, which a device does without; where an l1
    penalty leaves few of many columns, on these.
    """
    if losses.is_piecewise_linear(task.loss):
        return piecewise_linear(task, options, start)
    if not has_squares(task):
        return _by_columns(task, options, start)
    is_small = task.y.shape[0] * task.n_features <= FINISHED_IN_FLOAT64
    most = min(options.max_iter, PASSES_TO_SQUARES if is_small else MORE_PASSES_TO_SQUARES)
    found = _by_columns(task, options._replace(max_iter=most), start)
    again = partial(_begun_again, task, start)  # not from where the other method got stuck
    others = [partial(by_interior, task)]
    if has_intervals(task):
        others.insert(0 if is_small else 1, partial(by_intervals, task))
    for method in (*others, again):
        has_ended = _judged(found, options).converged and found.n_iter < most
        if has_ended or found.n_iter >= options.max_iter or options.observer.stops:
            break
        most = options.max_iter
        if not (is_small or method is again):  # where steps creep, another one has its turn
            most = min(most, found.n_iter + PASSES_OF_ONE)
        found = _gone_on(found, method, options._replace(max_iter=most))
    return _judged(found, options)


def _begun_again(task: Task, start: Any, options: Options, _: State) -> Solution:
    return _by_columns(task, options, start)


def _by_columns(task: Task, options: Options, start: Any) -> Solution:
    """Descend on the columns that an l1 penalty leaves, else in a basis of rows that are fewer."""
    if wants_working_sets(task):
        return by_working_sets(task, options, start)
    if task.device is None and is_reducible(task):
        return in_basis(gd, task, options, start)
    return gd(task, options, start)


def _judged(found: Solution, options: Options, unit: float = 1.0) -> Solution:
    """Return a solution that has converged, near an objective of 0, only if its gap says so.

    There distances from an interval may be below the rounding of predictions, other rows matter
    than those that seem to, and Newton's decrement says little.
    """
    if found.objective > NEARLY_ZERO * unit:
        return found
    is_proven = found.gap <= max(options.tol * abs(found.objective), ALLOWANCE * ALLOWANCE)
    return found._replace(converged=is_proven, suboptimality=found.gap)


SOLVERS = {"gd": descend, "saga": saga, "sdca": sdca}


def requirements(task: Task, solver: str) -> Requires:
    """Return what a solver requires of a task; "gd" has another method for linear pieces."""
    if solver == "gd" and losses.is_piecewise_linear(task.loss):
        return _piecewise.REQUIRES
    return {"gd": _gd.REQUIRES, "saga": _saga.REQUIRES, "sdca": _sdca.REQUIRES}[solver]


def can(task: Task, solver: str) -> bool:
    """Tell whether a solver can solve a task."""
    return not lacking(task, requirements(task, solver))


def solve(task: Task, options: Options, solver: str = "auto", start: Any = None) -> Solution:
    """Solve a task.

    Parameters
    ----------
    task : Task
    options : Options
    solver : {"auto", "gd", "saga", "sdca"}
    start : the ``state`` of another solution, or None

    Raises
    ------
    ValueError
        If a solver was asked for that cannot solve this task: the message says why.
    """
    known = None if is_deviance(task.loss) else _of_few_columns(solver, task, options, start)
    units = Units(task) if known is not None else units_of(task)
    found: Solution = known or within(units, partial(_solve, solver), options, start)
    stored = _with_status(task, found, as_stored(task, found, units), options.tol)
    return found._replace(in_float64=True) if found.converged and not stored.converged else stored


def _with_status(task: Task, exact: Solution, stored: Solution, tol: float) -> Solution:
    """Return the solution as stored, and whether it is within ``tol`` there.

    What rounding has added to one that had converged counts. Only residuals that rounding cannot
    tell from zero need not be smaller, where next to nothing of the targets is left.
    """
    asked = tol * abs(stored.objective)
    has_converged = stored.converged and (
        stored.suboptimality <= exact.suboptimality or stored.suboptimality <= asked
    )
    if not has_converged and losses.kind_of(task.loss) == losses.REGRESSION:
        least = roundings_of(task, stored.coef, stored.intercept)
        rounding = ROUNDINGS * max(least.parameters, least.predictions)
        has_converged = 0.0 <= stored.objective <= min(rounding, NEARLY_EXACT * least.size)
    if has_converged == stored.converged:
        return stored
    return stored._replace(converged=bool(has_converged))


def _of_few_columns(solver: str, task: Task, options: Options, start: Any) -> Solution | None:
    """Solve a small, well-conditioned task by matrices at once; None for any other."""
    if solver not in ("auto", "gd") or task.device is not None:
        return None
    start = _start_for("gd", task, start)
    if losses.is_piecewise_linear(task.loss):
        return interior_small(task, options, start)
    at_once = directly(task, options) or in_rows(task, options)
    return at_once or newton_in_rows(task, options, start) or _by_newton(task, options, start)


def _by_newton(task: Task, options: Options, start: Any) -> Solution | None:
    """Take Newton's steps, and descend from there if the decrement alone says that they have ended.

    See ``_judged``; targets are in the units that they are given in.
    """
    found = newton(task, options, start)
    if found is None or not has_intervals(task) or options.observer.stops:
        return found
    unit = max(1.0, float(np.mean(np.square(task.y, dtype=np.float64))))
    found = _judged(found, options, unit)
    if found.converged or found.n_iter >= options.max_iter:
        return found
    following = partial(in_units, partial(_solve, "gd"), task)
    return _gone_on(found, following, options)


def _solve(solver: str, task: Task, options: Options, start: Any) -> Solution:
    """Solve a task in the units that it is given in; squared errors to the last digits.

    Of many optima, those of dependent columns without a penalty, the shortest is taken.
    """
    if is_deviance(task.loss):  # whose units are what makes it well-conditioned
        found = _of_few_columns(solver, task, options, start)
        if found is not None:
            return found
    found = _solved(solver, task, options, start)
    if options.observer.stops:
        return found
    if losses.is_half_square(task.loss):  # another parabola has a scale
        return _finished(task, found)
    if losses.is_piecewise_linear(task.loss) or not _has_many_optima(task):
        return found
    return least_norm(task, found)


def _has_many_optima(task: Task) -> bool:
    """Tell whether what changes no prediction may be added to the best coefficients, or as good."""
    if task.positive or task.l1 > 0.0 or losses.kind_of(task.loss) == losses.MULTINOMIAL:
        return False
    return is_hardly_penalised(task)


def _finished(task: Task, found: Solution) -> Solution:
    """Return a least squares solution with its last digits; of many, the shortest."""
    if task.y.shape[0] * task.n_features <= FINISHED_IN_FLOAT64:
        return exact(task, found)
    return least_norm(task, found) if _has_many_optima(task) else found


def _solved(solver: str, task: Task, options: Options, start: Any) -> Solution:
    """Ask the solver."""
    chosen = choose(task) if solver == "auto" else solver
    check(task, chosen, requirements(task, chosen))
    start = _start_for(chosen, task, start)
    most = options.max_iter
    if solver == "auto":
        most = _budget(task, most) if chosen == "sdca" else most
    elif chosen != "gd" and task.y.shape[0] * task.n_features <= FINISHED_IN_FLOAT64:
        most -= most // SHARE_OF_LAST
    first = SOLVERS[chosen](task, options._replace(max_iter=most), start)._replace(solver=chosen)
    has_ended = first.converged or first.n_iter >= options.max_iter or options.observer.stops
    if most == options.max_iter or has_ended or not can(task, "gd"):
        return first
    return _gone_on(first, partial(descend, task), options)


def _gone_on(
    first: Solution, following: Callable[[Options, State], Solution], options: Options
) -> Solution:
    """Go on by another method from where the passes of one ended.

    What the first has proven of the optimum bounds the second's gap as well. The second's point is
    taken unless its objective is higher by more than rounding, or below that bound, which only
    predictions that cancel can seem to be.
    """
    remaining = options._replace(max_iter=options.max_iter - first.n_iter)
    second = following(remaining, State(first.coef, first.intercept))
    counts: dict[str, Any] = {"n_iter": first.n_iter + second.n_iter}
    counts["history"] = _joined(first, second)
    lower, rounding = first.objective - first.gap, ALLOWANCE * abs(first.objective)
    is_rounding = second.objective < lower - rounding  # lower than anything can be
    if is_rounding or not second.objective - first.objective <= rounding:
        return first._replace(**counts)
    gap = min(second.gap, max(second.objective - lower, rounding))
    return second._replace(gap=gap, **counts)


def _joined(first: Solution, second: Solution) -> dict[str, list[float]]:
    """Return the histories of both, NaN for what one of them does not tell of its passes."""
    return {
        key: [
            value
            for part in (first, second)
            for value in part.history.get(key, [np.nan] * part.n_iter)
        ]
        for key in {**first.history, **second.history}
    }


def _budget(task: Task, most: int) -> int:
    """Return how many passes SDCA may take."""
    is_plain = losses.kind_of(task.loss) == losses.BINARY and not (
        losses.has_jumps(task.loss) or losses.is_piecewise_linear(task.loss)
    )
    is_long = _is_nearly_separable(task) or (_has_independent_classes(task) and not is_plain)
    if _has_no_matrix(task):
        return most - most // SHARE_OF_LAST
    return min(most, MORE_SDCA_PASSES if is_long else SDCA_PASSES)


def choose(task: Task) -> str:
    """Return the solver that "auto" means for a task, by sizes and non-zeros alone."""
    n, d = task.y.shape[0], task.n_features
    is_piecewise = losses.is_piecewise_linear(task.loss)
    if not can(task, "gd"):
        return "sdca" if can(task, "sdca") else "gd"
    if task.device is not None:  # which adds up over all rows
        return "gd"
    if task.positive or n * d <= FINISHED_IN_FLOAT64:
        return "gd"
    if _is_nearly_separable(task):
        return "sdca"
    if not is_piecewise and (is_reducible(task) or _has_cheap_metric(task)):
        return "gd"
    if not can(task, "sdca"):
        return "gd"
    if mean_q(task) <= _largest_q(task):
        return "sdca"
    if not _has_no_matrix(task):
        return "gd"
    is_near = _can_meet_all_rows(task) or median_q(task) <= LARGEST_Q_WITHOUT_MATRIX
    return "sdca" if is_near else "gd"


def _largest_q(task: Task) -> float:
    """Return up to what mean q SDCA is worth its passes."""
    n, d = task.y.shape[0], task.n_features
    if _has_independent_classes(task):
        return LARGEST_Q_OF_SCATTERED
    if losses.is_piecewise_linear(task.loss):
        return LARGEST_Q_OF_PIECES
    return LARGEST_Q if d < n else LARGEST_Q_OF_WIDE


def _has_no_matrix(task: Task) -> bool:
    """Tell whether a piecewise linear loss has too many columns and rows for a matrix of either."""
    is_piecewise = losses.is_piecewise_linear(task.loss)
    return is_piecewise and not _piecewise.has_matrix(task.y.shape[0], task.n_features)


def _can_meet_all_rows(task: Task) -> bool:
    """Tell whether coefficients can make every target right, however many columns are empty.

    As many numbers as there are columns, or labels of twice as many rows, even at random [1]_. The
    stronger the fit, the sooner all rows are right, which smooth approximations do not see: they
    ended at 1.1 to 3,500 times the optimum after 1,000 passes, q from 1,200 to 200,000, where SDCA
    took 26 to 210 passes (hinges of 4,500 x 3,100 and 3,300 x 20,000, tubes of 3,300 x 5,000).

    References
    ----------
    .. [1] Cover, "Geometrical and statistical properties of systems of linear inequalities", 1965.
    """
    rows, d = task.rows, task.n_features
    if not isinstance(rows, Dense):
        d = int(np.count_nonzero(np.bincount(rows.indices, minlength=d)))
    is_of_classes = losses.kind_of(task.loss) == losses.BINARY
    return bool(task.y.shape[0] <= (2 * d if is_of_classes else d))


def _has_independent_classes(task: Task) -> bool:
    """Tell whether classes are of rows of few non-zeros, that columns outnumber."""
    n, d = task.y.shape[0], task.n_features
    is_of_classes = losses.kind_of(task.loss) != losses.REGRESSION
    return is_of_classes and n <= d and is_scattered(task.rows, n, d)


def _has_cheap_metric(task: Task) -> bool:
    """Tell whether a matrix of all parameters is cheap, or one that dense outputs share."""
    n, d, K = task.y.shape[0], task.n_features, task.n_outputs
    size = d + 1 if isinstance(task.rows, Dense) and task.l1 == 0.0 else (d + 1) * K
    return size <= LARGEST_MATRIX and size <= largest_matrix(task.rows, n, d, K, is_exact(task))


def _is_nearly_separable(task: Task) -> bool:
    """Tell whether a squared hinge meets about as many rows as columns.

    Nearly all rows can be right then, and which ones are not changes with each of Newton's steps:
    1,000 x 700 to 1,400 took 140 of them and more, SDCA a hundredth of that time. Where columns are
    twice as many, no row need be wrong, and one step is all.
    """
    n, d = task.y.shape[0], task.n_features
    about_square = d < 2 * n and n <= 2 * d
    is_of_classes = losses.kind_of(task.loss) == losses.BINARY and losses.has_jumps(task.loss)
    is_large = about_square and n * d > FINISHED_IN_FLOAT64
    return is_of_classes and task.l2 > 0.0 and is_large


def _start_for(solver: str, task: Task, start: Any) -> Any:
    """Return a start that this solver understands; None where there is none."""
    if start is None or solver == "sdca":
        dual = getattr(start, "dual", None)
        return start if dual is not None and dual.shape[0] == task.y.shape[0] else None
    shape = (task.n_features,) if task.n_outputs == 1 else (task.n_outputs, task.n_features)
    return start if isinstance(start, State) and np.shape(start.coef) == shape else None
