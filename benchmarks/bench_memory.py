"""Memory of a fit beyond its data: there must be no copy of X, and little for each row."""

import tracemalloc

from fastgd import SGDClassifier

from .common import csr, dense


class Memory:
    """Peaks over a fit, for dense and CSR rows, visited in order and shuffled."""

    timeout = 600
    params = (["dense", "csr"], [False, True])
    param_names = ("layout", "shuffle")

    def setup(self, layout, shuffle):
        self.X, self.y = dense(1_000_000, 20) if layout == "dense" else csr(200_000, 2**14, 20)
        self.model = SGDClassifier(
            loss="log_loss", batch_size=64, shuffle=shuffle, max_iter=2, tol=None, random_state=0
        )
        self.model.fit(self.X[:1000], self.y[:1000])  # compiles

    def peakmem_fit(self, layout, shuffle):
        """The process as a whole, data and imports included."""
        self.model.fit(self.X, self.y)

    def track_extra_bytes_per_row(self, layout, shuffle):
        """What numpy and the kernels allocate, as tracemalloc sees it."""
        tracemalloc.start()
        try:
            self.model.fit(self.X, self.y)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        return peak / self.X.shape[0]

    track_extra_bytes_per_row.unit = "bytes/row"
