"""Local steps where the rows are, and what is exchanged after them.

Each partition is a shard that takes its own steps from common parameters, and sends how far they
moved; the client adds up what shards send, in their order, and sends the sum back. Both ways go
through the same quantizer, so that common parameters are never sent:

    shard k:   p = w_k - w + e_k;   sends q = Q(p);   e_k <- p - q
    client:    m <- mu m + sum_k n_k q_k / n;   sends u = Q(rate (m or its look ahead) + e)
    all:       w <- w + u

A shard's state (its parameters, optimizer and residual) stays on the worker as the result of a
task; what a round adds to the graph are encoded updates. A worker that is lost is thus no loss:
the scheduler computes the states anew from the first round on, from rows and updates.

References
----------
.. [1] Stich, "Local SGD Converges Fast and Communicates Little", 2019. arXiv:1805.09767
.. [2] Wang, Tantia, Ballas & Rabbat, "SlowMo", 2020. arXiv:1910.00643
.. [3] Douillard et al., "DiLoCo: Distributed Low-Communication Training of Language Models", 2023.
   arXiv:2311.08105
.. [4] Tang, Yu, Lian, Zhang & Liu, "DoubleSqueeze: Parallel Stochastic Gradient Descent with
   Double-pass Error-Compensated Compression", 2019. arXiv:1905.05957
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from typing import Any, NamedTuple

import dask
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from fastgd._data.chunks import of_named
from fastgd._data.source import Block, Data, InMemory
from fastgd._distributed.cluster import Cluster, saying_lost
from fastgd._distributed.collections import DaskChunks, as_column, as_rows
from fastgd._runtime.threads import one_blas_thread, threads
from fastgd._training.estimator import Call
from fastgd._training.progress import Epoch, Progress
from fastgd._training.trainer import TrainingObserver
from fastgd.kernels.transforms import decode, encode


class Exchange(NamedTuple):
    """How shards work together.

    rounds : int or "batch"
        Exchanges an epoch; "batch" is one after each batch.
    quantizer : one of ``TRANSFORMS``, or None for floats as they are
    rate, momentum : float
        Of the client's step.
    wait : float or None
        Seconds that a round takes at most.
    """

    rounds: Any = 1
    quantizer: Any = None
    rate: float = 1.0
    momentum: float = 0.0
    wait: float | None = None


class Work(NamedTuple):
    """What all tasks of a fit share.

    model : estimator, a copy that has learned what targets are
    written : callable, from rows to ``Data``
    call : Call, without rows
    quantizer : as in ``Exchange``
    n_trained : int, entries that are quantized; others are sent as they are
    penalised : slice, of the parameters' first axis
    """

    model: Any
    written: Callable[[Any, Any], Data]
    call: Call
    quantizer: Any
    n_trained: int
    penalised: slice


class ShardState(NamedTuple):
    """Where a shard stands.

    progress : Progress, of its own steps
    common : ndarray, the parameters that all shards have
    residual : ndarray, what was not sent yet
    sent : bytes
    sums : ndarray of the sum of losses, that of penalties, the rate, and rows
    """

    progress: Progress
    common: NDArray[Any]
    residual: NDArray[Any]
    sent: bytes
    sums: NDArray[np.float64]


class Piece(NamedTuple):
    """A part of an epoch: of its steps the share from ``number`` to ``number + 1``."""

    shard: int
    epoch: int
    number: int
    n_pieces: int

    def rows(self, n_rows: int, batch_size: int) -> tuple[int, int]:
        """Return the first row, and the first one after the last."""
        n_steps = -(-n_rows // batch_size)
        steps = (self.number * n_steps // self.n_pieces, (self.number + 1) * n_steps)
        return steps[0] * batch_size, min(steps[1] // self.n_pieces * batch_size, n_rows)


class Shard:
    """A partition's rows as engines take them.

    The order of the epoch that was asked for last is kept: it costs a look at all rows, and each
    part of the epoch needs it.

    Parameters
    ----------
    data : Data
    shuffles : bool
    """

    def __init__(self, data: Data, shuffles: bool) -> None:
        self._data, self._shuffles = data, shuffles
        self.source = InMemory(data, shuffles=shuffles, n_epochs=1)
        self._kept: tuple[tuple[int, int], Block] | None = None

    def __reduce__(self) -> Any:
        return Shard, (self._data, self._shuffles)

    def __sizeof__(self) -> int:
        """Return the bytes that a worker counts: of rows, targets and weights."""
        X = self._data.X
        of_rows = [X.data, X.indices, X.indptr] if sp.issparse(X) else [X]
        return int(sum(a.nbytes for a in (*of_rows, self._data.y, self._data.weight)))

    def block(self, epoch: int, seed: int) -> Block:
        """Return the rows in the order of an epoch."""
        if self._kept is None or self._kept[0] != (epoch, seed):
            (block,) = self.source.epoch(epoch, seed)
            self._kept = (epoch, seed), block
        return self._kept[1]


class PieceOfEpoch:
    """A part of an epoch of a shard, as a source of its own."""

    def __init__(self, shard: Shard, piece: Piece, batch_size: int) -> None:
        self._shard, self._piece = shard, piece
        source = self._source = shard.source
        self._start, self._stop = piece.rows(source.n_rows, batch_size)
        self.n_rows, self.n_features = self._stop - self._start, source.n_features
        self.is_sparse, self.unit = source.is_sparse, source.unit
        self.n_rows_of_epoch = source.n_rows

    def epoch(self, number: int, seed: int, n_done: int = 0) -> Iterator[Block]:  # noqa: ARG002
        """Yield the rows of the part."""
        yield self._shard.block(self._piece.epoch, seed).part(self._start + n_done, self._stop)

    def epochs(self, number: int, count: int, seed: int) -> Block | None:  # noqa: ARG002
        """Return None: an epoch is no whole one."""
        return None

    def blocks(self) -> Iterator[Block]:
        """Yield all rows of the shard."""
        return self._source.blocks()

    def fingerprint(self, *, whole: bool = False) -> int:
        """Return that of the shard."""
        return self._source.fingerprint(whole=whole)

    def largest_entry(self) -> tuple[int, float]:
        """Return that of the shard."""
        return self._source.largest_entry()


# -- what runs on workers -------------------------------------------------------------------------


def prepared(work: Work, k: int, X: Any, y: Any) -> Shard:
    """Return the rows of partition k as engines take them."""
    given = as_rows(X), None if y is None else as_column(y)
    data = of_named(f"partition {k}", work.written, *given)
    return Shard(data, work.call.settings.shuffle)


def begun(progress: Progress) -> ShardState:
    """Return the state of a shard before its first step."""
    return ShardState(progress, progress.params.copy(), np.zeros(0), b"", np.zeros(4))


def local_steps(
    work: Work, shard: Shard, state: ShardState, updates: Sequence[bytes], piece: Piece
) -> ShardState:
    """Take in what was sent meanwhile, take steps, and encode how far they went."""
    progress, common, settings = state.progress.copy(), state.common.copy(), work.call.settings
    for update in updates:
        add(work.quantizer, update, common, work.n_trained)
    progress.params[...] = common
    if progress.ahead:  # what partitions have in common is what predicts
        progress.params += (progress.ahead * progress.state[0]).astype(common.dtype)
    progress.history = {}
    source = PieceOfEpoch(shard, piece, settings.batch_size)
    sums = np.zeros(4)
    if source.n_rows > 0:
        progress, sums = _stepped(work, source, progress)
    delta = (progress.reported() - common).reshape(-1)
    residual = _residual(work, state.residual, delta)
    if residual.size:
        delta[: work.n_trained] += residual
    key = (progress.seed, piece.epoch * piece.n_pieces + piece.number)
    sent = written_out(work.quantizer, delta, work.n_trained, *key)
    if residual.size:
        residual = delta[: work.n_trained] - read(work.quantizer, sent, delta, work.n_trained)[0]
    return ShardState(progress, common, residual, sent, sums)


def _stepped(
    work: Work, source: PieceOfEpoch, progress: Progress
) -> tuple[Progress, NDArray[np.float64]]:
    """Take the steps of a part of an epoch."""
    settings = work.call.settings._replace(
        schedule=schedule_of(work, source.n_rows_of_epoch), max_iter=1, tol=None
    )
    call = work.call._replace(source=source, settings=settings)
    work.model._watch = TrainingObserver()
    with one_blas_thread(), threads(1):
        progress, _ = work.model._run(call, progress)
    figures = {name: values[-1] for name, values in progress.history.items()}
    n_rows = source.n_rows
    loss, penalty = n_rows * figures["loss"], n_rows * figures["penalty"]
    return progress, np.array([loss, penalty, figures["learning_rate"], n_rows])


def schedule_of(work: Work, n_rows: int) -> Any:
    """Return the rates of a shard: an epoch's length is that of its own rows."""
    given = work.call.settings
    arguments = (n_rows, given.max_iter, given.tol, work.call.rule)
    return work.model._settings(*arguments, full_batch=given.batch_size).schedule


def _residual(work: Work, residual: NDArray[Any], delta: NDArray[Any]) -> NDArray[Any]:
    """Return what was not sent, of a quantizer that feeds it back."""
    feeds_back = getattr(work.quantizer, "feeds_back", False)
    return residual if residual.size else np.zeros(work.n_trained * feeds_back, delta.dtype)


def sent_of(state: ShardState) -> tuple[bytes, NDArray[np.float64]]:
    """Return of a state what goes to the client."""
    return state.sent, state.sums


def optimizer_of(state: ShardState) -> NDArray[Any]:
    """Return of a state that of its optimizer."""
    return state.progress.state.copy()


# -- what is sent ---------------------------------------------------------------------------------


def written_out(
    quantizer: Any, values: NDArray[Any], n_trained: int, seed: int, step: int
) -> bytes:
    """Return values as bytes: those that are trained through the quantizer, the others behind."""
    if quantizer is None:
        return values.tobytes()
    encoded = encode(quantizer, values[:n_trained], seed, step)
    return encoded.tobytes() + values[n_trained:].tobytes()


def read(
    quantizer: Any, content: bytes, like: NDArray[Any], n_trained: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return what was written, in two parts."""
    n_tail = (like.size - n_trained) * like.dtype.itemsize
    n_head = len(content) - n_tail
    tail = np.frombuffer(content[n_head:], like.dtype)
    if quantizer is None:
        return np.frombuffer(content[:n_head], like.dtype), tail
    return decode(quantizer, content[:n_head], n_trained, like.dtype), tail


def add(quantizer: Any, content: bytes, values: NDArray[Any], n_trained: int) -> None:
    """Add what was sent to some values."""
    flat = values.reshape(-1)
    head, tail = read(quantizer, content, flat, n_trained)
    flat[:n_trained] += head
    flat[n_trained:] += tail


# -- the client -----------------------------------------------------------------------------------


class Rounds:
    """One call's worth of rounds.

    Parameters
    ----------
    chunks : DaskChunks
    exchange : Exchange
    work : Work
    progress : Progress
        Where training begins; changed in place.
    """

    def __init__(
        self, chunks: DaskChunks, exchange: Exchange, work: Work, progress: Progress
    ) -> None:
        self._exchange, self._work, self.progress = exchange, work, progress
        self._settings = work.call.settings
        self._shards = [k for k, size in enumerate(chunks.sizes) if size > 0]
        self._sizes = [chunks.sizes[k] for k in self._shards]
        cluster = chunks.cluster
        self._tasks = _Threads() if cluster.client is None else _Tasks(cluster)
        shared = self._tasks.submit("work", _same, work)
        rows = self._tasks.computed([chunks.partition(k) for k in self._shards])
        self._data = [
            self._tasks.submit("rows", prepared, shared, k, *pair)
            for k, pair in zip(self._shards, rows, strict=True)
        ]
        self._shared, dtype = shared, progress.params.dtype
        self._states: list[Any] = []
        for number in range(len(self._shards)):
            own = progress.copy()
            own.seed = int(np.random.SeedSequence([progress.seed, number + 1]).generate_state(1)[0])
            self._states.append(self._tasks.submit("begin", begun, own))
        self._sent = float(len(self._shards) * progress.params.nbytes)
        self._n_taken = [0] * len(self._shards)
        self._missed: list[list[bytes]] = [[] for _ in self._shards]
        self._flying: dict[int, Any] = {}
        self._velocity = np.zeros(progress.params.size)
        feeds_back = getattr(exchange.quantizer, "feeds_back", False)
        self._residual = np.zeros(work.n_trained * feeds_back, dtype)
        self._n_rounds = self._n_late = 0
        largest = -(-max(self._sizes) // self._settings.batch_size)
        self.n_pieces = largest if exchange.rounds == "batch" else min(exchange.rounds, largest)

    def taken(self) -> dict[str, float]:
        """Take the rounds of an epoch; return its figures."""
        started, before = time.perf_counter(), self.progress.params.copy()
        epoch, rate, self._n_late = Epoch(before), np.nan, 0
        for _ in range(self.n_pieces):
            sums = self._round()
            epoch.loss, epoch.penalty = epoch.loss + sums[0], epoch.penalty + sums[1]
            epoch.n_seen += int(sums[3])
            rate = sums[2]
        progress, n_seen = self.progress, max(epoch.n_seen, 1)
        progress.epochs += 1
        samples = progress.history.get("samples", [0.0])[-1]
        figures = {
            "objective": (epoch.loss + epoch.penalty) / n_seen,
            "loss": epoch.loss / n_seen,
            "penalty": epoch.penalty / n_seen,
            "learning_rate": float(rate),
            "update_norm": float(np.linalg.norm(progress.params - before)),
            "coef_norm": float(np.linalg.norm(progress.params[self._work.penalised])),
            "samples": samples + epoch.n_seen,
            "seconds": time.perf_counter() - started,
            "bytes": self._sent,
            "late": float(self._n_late),
        }
        self._sent = 0.0
        return figures

    def end(self) -> None:
        """Count the steps, and take over the optimizer's state of the largest shard.

        A further call on one machine goes on with both.
        """
        progress, n_steps = self.progress, [-(-n // self._settings.batch_size) for n in self._sizes]
        progress.steps += progress.epochs * sum(n_steps)
        answered = [k for k in range(len(self._shards)) if k not in self._flying]
        if progress.state.size == 0 or not answered:
            return
        largest = max(answered, key=lambda k: self._sizes[k])
        found = self._tasks.submit("optimizer", optimizer_of, self._states[largest])
        (state,) = self._tasks.get([found])
        ahead, progress.ahead = progress.ahead, 0.0
        progress.state = state
        progress.go_ahead(ahead)

    def _round(self) -> NDArray[np.float64]:
        """Let shards take their steps, and exchange them; return the sums over the shards."""
        for k in range(len(self._shards)):
            if k not in self._flying:
                self._flying[k] = self._submitted(k)
        arrived = self._arrived()
        found = self._tasks.get([self._flying.pop(k)[1] for k in arrived])
        n_rows = sum(sums[3] for _, sums in found)
        total, sums = np.zeros(self.progress.params.size), np.zeros(4)
        for sent, of_shard in found:  # in the order of the shards
            if of_shard[3] > 0:
                total += of_shard[3] / n_rows * self._read(sent)
                sums[2] = of_shard[2]
            sums[[0, 1, 3]] += of_shard[[0, 1, 3]]
            self._sent += len(sent)
        self._step(total)
        return sums

    def _submitted(self, k: int) -> tuple[Any, Any]:
        """Let a shard take its next steps; return the state to come, and what it will send."""
        number, updates = self._n_taken[k], tuple(self._missed[k])
        self._n_taken[k], self._missed[k] = number + 1, []
        piece = Piece(k, *divmod(number, self.n_pieces), self.n_pieces)
        state = (self._shared, self._data[k], self._states[k], updates, piece)
        self._states[k] = self._tasks.submit(f"local-steps-{k}", local_steps, *state)
        return self._states[k], self._tasks.submit(f"sent-{k}", sent_of, self._states[k])

    def _arrived(self) -> list[int]:
        """Return the shards that have sent something: all, or those within the limit."""
        flying = sorted(self._flying)
        done = self._tasks.wait([self._flying[k][1] for k in flying], self._exchange.wait)
        self._n_late += len(flying) - sum(done)
        return [k for k, is_done in zip(flying, done, strict=True) if is_done]

    def _read(self, sent: bytes) -> NDArray[np.float64]:
        parts = read(self._exchange.quantizer, sent, self.progress.params.reshape(-1), self._n)
        return np.concatenate(parts).astype(np.float64)

    @property
    def _n(self) -> int:
        return self._work.n_trained

    def _step(self, total: NDArray[np.float64]) -> None:
        """Move the common parameters, and remember what shards have to be told."""
        rate, momentum = self._exchange.rate, self._exchange.momentum
        if momentum:
            self._velocity = momentum * self._velocity + total
            total = total + momentum * self._velocity
        flat = (rate * total).astype(self.progress.params.dtype)
        if self._residual.size:
            flat[: self._n] += self._residual
        step = (self.progress.seed, self._n_rounds)
        update = written_out(self._exchange.quantizer, flat, self._n, *step)
        if self._residual.size:
            told = read(self._exchange.quantizer, update, flat, self._n)[0]
            self._residual = flat[: self._n] - told
        add(self._exchange.quantizer, update, self.progress.params, self._n)
        self._n_rounds += 1
        self._sent += float(len(update) * len(self._shards))
        for missed in self._missed:
            missed.append(update)


class _Tasks:
    """Tasks on a cluster's workers."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster, self._number = cluster, 0
        cluster.look()

    def submit(self, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return the result to come of a function, whose arguments may be such."""
        self._number += 1
        key = f"fastgd-{name}-{os.getpid()}-{id(self):x}-{self._number}"
        with saying_lost():
            return self._cluster.client.submit(function, *arguments, key=key, pure=False)

    def computed(self, pairs: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
        """Let partitions be computed where they are; what loads several is done once."""
        with saying_lost():
            flat = self._cluster.client.compute([part for pair in pairs for part in pair])
        return list(zip(flat[::2], flat[1::2], strict=True))

    def wait(self, futures: list[Any], seconds: float | None) -> list[bool]:
        """Wait for all, or so many seconds and for the first; return which are there."""
        from distributed import wait

        try:
            self._cluster.ask(wait, futures, timeout=seconds)
        except TimeoutError:
            self._cluster.ask(wait, futures, return_when="FIRST_COMPLETED")
        self._cluster.warn_of_lost(stacklevel=9)
        return [future.done() for future in futures]

    def get(self, futures: list[Any]) -> list[Any]:
        """Return results."""
        found: list[Any] = self._cluster.ask(self._cluster.client.gather, futures)
        return found


class _Threads:
    """Tasks in threads of this process."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(os.cpu_count(), "fastgd-rounds")

    def submit(self, name: str, function: Callable[..., Any], *arguments: Any) -> Any:  # noqa: ARG002
        """Return the result to come of a function, whose arguments may be such."""
        return self._pool.submit(_called, function, arguments)

    def computed(self, pairs: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
        """Compute partitions: they are in this process's memory during the fit."""
        found: tuple[Any, ...] = dask.compute(*pairs)
        return list(found)

    def wait(self, futures: list[Any], seconds: float | None) -> list[bool]:
        """Wait for all, or so many seconds and for the first; return which are there."""
        if not wait_for(futures, seconds).done:
            wait_for(futures, return_when="FIRST_COMPLETED")
        return [future.done() for future in futures]

    def get(self, futures: list[Any]) -> list[Any]:
        """Return results."""
        return [future.result() for future in futures]


def _called(function: Callable[..., Any], arguments: Sequence[Any]) -> Any:
    """Call a function with what may be results to come."""
    return function(*(a.result() if hasattr(a, "add_done_callback") else a for a in arguments))


def _same(work: Work) -> Work:
    return work
