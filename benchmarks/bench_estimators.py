"""A whole fit, as a user waits for it, and what it reaches."""

from sklearn import datasets
from sklearn.preprocessing import StandardScaler

from fastgd import SGDClassifier, SGDRegressor

from .common import Timed

MODELS = {
    "linear on diabetes": (datasets.load_diabetes, SGDRegressor, {}),
    "logistic on breast cancer": (
        datasets.load_breast_cancer,
        SGDClassifier,
        {"loss": "log_loss"},
    ),
    "softmax on digits": (datasets.load_digits, SGDClassifier, {"loss": "log_loss"}),
}


class Fit(Timed):
    """The models of ``fastgd demo``."""

    params = list(MODELS)
    param_names = ("model",)

    def setup(self, name):
        load, estimator, settings = MODELS[name]
        X, self.y = load(return_X_y=True)
        self.X = StandardScaler().fit_transform(X)
        self.model = estimator(alpha=1e-3, random_state=0, **settings)
        self.model.fit(self.X, self.y)  # compiles

    def time_fit(self, name):
        self.model.fit(self.X, self.y)

    def track_epochs(self, name):
        return self.model.n_iter_

    def track_training_error(self, name):
        """1 - R2 or 1 - accuracy: asv takes larger for worse."""
        return 1 - self.model.score(self.X, self.y)

    track_epochs.unit = "epochs"
    track_training_error.unit = "1 - score"


class Predict(Timed):
    """A single row, where only the overhead shows."""

    def setup(self):
        X, y = datasets.load_digits(return_X_y=True)
        self.row = X[:1]
        self.model = SGDClassifier(loss="log_loss", random_state=0).fit(X, y)

    def time_one_row(self):
        self.model.predict_proba(self.row)
