"""Nothing is registered without a row in the tables, so nothing escapes the tests."""

import numpy as np
import pytest
from sklearn.base import is_classifier

import fastgd
from fastgd import losses, optimizers, penalties, transforms
from fastgd.kernels.losses import LOSSES
from fastgd.kernels.optimizers import OPTIMIZERS
from fastgd.kernels.penalties import PENALTIES
from fastgd.kernels.transforms import TRANSFORMS
from fastgd.schedules import SCHEDULES
from tests import tables
from tests.tables import over, over_product
from tests.turns import has_turn


@pytest.mark.parametrize(
    ("registered", "rows"),
    [
        (LOSSES, [case.name for case in tables.LOSS_CASES]),
        (PENALTIES, [case.given for case in tables.PENALTY_CASES]),
        (
            OPTIMIZERS,
            [
                case.name
                for case in (*tables.OPTIMIZER_CASES, *tables.WHOLE_OPTIMIZER_CASES)
                if case.is_registered
            ],
        ),
        (TRANSFORMS, [case.name for case in tables.TRANSFORM_CASES if case.is_registered]),
        (SCHEDULES, [case.name for case in tables.REGISTERED_SCHEDULES]),
        (
            [name for name in fastgd.__all__ if isinstance(getattr(fastgd, name), type)],
            [case.name for case in tables.ESTIMATOR_CASES],
        ),
        (
            [
                name
                for name in fastgd.__all__
                if hasattr(getattr(fastgd, name), "_solve") and not name.endswith("CV")
            ],
            {case.kind.__name__ for case in tables.SOLVED_CASES},
        ),
    ],
    ids=[
        "losses",
        "penalties",
        "optimizers",
        "transforms",
        "schedules",
        "estimators",
        "solved estimators",
    ],
)
def test_each_registered_name_has_one_row(registered, rows):
    assert sorted(map(str, registered)) == sorted(map(str, rows))


@pytest.mark.parametrize(
    ("face", "registered"),
    [
        (losses, losses.LOSSES),
        (optimizers, optimizers.OPTIMIZERS),
        (transforms, transforms.TRANSFORMS),
    ],
    ids=["losses", "optimizers", "transforms"],
)
def test_the_public_name_has_the_class_of_each_registered_spec(face, registered):
    assert {type(spec).__name__ for spec in registered.values()} <= set(face.__all__)


def test_each_penalty_class_has_a_row():
    faces = {name for name in penalties.__all__ if isinstance(getattr(penalties, name), type)}
    rows = (*tables.PENALTY_CASES, *tables.PENALTY_OBJECT_CASES)
    assert faces == {type(case.spec).__name__ for case in rows}


@over(tables.LOSS_CASES)
def test_rows_and_registry_agree_on_the_spec(case):
    assert type(case.spec) is type(LOSSES[case.name])


OFTEN_NARROW = ("SGDClassifier", "LogisticRegression", "Ridge", "Lasso")


@over_product(
    lambda case, dtype: dtype is np.float64 or case.name in OFTEN_NARROW,
    case=[case for case in tables.ESTIMATOR_CASES if hasattr(case.kind, "score")],
    dtype=[np.float32, np.float64],
)
def test_an_estimator_learns_and_keeps_the_dtype(case, dtype, rng):
    X = rng.normal(size=(60, 3)).astype(dtype)
    y = X @ [1.0, -2.0, 0.5] + 0.3 + 0.1 * rng.normal(size=60)  # float32 holds no exact fit
    y = (y > 0).astype(int) if is_classifier(case.kind()) else y
    y = np.exp(y) if case.make().__sklearn_tags__().target_tags.positive_only else y
    y = case.targets(y)
    model = case.make().fit(X, y)
    assert model.coef_.dtype == np.asarray(model.intercept_).dtype == dtype
    assert model.score(X, y) > 0.6


def test_each_function_has_one_turn_for_all_its_cases():
    functions = [f"tests/test_{k}.py::test_it" for k in range(60)]
    for name in functions:
        turns = [[has_turn(test, f"{k}/3") for k in range(3)] for test in (name, f"{name}[a-1]")]
        assert turns[0] == turns[1]
        assert sum(turns[0]) == 1
        assert has_turn(name, "0/1")
    shares = [sum(has_turn(name, f"{k}/3") for name in functions) for k in range(3)]
    assert min(shares) > 10
