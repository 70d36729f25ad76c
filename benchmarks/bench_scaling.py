"""How the time of an epoch grows: with rows, features, non-zeros, classes and threads.

The dashboard draws a curve over the parameter. Dense epochs should grow in proportion to
n_samples x n_features, sparse ones to the non-zeros alone.
"""

import os
import time
from concurrent.futures import ThreadPoolExecutor

from fastgd import SGDClassifier

from .bench_kernels import Epoch
from .common import csr, dense, fastest


class Samples(Epoch):
    """n doubles, twice."""

    params = [25_000, 50_000, 100_000, 200_000]
    param_names = ("n_samples",)

    def setup(self, n_samples):
        self.start(*dense(n_samples, 50), batch_size=64)

    def time_epoch(self, _):
        self.epoch()


class Features(Epoch):
    """As many numbers in X, in rows of 10 to 1,250."""

    params = [10, 50, 250, 1_250]
    param_names = ("n_features",)

    def setup(self, n_features):
        self.start(*dense(5_000_000 // n_features, n_features), batch_size=64)

    def time_epoch(self, _):
        self.epoch()


class NonZeros(Epoch):
    """As many rows and columns, 10 to 160 of them filled."""

    params = [10, 40, 160]
    param_names = ("nonzeros_per_row",)

    def setup(self, per_row):
        self.start(*csr(20_000, 2**18, per_row), batch_size=1)

    def time_epoch(self, _):
        self.epoch()


class Classes(Epoch):
    """A softmax over 3 to 48 classes."""

    params = [3, 12, 48]
    param_names = ("n_classes",)

    def setup(self, n_classes):
        self.start(*dense(20_000, 50, n_classes), batch_size=64)

    def time_epoch(self, _):
        self.epoch()


class Threads:
    """Fits that run at once in threads of one process, as scikit-learn's ``n_jobs`` runs them.

    Kernels let go of the interpreter's lock, so k fits on k processors take the time of one.
    """

    timeout = 600
    params = [1, 2, 4, 8]
    param_names = ("threads",)

    def setup(self, threads):
        if threads > len(os.sched_getaffinity(0)):
            raise NotImplementedError("there are not as many processors")
        self.X, self.y = dense(50_000, 50)
        self.fit()  # compiles

    def fit(self, _=None):
        kwargs = {"loss": "log_loss", "batch_size": 64, "random_state": 0}
        SGDClassifier(max_iter=5, tol=None, **kwargs).fit(self.X, self.y)

    def track_time_over_one_fit(self, threads):
        with ThreadPoolExecutor(threads) as pool:
            calls = (lambda: list(pool.map(self.fit, range(threads))), self.fit)
            at_once, alone = fastest(*calls, clock=time.perf_counter)
        return at_once / alone

    track_time_over_one_fit.unit = "times one fit alone"
