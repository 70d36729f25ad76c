"""Many steps in one launch: the threads of all blocks wait for each other between steps.

A launch takes some microseconds, and the host longer to prepare one; a batch of a few thousand rows
takes no longer than that itself. Here a launch has the steps of an epoch, each of two parts, as
``passes`` and ``steps.update`` have them: a batch's gradient, and what it does to the parameters.
After each part the whole grid waits (cooperative groups), so that no more blocks may be launched
than the device runs at once.
"""

from typing import NamedTuple

import numpy as np

from fastgd.kernels.cuda._compiler import BLOCK, GROUPS, SCRATCH, cuda, driver, part
from fastgd.kernels.cuda.passes import Span, visit
from fastgd.kernels.cuda.steps import Batch, Step, update_all


class Epoch(NamedTuple):
    """The steps of a launch.

    params : (n_features + 1, n_outputs), those of ``Memory`` as a table
    average : (n_params,), float64: parameters are added to it
    order : (n_visited,), integer, numbers of rows; empty means as they lie
    n_visited, batch_size : int
    first, stop : int, which steps of the visit
    step : Step, of the visit's first batch, as large as all but the last one
    last : Step, of the visit's last batch
    average_from : int, the step from which on parameters are averaged
    """

    params: np.ndarray
    average: np.ndarray
    order: np.ndarray
    n_visited: int
    batch_size: int
    first: int
    stop: int
    step: NamedTuple
    last: NamedTuple
    average_from: int


@part
def _span_of(epoch, t):
    """Return the rows of batch t, and how many of them each block takes."""
    start = t * epoch.batch_size
    per_turn = cuda.gridDim.x * BLOCK
    turns = (min(epoch.batch_size, epoch.n_visited) + per_turn - 1) // per_turn
    beyond = min(start + epoch.batch_size, epoch.n_visited)
    return Span(epoch.order, start, beyond, turns * BLOCK)


@part
def _step_of(epoch, t, size):
    """Return step t of the visit."""
    step, n_lines = epoch.step, cuda.gridDim.x * GROUPS
    share = step.share if size == step.size else epoch.last.share
    strength = step.strength if size == step.size else epoch.last.strength
    return Step(step.coefs, step.t + t, share, size, n_lines, step.first_free, strength)


@part
def _add_to_average(epoch, t):
    """Add the parameters, each by the thread that has moved it."""
    if epoch.average.shape[0] > 0 and epoch.step.t + t >= epoch.average_from:
        n_outputs = epoch.params.shape[1]
        for c in range(cuda.grid(1), epoch.average.shape[0], cuda.gridsize(1)):
            epoch.average[c] += epoch.params[c // n_outputs, c % n_outputs]


@driver
def epoch_steps(rows, samples, rule, epoch, memory, out):
    """Take the steps of an epoch.

    Parameters
    ----------
    rows : Dense
    samples : steps.Samples
    rule : steps.Rule
    epoch : Epoch
    memory : steps.Memory, changed in place
    out : passes.Out; losses are added, and slopes have room where outputs share a loss
    """
    scratch = cuda.shared.array(SCRATCH, np.float64)
    slopes = cuda.shared.array(BLOCK, np.float64)
    grid = cuda.cg.this_grid()
    for t in range(epoch.first, epoch.stop):
        span = _span_of(epoch, t)
        step = _step_of(epoch, t, span.stop - span.start)
        given = Batch(samples, rule, step)
        visit(rule, rows, given, epoch.params, span, out, scratch, slopes)
        grid.sync()
        update_all(rule, step, out.partial, memory, True)
        _add_to_average(epoch, t)
        grid.sync()
