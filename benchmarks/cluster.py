"""How fits on a cluster scale: a simulator of workers on a network, checked against a real one.

    python benchmarks/cluster.py --calibrate           # this machine's rates and passes, to a file
    python benchmarks/cluster.py --check               # beside a LocalCluster of two processes
    python benchmarks/cluster.py --rows 1e9 --workers 10 100 1000
    python benchmarks/cluster.py --plot docs/figures/scaling.svg

Algorithms: "newton" (sums of loss, gradient and Hessian), "lbfgs" (loss and gradient), "local"
(local steps and one exchange an epoch) and "batch" (an exchange after each batch). A round is
simulated message by message: the scheduler hands out tasks one after the other, workers differ in
speed at random, the client's network takes one answer after the other, and sums go up a tree.
Rounds of a fit are alike, so some are simulated and their mean counts for all. Passes are preceded
by a first look at the columns, which brings a sample to the client.
"""

import argparse
import contextlib
import functools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

CALIBRATION = Path(__file__).parent / "cluster.json"
FAN_IN, SIMULATED = 8, 20
BATCH = 64
PIECES = 20  # exchanges an epoch of what is checked
REST = 0.05  # seconds between tasks
PASSES = ("newton", "lbfgs", "look")
ALGORITHMS = ("newton", "lbfgs", "local", "batch")


class Network(NamedTuple):
    """What lies between processes.

    latency : float, seconds of a message
    bandwidth : float, bytes a second of each process
    task : float, seconds that the scheduler spends on a task
    jitter : float, standard deviation of the logarithm of a task's time
    sum : float, seconds that the client spends on a sum: on its graph, and on packing what is sent
    exchange : float, likewise on an exchange of local steps: on tasks that wait for each other, and
        on asking for what they return
    """

    latency: float = 5e-4
    bandwidth: float = 1.25e9  # 10 Gbit/s
    task: float = 3e-4
    jitter: float = 0.1
    sum: float = 0.0
    exchange: float = 0.0


class Rates(NamedTuple):
    """Seconds of one core, for ``columns`` float32 columns.

    newton, gradient, step : for a row of a pass with and without Hessian, and of steps
    look : for a row of the first look: columns' moments, classes, and the draw of a sample
    call : of a task's own preparations
    encode, decode : for an entry, at 4 bits
    add : for an entry of a sum
    """

    newton: float
    gradient: float
    step: float
    look: float
    call: float
    encode: float
    decode: float
    add: float
    columns: int = 50

    def scaled(self, columns: int) -> "Rates":
        """Return the rates for another number of columns: a Hessian costs their square."""
        wider = columns / self.columns
        return self._replace(
            newton=self.gradient * wider + (self.newton - self.gradient) * wider**2,
            gradient=self.gradient * wider,
            step=self.step * wider,
            look=self.look * wider,
            columns=columns,
        )


class Fit(NamedTuple):
    """A fit: the passes or epochs that each algorithm needs, and what local steps exchange.

    bits : int, of an exchanged entry
    exchanges : float, of local steps in an epoch
    sample : float, rows that the first look brings to the client
    """

    rows: float
    columns: int
    rounds: dict[str, float]
    bits: int = 32
    exchanges: float = 1.0
    sample: float = 200_000.0


def bytes_of(columns: int, bits: int) -> float:
    """Return the bytes of an encoded move: entries, scales of 512 of them, a header."""
    size = columns + 1
    return 4.0 * size if bits == 32 else 16.0 + size * bits / 8 + 4.0 * np.ceil(size / 512)


def served(arrivals: Any, each: float) -> float:
    """Return when the last of some messages is through a link that takes one after the other."""
    end = 0.0
    for arrival in np.sort(arrivals):
        end = max(end, arrival) + each
    return end


def tree(ready: Any, size: float, network: Network, rates: Rates) -> float:
    """Return when sums of 8 bytes an entry are at the root, added up 8 at a time."""
    while len(ready) > 1:
        moves = network.latency + size / network.bandwidth
        groups = [ready[k : k + FAN_IN] for k in range(0, len(ready), FAN_IN)]
        one = size / 8 * rates.add + network.task
        ready = np.array([served(g, moves) + len(g) * one for g in groups])
    return float(ready[0]) + network.latency + size / network.bandwidth


def sampled(fit: Fit, n_workers: int) -> float:
    """Return how many numbers of 8 bytes a worker's part of the sample is."""
    rows = min(1.5 * fit.sample / n_workers + 1000.0, fit.sample, fit.rows / n_workers)
    return rows * (fit.columns / 2 + 3.0)


def round_of(
    algorithm: str, fit: Fit, n_workers: int, network: Network, rates: Rates, random: Any
) -> float:
    """Simulate a round; return its seconds."""
    size, rows = fit.columns + 1, fit.rows / n_workers
    if algorithm == "local":
        rows /= fit.exchanges
    speed = random.lognormal(0.0, network.jitter, n_workers)
    is_pass = algorithm in PASSES
    sent = 8.0 * size if is_pass else bytes_of(fit.columns, fit.bits)
    # a task for each worker, which the scheduler and the client's link hand out one by one
    n_tasks = 1 if is_pass else 2
    handed = (network.task * n_tasks + sent / network.bandwidth) * np.arange(1, n_workers + 1)
    of_pass = {"newton": rates.newton, "lbfgs": rates.gradient, "look": rates.look}
    of_row = of_pass.get(algorithm, rates.step)
    work = (BATCH if algorithm == "batch" else rows) * of_row + rates.call
    if not is_pass and fit.bits < 32:
        work += size * (rates.encode + rates.decode)
    ready = handed + network.latency + work * speed
    if is_pass:
        n_sent = {"newton": size * (size + 1.0), "look": sampled(fit, n_workers)}
        return network.sum + tree(ready, 8.0 * n_sent.get(algorithm, size), network, rates)
    each = sent / network.bandwidth + size * (rates.decode if fit.bits < 32 else rates.add)
    return network.exchange + served(ready + network.latency, each)


def simulate(
    algorithm: str, fit: Fit, n_workers: int, network: Network, rates: Rates, seed: int = 0
) -> float:
    """Return the seconds of a fit."""
    random, own = np.random.default_rng(seed), rates.scaled(fit.columns)
    n_rounds = fit.rounds[algorithm]
    if algorithm == "batch":  # of an epoch: as many as batches
        n_rounds *= max(fit.rows / n_workers / BATCH, 1.0)
    if algorithm == "local":
        n_rounds *= fit.exchanges
    n_simulated = int(np.clip(n_rounds, 1, SIMULATED))
    one = [round_of(algorithm, fit, n_workers, network, own, random) for _ in range(n_simulated)]
    look = round_of("look", fit, n_workers, network, own, random) if algorithm in PASSES else 0.0
    return float(np.mean(one)) * n_rounds + look


# -- this machine -------------------------------------------------------------------------------


def table(n_rows: int, columns: int, seed: int = 7) -> tuple[Any, Any]:
    """Return rows of columns that go along with each other, labels by a logistic model."""
    random = np.random.default_rng(seed)
    X = random.standard_normal((n_rows, columns), np.float32)
    X[:, 1:] += 0.3 * X[:, :-1]
    coef = random.normal(size=columns).astype(np.float32) / np.sqrt(columns)
    return X, (X @ coef * 2.0 + random.logistic(size=n_rows) > 0.0).astype(np.int64)


def seconds_of(work: Callable[[], Any], n_times: int = 5) -> float:
    """Return the least processor time of some calls, with one thread."""
    return min(times_of(work, n_times, time.process_time))


def times_of(
    work: Callable[[], Any], n_times: int, clock: Callable[[], float], rest: float = 0.0
) -> list[float]:
    """Return what a clock says of some calls, with one thread; the first one is not counted.

    A process that has slept for ``rest`` seconds, as a worker does between tasks, is let at a core
    before others that have not.
    """
    from fastgd._runtime.threads import one_blas_thread, threads

    found = []
    with one_blas_thread(), threads(1):
        work()
        for _ in range(n_times):
            time.sleep(rest)
            started = clock()
            work()
            found.append(clock() - started)
    return found


def calibrated(columns: int = 50, n_rows: int = 100_000) -> tuple[Rates, dict[str, float]]:
    """Return this machine's rates, and the rounds that algorithms need on such rows."""
    rates, n_passes = measured_rates(seconds_of, columns, n_rows)
    X, y = table(n_rows, columns)
    return rates, {"newton": n_passes, **rounds_needed(X[:20_000], y[:20_000])}


def measured_rates(
    seconds: Callable[[Callable[[], Any]], float], columns: int, n_rows: int
) -> tuple[Rates, float]:
    """Return the rates that a clock finds, and the passes of a fit of such rows."""
    import fastgd
    from fastgd._data.shards import Rows
    from fastgd._solvers import _sharded
    from fastgd._solvers._shard_sums import look_at, sums_at
    from fastgd.datasets import open as open_rows
    from fastgd.kernels.transforms import Qsgd, decode, encode

    X, y = table(n_rows, columns)
    seen: dict[str, Any] = {}

    class Looking(_sharded.Descent):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            seen.update(frame=self.frame, u=self.here.point.u)

    of_ours, _sharded.Descent = _sharded.Descent, Looking  # type: ignore[misc]
    rows_of_sample, _sharded.SAMPLE_ROWS = _sharded.SAMPLE_ROWS, 20_000
    try:
        model = fastgd.LogisticRegression().fit(open_rows((X, y), chunk_rows=20_000))
    finally:
        _sharded.Descent = of_ours  # type: ignore[misc]
        _sharded.SAMPLE_ROWS = rows_of_sample
    frame, u = seen["frame"], seen["u"]
    steps = fastgd.SGDClassifier(
        loss="log_loss", batch_size=BATCH, max_iter=1, tol=None, random_state=0
    )
    call = seconds(lambda: steps.fit(X[: 2 * BATCH], y[: 2 * BATCH]))
    values = np.random.default_rng(0).normal(size=1 << 18).astype(np.float32)
    content = encode(Qsgd(4), values, 0, 0)
    rates = Rates(
        seconds(lambda: sums_at(Rows(X, y), frame, u, True)) / n_rows,
        seconds(lambda: sums_at(Rows(X, y), frame, u, False)) / n_rows,
        max(seconds(lambda: steps.fit(X, y)) - call, 0.0) / n_rows,
        seconds(lambda: look_at(Rows(X, y), frame.kind)) / n_rows,
        call,
        seconds(lambda: encode(Qsgd(4), values, 0, 0)) / values.size,
        seconds(lambda: decode(Qsgd(4), content, values.size, values.dtype)) / values.size,
        seconds(lambda: values + values) / values.size,
        columns,
    )
    return rates, 1.0 + model.n_iter_[0]


def rounds_needed(X: Any, y: Any) -> dict[str, float]:
    """Return how many passes or epochs reach a loss within 1e-3 of the optimum's."""
    import dask
    from scipy.optimize import minimize

    import fastgd
    from fastgd import distributed

    best = fastgd.LogisticRegression(C=np.inf, tol=1e-8).fit(X, y)
    target = loss_of(best.coef_[0], best.intercept_[0], X, y) * (1 + 1e-3)
    wide = (X * np.geomspace(1e-2, 1e2, X.shape[1])).astype(np.float64)  # as they come
    n_calls = [0]

    class Reached(Exception):
        pass

    def objective(rows: Any, w: Any) -> tuple[float, Any]:
        n_calls[0] += 1
        raw = rows @ w[:-1] + w[-1]
        residual = 1.0 / (1.0 + np.exp(-raw)) - y
        value = float(np.mean(np.logaddexp(0.0, raw) - y * raw))
        if value <= target:
            raise Reached
        return value, np.r_[rows.T @ residual, residual.sum()] / len(y)

    found = {}
    for name, rows in (("lbfgs", X.astype(np.float64)), ("lbfgs, raw columns", wide)):
        n_calls[0] = 0
        with contextlib.suppress(Reached):
            minimize(
                functools.partial(objective, rows),
                np.zeros(X.shape[1] + 1),
                jac=True,
                method="L-BFGS-B",
                options={"maxiter": 1000, "maxfun": 1000, "ftol": 0.0, "gtol": 0.0},
            )
        found[name] = float(n_calls[0])
    parts = [[dask.delayed(part) for part in np.array_split(a, 8)] for a in (X, y)]
    for name, arguments in (("local", {"rounds": 1}), ("batch", {"rounds": "batch"})):
        epochs: list[int] = []

        def reached(view: Any, epochs: list[int] = epochs) -> bool:
            epochs.append(view.epoch)
            return bool(loss_of(view.coef_[0], view.intercept_[0], X, y) <= target)

        model = fastgd.SGDClassifier(
            loss="log_loss", batch_size=BATCH, learning_rate="invscaling", eta0=0.5, alpha=0.0,
            max_iter=50, tol=None, random_state=0, callbacks=[reached],
        )  # fmt: skip
        distributed.fit(model, *parts, momentum=0.0, **arguments)
        found[name] = float(epochs[-1])
    return found


def loss_of(coef: Any, intercept: float, X: Any, y: Any) -> float:
    """Return the mean logistic loss."""
    raw = X @ coef + intercept
    return float(np.mean(np.logaddexp(0.0, raw) - y * raw))


def rates_of_workers(client: Any, columns: int, n_rows: int) -> tuple[Rates, float]:
    """Return what workers take now, all at work on so many rows each, and the jitter of that.

    These are seconds of a clock on the wall: what a task waits for a core that others use counts.
    """

    def measured() -> tuple[Rates, float]:
        spread: list[float] = []

        def seconds(work: Callable[[], Any]) -> float:
            found = times_of(work, 5, time.perf_counter, REST)
            spread.append(float(np.std(np.log(found))))
            return float(np.mean(found))

        rates, _ = measured_rates(seconds, columns, n_rows)
        return rates, float(np.median(spread))

    own = [client.submit(measured, workers=[w], pure=False) for w in client.nthreads()]
    found = client.gather(own)
    rates = Rates(*np.mean([one[0] for one in found], axis=0).tolist())
    return rates._replace(columns=columns), float(np.mean([one[1] for one in found]))


def measured_network(client: Any) -> Network:
    """Return what lies between this process and a cluster's workers."""

    def answered(work: Callable[[], Any]) -> float:
        work()
        found = []
        for _ in range(5):
            started = time.perf_counter()
            work()
            found.append(time.perf_counter() - started)
        return float(np.median(found))

    def tasks(n: int) -> float:
        def run() -> None:
            client.gather(client.map(lambda k: k, range(n), pure=False))

        return answered(run)

    one, many = tasks(1), tasks(200)
    big = np.zeros(1 << 22)
    echo = answered(lambda: client.submit(lambda n: np.zeros(n), big.size, pure=False).result())
    task = (many - one) / 199
    return Network(one / 2, big.nbytes / max(echo - one, 1e-4), task)


def seconds_of_a_sum(shards: Any) -> float:
    """Return the mean time of a sum of nothing, over a cluster's partitions."""
    return float(np.mean(times_of(lambda: shards.total(_nothing, _both), 5, time.perf_counter)))


def seconds_of_an_exchange(n_shards: int) -> float:
    """Return the mean time of an exchange after no steps, of states that stay on workers."""
    from fastgd._distributed.cluster import Cluster
    from fastgd._distributed.rounds import _Tasks

    tasks = _Tasks(Cluster())
    states = [tasks.submit("nothing", _as_it_is, k) for k in range(n_shards)]

    def taken() -> None:
        states[:] = [tasks.submit("nothing", _as_it_is, state) for state in states]
        sent = [tasks.submit("sent", _as_it_is, state) for state in states]
        tasks.wait(sent, None)
        tasks.get(sent)

    return float(np.mean(times_of(taken, 10, time.perf_counter)))


def _nothing(rows: Any) -> float:  # noqa: ARG001
    return 0.0


def _as_it_is(state: Any) -> Any:
    return state


def _both(first: float, second: float) -> float:
    return first + second


def conditions(client: Any, shards: Any, columns: int, n_rows: int) -> tuple[Network, Rates]:
    """Return what lies between processes now, and what workers take for so many rows each."""
    rates, jitter = rates_of_workers(client, columns, n_rows)
    network = measured_network(client)._replace(jitter=jitter)
    empty, random = Fit(0.0, 0, {}), np.random.default_rng(0)
    idle = rates._replace(call=0.0)
    known = [round_of(name, empty, 2, network, idle, random) for name in ("lbfgs", "local")]
    own = seconds_of_a_sum(shards), seconds_of_an_exchange(2)
    of_client = [max(seconds - part, 0.0) for seconds, part in zip(own, known, strict=True)]
    return network._replace(sum=of_client[0], exchange=of_client[1]), rates


class Checked(NamedTuple):
    """A real fit, and how the simulator is asked for it.

    name, bits : the algorithm, and the bits of an exchanged entry
    work : callable, fits; returns seconds and rounds
    algorithm, rows : what is simulated
    """

    name: str
    bits: int
    work: Callable[[], tuple[float, float]]
    algorithm: str
    rows: float


def checked_fits(dX: Any, dy: Any, n_rows: int) -> list[Checked]:
    """Return the fits that ``check`` compares."""
    import fastgd
    from fastgd import distributed

    def newton() -> tuple[float, float]:
        model = fastgd.LogisticRegression(tol=1e-3).fit(dX, dy)
        # the first entry has the seconds of the look as well
        return float(np.sum(model.history_["seconds"])), float(model.n_iter_[0]) + 1.0

    def local(n_pieces: int, bits: int) -> tuple[float, float]:
        steps = fastgd.SGDClassifier(
            loss="log_loss", batch_size=BATCH, max_iter=4, tol=None, random_state=0
        )
        distributed.fit(steps, dX, dy, quantize=None if bits == 32 else bits, rounds=n_pieces)
        seconds = steps.history_["seconds"][1:]  # the first epoch loads
        return float(np.sum(seconds)), float(len(seconds) * n_pieces)

    fits = [Checked("newton", 32, newton, "newton", n_rows)]
    for name, n_pieces in (("local", 1), ("batch", PIECES)):
        for bits in (32, 4):
            work = functools.partial(local, n_pieces, bits)
            fits.append(Checked(name, bits, work, "local", n_rows / n_pieces))
    return fits


def check(n_times: int = 3) -> None:
    """Print seconds of real fits on two processes, and what the simulator says of them.

    Conditions are measured before each of some repetitions.
    """
    import dask.array as da
    from distributed import Client, LocalCluster

    from fastgd._distributed.collections import DaskShards
    from fastgd._solvers import _sharded

    n_rows, columns = 400_000, 50
    X, y = table(n_rows, columns)
    half = n_rows // 2
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
    with LocalCluster(processes=True, **options) as cluster, Client(cluster) as client:
        dX, dy = client.persist(
            [da.from_array(X, chunks=(half, -1)), da.from_array(y, chunks=half)]
        )
        _sharded.SAMPLE_ROWS = 20_000
        fits = checked_fits(dX, dy, n_rows)
        for one in fits:  # what workers import and compile first is not in the model
            one.work()
        real, simulated = np.zeros((2, n_times, len(fits)))
        n_rounds = np.zeros(len(fits))
        for i, k in np.ndindex(real.shape):
            if k == 0:
                network, rates = conditions(client, DaskShards(dX, dy), columns, half)
                _print_conditions(network, rates)
            one = fits[k]
            real[i, k], n_rounds[k] = one.work()
            rounds = {one.algorithm: n_rounds[k]}
            fit = Fit(one.rows, columns, rounds, one.bits, sample=_sharded.SAMPLE_ROWS)
            simulated[i, k] = simulate(one.algorithm, fit, 2, network, rates)
    print(f"{'':10}{'bits':>6}{'rounds':>8}{'real s':>9}{'simulated':>11}{'ratio':>8}")
    for one, n, own, said in zip(fits, n_rounds, real.sum(0), simulated.sum(0), strict=True):
        figures = f"{own / n_times:9.2f}{said / n_times:11.2f}{said / own:8.2f}"
        print(f"{one.name:10}{one.bits:6d}{n:8.0f}{figures}")


def _print_conditions(network: Network, rates: Rates) -> None:
    """Print what was measured just before some fits."""
    of_messages = f"{network.latency * 1e3:.1f} ms, {network.bandwidth / 1e6:.0f} MB/s"
    of_tasks = f"{network.task * 1e3:.1f} ms a task, jitter {network.jitter:.2f}"
    of_client = f"{network.sum * 1e3:.0f} ms a sum, {network.exchange * 1e3:.0f} an exchange"
    of_rows = f"{rates.newton * 1e9:.0f} ns a row with Hessian, {rates.step * 1e9:.0f} of steps"
    print("; ".join([of_messages, of_tasks, of_client, of_rows]))


# -- tables and the plot --------------------------------------------------------------------------


def lines(fit: Fit, workers: list[int], network: Network, rates: Rates) -> dict[str, list[float]]:
    """Return seconds for each algorithm and numbers of workers."""
    found = {}
    for name in ALGORITHMS:
        for bits in (32, 4) if name in ("local", "batch") else (32,):
            label = name if name in ("newton", "lbfgs") else f"{name}, {bits} bits"
            own = fit._replace(bits=bits)
            found[label] = [simulate(name, own, w, network, rates) for w in workers]
    return found


def plot(path: str, rates: Rates, rounds: dict[str, float], network: Network) -> None:
    """Draw seconds against workers: for rows of 50 columns, and for a network of 1e7 weights."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    workers = np.unique(np.geomspace(1, 1000, 25).round().astype(int)).tolist()
    figure, places = plt.subplots(1, 3, figsize=(10.5, 3.6), layout="constrained")
    wide = Fit(1e6, 1_000_000, rounds, exchanges=100.0)
    cases = [
        ("1e7 rows x 50", Fit(1e7, 50, rounds), network),
        ("1e9 rows x 50", Fit(1e9, 50, rounds), network),
        ("1e6 rows, 1e6 weights, 1 Gbit/s", wide, network._replace(bandwidth=1.25e8)),
    ]
    for place, (title, fit, between) in zip(places, cases, strict=True):
        for label, seconds in lines(fit, workers, between, rates).items():
            if fit.columns > 1e4 and label in ("newton", "lbfgs"):
                continue
            dashes = "--" if label.endswith(", 4 bits") else "-"
            color = {"n": "C0", "l": "C1"}.get(label[0], "C3")
            color = "C2" if label.startswith("local") else color
            place.loglog(workers, seconds, dashes, color=color, label=label, lw=1.5)
        place.set(title=title, xlabel="workers")
        place.grid(alpha=0.3)
    places[0].set_ylabel("seconds")
    places[1].legend(fontsize=8)
    figure.savefig(path, metadata={"Date": None})
    print(f"wrote {path}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calibrate", action="store_true")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--plot", metavar="PATH")
    parser.add_argument("--rows", type=float, nargs="+", default=[1e7, 1e8, 1e9])
    parser.add_argument("--columns", type=int, default=50)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 10, 100, 1000])
    parser.add_argument("--latency", type=float, default=Network().latency, help="seconds")
    parser.add_argument("--bandwidth", type=float, default=Network().bandwidth, help="bytes/s")
    options = parser.parse_args()
    if options.calibrate or not CALIBRATION.exists():
        rates, rounds = calibrated()
        CALIBRATION.write_text(
            json.dumps({"rates": rates._asdict(), "rounds": rounds}, indent=1) + "\n"
        )
    known: dict[str, Any] = json.loads(CALIBRATION.read_text())
    rates, rounds = Rates(**known["rates"]), known["rounds"]
    network = Network(options.latency, options.bandwidth)
    print("rounds or epochs to a loss within 1e-3:", rounds)
    if options.check:
        check()
    elif options.plot:
        plot(options.plot, rates, rounds, network)
    else:
        for n_rows in options.rows:
            fit = Fit(n_rows, options.columns, rounds)
            print(f"\n{n_rows:g} rows x {options.columns}; seconds with {options.workers} workers")
            for label, seconds in lines(fit, options.workers, network, rates).items():
                print(f"  {label:16}" + "".join(f"{s:12.3g}" for s in seconds))


if __name__ == "__main__":
    main()
