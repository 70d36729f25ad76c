"""An epoch: the time of one pass over the rows, without stopping rules or set-up of a fit.

``track_throughput`` is the one figure that is better when larger; asv does not know that.
"""

import numpy as np

from fastgd import SGDClassifier

from .common import Timed, arrays_of, csr, dense, fastest, read

BATCH_SIZES = [1, 64]


class Epoch(Timed):
    """What all epochs measure; a subclass says on which rows. (It has no ``setup``: not run.)"""

    def start(self, X, y, **settings):
        self.X = X
        self.model = SGDClassifier(loss="log_loss", random_state=0, **settings)
        self.model.partial_fit(X, y, classes=np.unique(y))  # compiles
        self.epoch = lambda: self.model.partial_fit(X, y)


class _Throughput:
    """How fast an epoch reads X, and how that compares with reading and nothing else."""

    def track_throughput(self, *_):
        (epoch,) = fastest(self.epoch)
        return sum(array.nbytes for array in arrays_of(self.X)) / epoch

    def track_times_of_reading(self, *_):
        epoch, floor = fastest(self.epoch, lambda: read(self.X))
        return epoch / floor

    track_throughput.unit = "bytes/s"
    track_times_of_reading.unit = "times a plain sum over X"


class DenseEpoch(Epoch, _Throughput):
    """Dense float32 rows, narrow and wide; neither set fits the cache."""

    params = ([(200_000, 54), (20_000, 784)], BATCH_SIZES)
    param_names = ("shape", "batch_size")

    def setup(self, shape, batch_size):
        self.start(*dense(*shape), batch_size=batch_size)

    def time_epoch(self, *_):
        self.epoch()


class LargeBatches(Epoch):
    """Batches that two threads share; one thread computes the same shards."""

    params = ([4096, "full"], [1, 2])
    param_names = ("batch_size", "n_jobs")

    def setup(self, batch_size, n_jobs):
        self.start(*dense(200_000, 54), batch_size=batch_size, n_jobs=n_jobs)

    def time_epoch(self, *_):
        self.epoch()


class CSREpoch(Epoch, _Throughput):
    """Text-like rows: 80 columns of 262,144 each."""

    params = (BATCH_SIZES, ["l2", "l1"])
    param_names = ("batch_size", "penalty")

    def setup(self, batch_size, penalty):
        self.start(*csr(30_000, 2**18, 80), batch_size=batch_size, penalty=penalty)

    def time_epoch(self, *_):
        self.epoch()


class Optimizers(Epoch):
    """Each optimizer, on the rows that make its own cost show most."""

    params = (["sgd", "momentum", "adam"], ["dense", "csr"])
    param_names = ("optimizer", "layout")

    def setup(self, optimizer, layout):
        data = dense(100_000, 54) if layout == "dense" else csr(10_000, 2**18, 80)
        self.start(*data, batch_size=64, optimizer=optimizer)

    def time_epoch(self, *_):
        self.epoch()


class Softmax(Epoch):
    """Ten classes in one pass over X."""

    params = (["multinomial", "ovr"], BATCH_SIZES)
    param_names = ("multi_class", "batch_size")

    def setup(self, multi_class, batch_size):
        X, y = dense(20_000, 54, n_classes=10)
        self.start(X, y, multi_class=multi_class, batch_size=batch_size)

    def time_epoch(self, *_):
        self.epoch()
