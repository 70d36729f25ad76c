"""Fits and predictions on real data, as a user waits for them, and what they reach."""

from fastgd import LinearRegression, LogisticRegression, SGDClassifier, SGDRegressor

from .common import Timed
from .data import load

SGD = {"alpha": 1e-3, "random_state": 0}
MODELS = {
    "SGDRegressor on diabetes": ("diabetes", SGDRegressor(**SGD)),
    "logistic SGD on breast cancer": ("breast_cancer", SGDClassifier(loss="log_loss", **SGD)),
    "softmax SGD on digits": ("digits", SGDClassifier(loss="log_loss", **SGD)),
    "LogisticRegression on digits": ("digits", LogisticRegression()),
    "LogisticRegression on flights": ("nycflights_cls", LogisticRegression()),
    "LinearRegression on flights": ("nycflights_reg", LinearRegression()),
}
MOST_ROWS = 50_000


class Fit(Timed):
    """Whole fits, of standardised columns."""

    params = list(MODELS)
    param_names = ("model",)

    def setup_cache(self):
        """Join and encode the tables once."""
        return {name: data_of(name) for name in {data for data, _ in MODELS.values()}}

    def setup(self, sets, name):
        data, self.model = MODELS[name]
        self.X, self.y = sets[data]
        self.model.fit(self.X, self.y)  # compiles

    def time_fit(self, sets, name):
        self.model.fit(self.X, self.y)

    def track_iterations(self, sets, name):
        return float(self.model.n_iter_)

    def track_training_error(self, sets, name):
        """1 - R2 or 1 - accuracy: asv takes larger for worse."""
        return 1 - self.model.score(self.X, self.y)

    track_iterations.unit = "iterations"
    track_training_error.unit = "1 - score"


class Digits(Timed):
    """Predictions, of all rows and of one, where only the overhead shows; and one more epoch."""

    def setup(self):
        self.X, self.y = data_of("digits")
        self.model = SGDClassifier(loss="log_loss", random_state=0).fit(self.X, self.y)

    def time_predict(self):
        self.model.predict(self.X)

    def time_predict_proba(self):
        self.model.predict_proba(self.X)

    def time_predict_one_row(self):
        self.model.predict_proba(self.X[:1])

    def time_partial_fit(self):
        self.model.partial_fit(self.X, self.y)


def data_of(name):
    """Return some rows of a data set."""
    X, y = load(name, standardise=True)
    return X[:MOST_ROWS], y[:MOST_ROWS]
