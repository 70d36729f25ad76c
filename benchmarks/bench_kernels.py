"""An epoch: the time of one pass over the rows, without stopping rules or set-up of a fit."""

import numpy as np

from fastgd import SGDClassifier

from .common import Timed, csr, dense

BATCH_SIZES = [1, 64]


class _Epoch(Timed):
    def start(self, X, y, **settings):
        self.X, self.y = X, y
        self.model = SGDClassifier(loss="log_loss", random_state=0, **settings)
        self.model.partial_fit(X, y, classes=np.unique(y))  # compiles

    def time_epoch(self, *_):
        self.model.partial_fit(self.X, self.y)


class DenseEpoch(_Epoch):
    """Dense float32 rows, from memory (54 features) and nearly from cache (784)."""

    params = ([(200_000, 54), (20_000, 784)], BATCH_SIZES)
    param_names = ("shape", "batch_size")

    def setup(self, shape, batch_size):
        self.start(*dense(*shape), batch_size=batch_size)


class CSREpoch(_Epoch):
    """Text-like rows: 80 columns of 262,144 each."""

    params = (BATCH_SIZES, ["l2", "l1"])
    param_names = ("batch_size", "penalty")

    def setup(self, batch_size, penalty):
        self.start(*csr(50_000, 2**18, 80), batch_size=batch_size, penalty=penalty)


class Optimizers(_Epoch):
    """Each optimizer, on the rows that make its own cost show most."""

    params = (["sgd", "momentum", "adam"], ["dense", "csr"])
    param_names = ("optimizer", "layout")

    def setup(self, optimizer, layout):
        data = dense(100_000, 54) if layout == "dense" else csr(20_000, 2**18, 80)
        self.start(*data, batch_size=64, optimizer=optimizer)


class Softmax(_Epoch):
    """Ten classes in one pass over X."""

    params = (["multinomial", "ovr"], BATCH_SIZES)
    param_names = ("multi_class", "batch_size")

    def setup(self, multi_class, batch_size):
        X, y = dense(20_000, 54, n_classes=10)
        self.start(X, y, multi_class=multi_class, batch_size=batch_size)
