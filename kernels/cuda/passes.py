"""Full passes on a device: loss, gradient and curvatures of all rows.

A block of threads takes a span of rows, ``BLOCK`` at a time. A group of ``LANES`` threads reads a
row together, so that neighbours in memory are read by neighbouring threads; then each thread has
one row's loss and slope; then the groups read the same rows again, from cache, and each thread adds
up its columns. X is thus read from the device's memory once. Sums go to a line of ``partial`` for
each group, and ``add_lines`` adds the lines in their order: no atomic additions, so that the same
rows give the same bits.

The intercept is the last column, of ones. Parameters are (n_features + 1,), or
(n_features + 1, n_outputs).
"""

from typing import NamedTuple

import numpy as np

from fastgd.kernels import losses
from fastgd.kernels._hook import hook, implement
from fastgd.kernels.cuda._compiler import BLOCK, GROUPS, LANES, SCRATCH, STRIDE, cuda, driver, part
from fastgd.kernels.rows import entries, entry

MOST_BLOCKS = 1 << 10  # of a pass: a few for each multiprocessor of any card


class Span(NamedTuple):
    """Which rows a driver visits, and how many of them a block.

    order : (n_visited,), integer, numbers of rows; empty means as they lie
    start, stop : int, positions in the order
    per_block : int
    """

    order: np.ndarray
    start: int
    stop: int
    per_block: int


class Out(NamedTuple):
    """What a pass writes.

    loss : (n_blocks * BLOCK, 2), float64: to each thread's sums of losses, and of curvatures of one
        output, those of the rows are added; of a batch (n_blocks * BLOCK, n_outputs)
    partial : (n_blocks * GROUPS, (n_features + 1) * n_outputs): sums of slopes times columns, of
        sparse rows (n_blocks * GROUPS, n_outputs), for the intercepts only
    slopes : (n_samples, n_outputs), or of a batch; (0, n_outputs) where they are not asked for
    curvature : (n_samples,), weighted; (0,) where it is not asked for
    """

    loss: np.ndarray
    partial: np.ndarray
    slopes: np.ndarray
    curvature: np.ndarray


def grid_of(n_rows: int, most: int = MOST_BLOCKS) -> tuple[int, int]:
    """Return how many blocks take the rows of a pass, and how many rows each: by their number."""
    per_block = BLOCK * max(-(-n_rows // (BLOCK * most)), 1)
    return max(-(-n_rows // per_block), 1), per_block


def blocks_up_to(n_rows: int, most: int = MOST_BLOCKS) -> int:
    """Return the most blocks that so many rows, or any smaller number, may take.

    Fewer rows may take more blocks, where these have fewer rows each.
    """
    return max(min(-(-n_rows // BLOCK), most), 1)


@part
def row_at(order, position):
    return position if order.shape[0] == 0 else order[position]


@part
def _dot(rows, i, params, k, lane):
    """Return a lane's part of x_i w_k."""
    total = 0.0
    begin, end = entries(rows, i)
    for at in range(begin + lane, end, LANES):
        j, x = entry(rows, i, at)
        total += x * params[j, k]
    return total


@part
def margins(rows, order, first, beyond, params, k, scratch):
    """Write the lanes' parts of X w_k of ``BLOCK`` rows into the block's scratch."""
    lane, group = cuda.threadIdx.x % LANES, cuda.threadIdx.x // LANES
    for o in range(group, BLOCK, GROUPS):
        if first + o < beyond:
            i = row_at(order, first + o)
            scratch[o * STRIDE + lane] = _dot(rows, i, params, k, lane)


@part
def raw_of(scratch, intercept):
    """Return the raw prediction of this thread's row."""
    total = intercept
    for lane in range(LANES):
        total += scratch[cuda.threadIdx.x * STRIDE + lane]
    return total


@part
def add_columns(values, order, first, beyond, slopes, line, k):
    """Add slopes times columns of some rows to a group's line, for one output."""
    lane, group = cuda.threadIdx.x % LANES, cuda.threadIdx.x // LANES
    n_features, n_outputs = values.shape[1], line.shape[0] // (values.shape[1] + 1)
    for j in range(lane, n_features + 1, LANES):
        total = 0.0
        for o in range(group, beyond - first, GROUPS):
            i = row_at(order, first + o)
            total += slopes[o] * values[i, j] if j < n_features else slopes[o]
        line[j * n_outputs + k] += total


@part
def begin(span, partial):
    """Make this block's lines zero; return the first row, the one beyond, and the group's line."""
    block, group = cuda.blockIdx.x, cuda.threadIdx.x // LANES
    number = block * GROUPS + group
    line = partial[number]
    for c in range(cuda.threadIdx.x % LANES, line.shape[0], LANES):
        line[c] = 0
    first = span.start + block * span.per_block
    return first, min(first + span.per_block, span.stop), number


@hook
def meet(given, rows, i, k, raw, out, thread):
    """Return the slope of row i in output k, from its raw prediction; add its loss to a thread's.

    ``given`` is what comes with the rows: ``Pass``, ``Given`` or ``steps.Batch``.
    """
    return type(given).meet(given, rows, i, k, raw, out, thread)


@hook
def meet_row(given, i, row, out, thread):
    """Replace row i's raw predictions by slopes, where outputs share a loss; add that."""
    return type(given).meet_row(given, i, row, out, thread)


class Pass(NamedTuple):
    """What comes with the rows of a full pass.

    targets : objective.Targets
    loss : loss
    """

    targets: NamedTuple
    loss: NamedTuple

    @staticmethod
    def meet(given, rows, i, k, raw, out, thread):
        y, weight = given.targets.y[i], given.targets.weight[i]
        bent = weight * abs(losses.curvature(given.loss, y, raw))
        out.loss[thread, 0] += weight * losses.value(given.loss, y, raw)
        out.loss[thread, 1] += bent
        if out.curvature.shape[0] > 0:
            out.curvature[i] = bent
        return weight * losses.gradient(given.loss, y, raw)

    @staticmethod
    def meet_row(given, i, row, out, thread):
        weight = given.targets.weight[i]
        value = losses.gradient_row(given.loss, given.targets.y[i], row, row)
        out.loss[thread, 0] += weight * value
        for k in range(row.shape[0]):
            row[k] *= weight


class Given(NamedTuple):
    """Slopes that are known: a pass adds up their products with the columns.

    slopes : (n_samples, n_outputs)
    """

    slopes: np.ndarray

    @staticmethod
    def meet(given, rows, i, k, raw, out, thread):
        return given.slopes[i, k]


@part
def visit_apart(rows, dense, given, params, span, out, scratch, slopes):
    """Do what ``pass_apart`` does; the block has room for ``scratch`` and ``slopes``."""
    thread, last = cuda.threadIdx.x, params.shape[0] - 1
    first, beyond, number = begin(span, out.partial)
    for start in range(first, beyond, BLOCK):
        stop = min(start + BLOCK, beyond)
        for k in range(params.shape[1]):
            margins(rows, span.order, start, stop, params, k, scratch)
            cuda.syncthreads()
            if start + thread < stop:
                i, raw = row_at(span.order, start + thread), raw_of(scratch, params[last, k])
                slope = meet(given, rows, i, k, raw, out, cuda.blockIdx.x * BLOCK + thread)
                slopes[thread] = slope
                if out.slopes.shape[0] > 0:
                    out.slopes[start + thread - span.start, k] = slope
            cuda.syncthreads()
            add_columns(dense, span.order, start, stop, slopes, out.partial[number], k)


@part
def visit_shared(rows, dense, given, params, span, out, scratch, slopes):
    """Do what ``pass_shared`` does; the block has room for ``scratch`` and ``slopes``."""
    thread, last = cuda.threadIdx.x, params.shape[0] - 1
    first, beyond, number = begin(span, out.partial)
    for start in range(first, beyond, BLOCK):
        stop, o = min(start + BLOCK, beyond), start + thread - span.start
        for k in range(params.shape[1]):
            margins(rows, span.order, start, stop, params, k, scratch)
            cuda.syncthreads()
            if start + thread < stop:
                out.slopes[o, k] = raw_of(scratch, params[last, k])
            cuda.syncthreads()
        if start + thread < stop:
            i = row_at(span.order, start + thread)
            meet_row(given, i, out.slopes[o], out, cuda.blockIdx.x * BLOCK + thread)
        for k in range(params.shape[1]):
            if start + thread < stop:
                slopes[thread] = out.slopes[o, k]
            cuda.syncthreads()
            add_columns(dense, span.order, start, stop, slopes, out.partial[number], k)
            cuda.syncthreads()


@part
def visit(rule, rows, given, params, span, out, scratch, slopes):
    """Do with dense rows what the loss of a rule asks for: ``visit_apart``, or ``visit_shared``."""
    if losses.kind_of(rule.loss) == losses.MULTINOMIAL:
        visit_shared(rows, rows.values, given, params, span, out, scratch, slopes)
    else:
        visit_apart(rows, rows.values, given, params, span, out, scratch, slopes)


@implement(visit)
def _visit(rule, rows, given, params, span, out, scratch, slopes):
    is_shared = losses.kind_of(rule[0]) == losses.MULTINOMIAL
    of_kind = visit_shared if is_shared else visit_apart
    return lambda rule, rows, given, params, span, out, scratch, slopes: of_kind(
        rows, rows.values, given, params, span, out, scratch, slopes
    )


@driver
def pass_apart(rows, dense, given, params, span, out):
    """Add up loss and gradient of some rows, where outputs do not share a loss.

    Parameters
    ----------
    rows : Dense or CSR
    dense : (n_samples, n_features), the same rows; (0, 0) for CSR
    given : Pass, Given or steps.Batch
    params : (n_features + 1, n_outputs), raw
    span : Span
    out : Out; losses are added, and slopes written if there is room for them
    """
    scratch = cuda.shared.array(SCRATCH, np.float64)
    slopes = cuda.shared.array(BLOCK, np.float64)
    visit_apart(rows, dense, given, params, span, out, scratch, slopes)


@driver
def pass_shared(rows, dense, given, params, span, out):
    """Add up loss and gradient of one loss of all outputs, and write the slopes.

    Parameters are those of ``pass_apart``; ``out.slopes`` has room.
    """
    scratch = cuda.shared.array(SCRATCH, np.float64)
    slopes = cuda.shared.array(BLOCK, np.float64)
    visit_shared(rows, dense, given, params, span, out, scratch, slopes)


@driver
def raw_predictions(rows, params, span, out):
    """Write X W + b into ``out``, (n_samples, n_outputs)."""
    scratch = cuda.shared.array(SCRATCH, np.float64)
    thread, last = cuda.threadIdx.x, params.shape[0] - 1
    first = span.start + cuda.blockIdx.x * span.per_block
    beyond = min(first + span.per_block, span.stop)
    for start in range(first, beyond, BLOCK):
        stop = min(start + BLOCK, beyond)
        for k in range(params.shape[1]):
            margins(rows, span.order, start, stop, params, k, scratch)
            cuda.syncthreads()
            if start + thread < stop:
                out[start + thread, k] = raw_of(scratch, params[last, k])
            cuda.syncthreads()


@driver
def add_lines(partial, out):
    """Write the sum of the lines of ``partial`` into ``out``, in their order."""
    for c in range(cuda.grid(1), out.shape[0], cuda.gridsize(1)):
        total = np.float64(0)
        for line in range(partial.shape[0]):
            total += partial[line, c]
        out[c] = total


@driver
def add_sparse_columns(columns, slopes, out):
    """Write sum_i slopes_ik x_ij into ``out``, (n_features, n_outputs): a block for a column.

    Parameters
    ----------
    columns : CSR of the transposed rows
    slopes : (n_samples, n_outputs)
    """
    sums = cuda.shared.array(BLOCK, np.float64)
    thread = cuda.threadIdx.x
    for j in range(cuda.blockIdx.x, out.shape[0], cuda.gridDim.x):
        begin, end = entries(columns, j)
        for k in range(out.shape[1]):
            total = 0.0
            for at in range(begin + thread, end, BLOCK):
                i, x = entry(columns, j, at)
                total += slopes[i, k] * x
            sums[thread] = total
            cuda.syncthreads()
            if thread == 0:
                total = 0.0
                for t in range(BLOCK):
                    total += sums[t]
                out[j, k] = total
            cuda.syncthreads()


@driver
def look_at_columns(values, shares, mean, per_block, partial):
    """Write lines of weighted sums, of squares beyond ``mean``, and of the largest magnitudes.

    Parameters
    ----------
    values : (n_samples, n_features)
    shares : (n_samples,), float64
    mean : (n_features,), float64
    per_block : int, rows of a block
    partial : (n_blocks * GROUPS, 3, n_features), float64; magnitudes of what is not finite are
        infinite
    """
    lane, group = cuda.threadIdx.x % LANES, cuda.threadIdx.x // LANES
    first = cuda.blockIdx.x * per_block
    beyond, line = min(first + per_block, values.shape[0]), cuda.blockIdx.x * GROUPS + group
    for j in range(lane, values.shape[1], LANES):
        total, squares, largest = np.float64(0), np.float64(0), np.float64(0)
        for i in range(first + group, beyond, GROUPS):
            x = np.float64(values[i, j])
            total += shares[i] * x
            squares += shares[i] * (x - mean[j]) * (x - mean[j])
            size = abs(x)
            largest = max(largest, size if size < np.inf else np.inf)
        partial[line, 0, j] = total
        partial[line, 1, j] = squares
        partial[line, 2, j] = largest
