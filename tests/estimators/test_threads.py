"""Threads change how long a fit takes, and nothing else."""

import contextlib
import multiprocessing
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pytest
from threadpoolctl import threadpool_info

from fastgd import LinearRegression, LinearSVC, LogisticRegression, SGDClassifier
from fastgd._runtime import threads as _threads
from fastgd._runtime.threads import (
    _blas_libraries,
    _set_threads,
    in_threads,
    n_threads,
    one_blas_thread,
    threads,
)


@pytest.fixture
def processors(monkeypatch):
    """A machine of eight processors, with no limit in its environment."""
    monkeypatch.setattr(_threads, "_processors", lambda _process: 8)
    for name in _threads.LIMITS:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.mark.usefixtures("processors")
@pytest.mark.parametrize(
    ("n_jobs", "allowed"), [(None, 8), (1, 1), (3, 3), (20, 20), (-1, 8), (-2, 7), (-99, 1)]
)
def test_n_jobs(n_jobs, allowed):
    assert n_threads(n_jobs) == allowed


@pytest.mark.parametrize(
    ("name", "value", "allowed"), [("OMP", "2", 2), ("NUMBA", "1", 1), ("FASTGD", "3", 3)]
)
def test_the_environment_limits_what_was_not_asked_for(processors, name, value, allowed):
    processors.setenv(f"{name}_NUM_THREADS", value)
    assert n_threads(None) == allowed
    assert n_threads(5) == 5


@pytest.mark.usefixtures("processors")
def test_joblib_says_what_none_is():
    for asked, allowed in ((1, 1), (2, 2), (-1, 8), (-2, 7)):
        with joblib.parallel_config(n_jobs=asked):
            assert n_threads(None) == allowed
            assert n_threads(5) == 5
    with joblib.parallel_config(backend="threading"):  # which says nothing of how many
        assert n_threads(None) == 8


def test_a_thread_of_joblib_s_is_one_of_several_jobs(processors):
    with joblib.parallel_config(backend="threading", n_jobs=2):
        found = joblib.Parallel()(joblib.delayed(n_threads)(None) for _ in range(4))
    assert found == [1] * 4
    alone = joblib.Parallel(n_jobs=1)(joblib.delayed(n_threads)(None) for _ in range(2))
    assert alone == [8] * 2
    processors.setenv("OMP_NUM_THREADS", "3")  # as joblib's processes find it
    assert n_threads(None) == 3


def test_a_limit_that_is_no_number_is_none(processors):
    processors.setenv("OMP_NUM_THREADS", "4,2")
    assert n_threads(None) == 8


def test_no_jobs_is_refused():
    with pytest.raises(ValueError, match=r"n_jobs must be .* got 0"):
        LogisticRegression(n_jobs=0).fit([[0.0], [1.0]], [0, 1])


@pytest.mark.parametrize("n_jobs", [1, 2, 7])
def test_results_come_in_the_order_of_their_arguments(n_jobs):
    with threads(n_jobs):
        assert in_threads(lambda a, b: a - b, range(20), range(0, 40, 2)) == [-k for k in range(20)]


def test_tasks_within_tasks_run_in_the_same_thread():
    """If they waited for a place among the threads, all would wait for ever."""

    def outer(_):
        return {threading.get_ident(), *in_threads(lambda _: threading.get_ident(), range(4))}

    with threads(2):
        assert {len(seen) for seen in in_threads(outer, range(8))} == {1}


def test_a_fit_within_a_task_has_the_task_s_thread():
    def outer(_):
        with threads(None):
            return {threading.get_ident(), *in_threads(lambda _: threading.get_ident(), range(4))}

    with threads(2):
        assert {len(seen) for seen in in_threads(outer, range(8))} == {1}


def test_an_error_in_a_thread_reaches_the_caller():
    with threads(2), pytest.raises(ZeroDivisionError):
        in_threads(lambda k: 1 / k, range(3))
    with threads(2):
        assert in_threads(lambda k: k, range(3)) == [0, 1, 2]


@pytest.fixture(scope="module")
def wide():
    """Data large enough for shards."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60_000, 20))
    return X, X @ rng.normal(size=(20, 3)) + rng.normal(size=(60_000, 3))


@pytest.mark.parametrize("targets", [1, 3])
def test_the_same_model_whatever_n_jobs_is(wide, targets):
    X, y = wide[0], wide[1][:, :targets]
    models = [LinearRegression(n_jobs=n_jobs).fit(X, y) for n_jobs in (1, 2, 5, None)]
    for model in models[1:]:
        np.testing.assert_array_equal(model.coef_, models[0].coef_)
        np.testing.assert_array_equal(model.intercept_, models[0].intercept_)
    assert models[0].score(X, y) > 0.7


def test_the_same_classifier_whatever_n_jobs_is(wide):
    X, y = wide[0], wide[1][:, 0] > 0
    models = [LogisticRegression(n_jobs=n_jobs).fit(X, y) for n_jobs in (1, 2, 5)]
    for model in models[1:]:
        np.testing.assert_array_equal(model.coef_, models[0].coef_)


def test_one_vs_rest_in_threads_is_that_of_one_thread(monkeypatch, wide):
    X, y = wide[0][:3000], wide[1][:3000].argmax(axis=1)
    found = []
    for limit in ("1", "3"):
        monkeypatch.setenv("OMP_NUM_THREADS", limit)
        monkeypatch.setattr(_threads, "_processors", lambda _process: 3)
        random_state = np.random.RandomState(0)  # drawn from in turn, not in the threads' order
        found.append(LinearSVC(random_state=random_state).fit(X, y).coef_)
    np.testing.assert_array_equal(*found)


def _score(n_jobs, X, y):
    return LinearRegression(n_jobs=n_jobs).fit(X, y).score(X, y)


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_under_joblib(backend, wide):
    X, y = wide[0], wide[1][:, 0]
    calls = (joblib.delayed(_score)(n_jobs, X, y) for n_jobs in (1, 2, None, 2))
    assert len(set(joblib.Parallel(n_jobs=2, backend=backend)(calls))) == 1


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.skipif(sys.platform == "darwin", reason="Accelerate does not survive a fork")
def test_after_a_fork(wide):
    X, y = wide[0], wide[1][:, 0]
    expected = _score(2, X, y)  # the parent's threads exist, and the child must not wait for them
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply_async(_score, (2, X, y)).get(timeout=120) == expected


# -- BLAS ---------------------------------------------------------------------------------------


def blas():
    return [info["num_threads"] for info in threadpool_info() if info["user_api"] == "blas"]


@pytest.fixture
def blas_of_three():
    """BLAS on three threads, whatever the machine has."""
    before = [(library, library.num_threads) for library in _blas_libraries()]
    for library, _ in before:
        _set_threads(library, 3)
    yield blas()
    for library, n in before:
        _set_threads(library, n)


def test_blas_gets_its_threads_back(blas_of_three):
    assert set(blas_of_three) == {3}
    with one_blas_thread():
        assert set(blas()) == {1}
        with one_blas_thread():
            assert set(blas()) == {1}
        assert set(blas()) == {1}
    assert blas() == blas_of_three
    with pytest.raises(ZeroDivisionError), one_blas_thread():
        1 / 0  # noqa: B018
    assert blas() == blas_of_three


@pytest.mark.parametrize("order", ["first out", "last out", "by chance"])
def test_blas_gets_its_threads_back_from_the_last_of_many(order, blas_of_three, rng):
    n = 12
    turns = {"first out": range(n), "last out": range(n)[::-1], "by chance": rng.permutation(n)}
    inside, leave = threading.Barrier(n + 1), [threading.Event() for _ in range(n)]

    def hold(k):
        with contextlib.suppress(ArithmeticError), one_blas_thread():
            inside.wait()
            leave[k].wait()
            if k % 3 == 0:
                raise ArithmeticError

    workers = [threading.Thread(target=hold, args=[k]) for k in range(n)]
    for worker in workers:
        worker.start()
    inside.wait()
    for k in turns[order]:
        assert set(blas()) == {1}
        leave[k].set()
        workers[k].join()
    assert blas() == blas_of_three


def test_blas_gets_its_threads_back_from_overlapping_fits(blas_of_three):
    """Of all kinds of estimators, some of which fail."""
    X = np.random.default_rng(0).normal(size=(60, 3))
    y = (X[:, 0] > 0).astype(int)
    models = [
        *(LogisticRegression(C=10.0**k) for k in range(8)),
        *(SGDClassifier(random_state=k, max_iter=50, tol=None) for k in range(8)),
        *(LinearRegression() for _ in range(4)),
    ]

    def fit(model, targets):
        with contextlib.suppress(ValueError):
            model.fit(X, targets)

    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            list(pool.map(fit, models, [y, 0 * y, y, y] * 5))
    assert blas() == blas_of_three


def test_what_someone_else_sets_meanwhile_stays(blas_of_three):  # noqa: ARG001
    with one_blas_thread():
        for library in _blas_libraries():
            _set_threads(library, 2)
    assert set(blas()) == {2}


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.skipif(sys.platform == "darwin", reason="Accelerate does not survive a fork")
@pytest.mark.parametrize("holder", ["the thread that forks", "another thread"])
def test_a_fork_during_a_fit_has_all_blas_threads(holder, blas_of_three):
    context = multiprocessing.get_context("fork")
    seen, ended = context.SimpleQueue(), []

    def child():
        seen.put(blas())
        with one_blas_thread():
            seen.put(blas())
        seen.put(blas())

    def fork():
        process = context.Process(target=child)
        process.start()
        process.join(60)
        ended.append(process.exitcode)

    with one_blas_thread():
        if holder == "another thread":
            worker = threading.Thread(target=fork)
            worker.start()
            worker.join()
        else:
            fork()
        assert set(blas()) == {1}  # the parent's fit goes on
    assert ended == [0]
    assert [seen.get() for _ in range(3)] == [blas_of_three, [1] * len(blas()), blas_of_three]
    assert blas() == blas_of_three
