"""scikit-learn's own tests under the accelerator, and which of them fail, each with the reason.

    python -m tests.accel.theirs              # all modules, a line each, and the failures
    python -m tests.accel.theirs test_ridge   # those whose name contains this

Each module is run where it is installed, as a user would: ``python -m fastgd.accel --min-size 0 -m
pytest --pyargs sklearn.linear_model.tests.test_ridge``. By ``--min-size 0`` small data goes to
fastgd as well; without it nearly all of these tests would be scikit-learn alone.
"""

import fnmatch
import os
import sys
import tempfile
from pathlib import Path

from tests.acceptance.run import Result, reported

NOTING = Path(__file__).with_name("noting.py")
LINEAR = ("base", "common", "coordinate_descent", "huber", "logistic", "passive_aggressive")
LINEAR += ("perceptron", "quantile", "ransac", "ridge", "sag", "sgd", "sparse_coordinate_descent")
MODULES = (
    *(f"sklearn.linear_model.tests.test_{name}" for name in LINEAR),
    "sklearn.linear_model._glm.tests.test_glm",
    "sklearn.svm.tests.test_svm",
    "sklearn.svm.tests.test_bounds",
    "sklearn.tests.test_pipeline",
    "sklearn.model_selection.tests.test_search",
    "sklearn.model_selection.tests.test_validation",
    "sklearn.model_selection.tests.test_classification_threshold",
    "sklearn.tests.test_calibration",
    "sklearn.ensemble.tests.test_stacking",
    "sklearn.ensemble.tests.test_voting",
    "sklearn.ensemble.tests.test_bagging",
    "sklearn.tests.test_multiclass",
    "sklearn.tests.test_multioutput",
    "sklearn.compose.tests.test_target",
    "sklearn.feature_selection.tests.test_rfe",
    "sklearn.feature_selection.tests.test_from_model",
    "sklearn.feature_selection.tests.test_sequential",
    "sklearn.inspection.tests.test_permutation_importance",
)

CV = "compares with scikit-learn's class that cross-validates, which stops farther off"
SEEDLESS = "waits for results that depend on random_state, as they do far from the optimum"
SOLVES = "converges where the test waits for a warning"
ORDER = "holds for the order in which scikit-learn shuffles with this seed, and not for every seed"
SWEEPS = "compares the iterations of two fits, and n_iter_ counts others here"
WRITTEN = "compares with digits that are written in the test, of a solver that stops farther off"
LIST = "compares with a fit of a list, which is scikit-learn's and stops farther off"
PROXIMAL = "l1 is proximal here, and truncated cumulatively in scikit-learn"
GRAM = "compares with a fit by a Gram matrix, which is scikit-learn's and stops farther off"
ROUNDING = "right to rounding, where the test asks for more than that"

# By module, patterns of names (* is anything) and why these tests fail
FAILURES: dict[str, dict[str, str]] = {
    "sklearn.linear_model.tests.test_coordinate_descent": {
        "test_lasso_dual_gap": ROUNDING,
        "test_elasticnet_precompute_gram_weighted_samples": GRAM,
        "test_warm_start_convergence_with_regularizer_decrement": SWEEPS,
        "test_multi_task_lasso_and_enet": ROUNDING,
        "test_enet_ridge_consistency[*": ROUNDING,
    },
    "sklearn.linear_model.tests.test_logistic": {
        "test_logistic_cv[*": CV,
        "test_liblinear_dual_random_state[*": SEEDLESS,
        "test_logistic_cv_multinomial_score[*neg_log_loss-*": CV,
        "test_newton_cholesky_fallback_to_lbfgs": SOLVES,
    },
    "sklearn.linear_model.tests.test_perceptron": {"test_perceptron_l1_ratio": ORDER},
    "sklearn.linear_model.tests.test_sgd": {
        "test_late_onset_averaging_not_reached[*": ROUNDING,
        "test_validation_set_not_used_for_training[*": ROUNDING,
        "test_sgd_proba[*": ORDER,
        "test_sgd_l1[*": PROXIMAL,
        "test_class_weights[*": ORDER,
        "test_sample_weights[*": ORDER,
        "test_regression_losses[*": ORDER,
        "test_ocsvm_vs_sgdocsvm": ORDER,
        "test_sgd_oneclass_vs_linear_oneclass_offsets_match[*": ORDER,
        "test_sgd_one_class_svm_formulation_with_scipy_minimize": ORDER,
    },
    "sklearn.linear_model._glm.tests.test_glm": {
        "test_linalg_warning_with_newton_solver*": SOLVES,
    },
    "sklearn.tests.test_multioutput": {
        "test_multiclass_multioutput_estimator_predict_proba": WRITTEN,
    },
    "sklearn.linear_model.tests.test_sparse_coordinate_descent": {
        "test_same_multiple_output_sparse_dense[coo_*": LIST,
    },
}


def run(module: str, folder: Path, turn: str = "0/1", min_size: int = 0) -> list[Result]:
    """Run one module under the accelerator; none if scikit-learn has come without it."""
    (folder / "noting.py").write_text(NOTING.read_text())
    accelerated = ["-m", "fastgd.accel", "--min-size", str(min_size), "-m", "pytest"]
    options = ["-p", "noting", "-c", "pytest.ini", "-p", "no:cacheprovider"]
    return reported([*accelerated, *options, "--pyargs", module], folder, turn)


def reason(module: str, name: str) -> str | None:
    """Return why a test is known to fail, None where it is not."""
    known = FAILURES.get(module, {})
    return next((why for pattern, why in known.items() if _matches(name, pattern)), None)


def _matches(name: str, pattern: str) -> bool:
    """Compare with a pattern in which only * and ? are special: names have brackets."""
    return fnmatch.fnmatchcase(name, pattern.replace("[", "[[]"))


def main(wanted: list[str]) -> int:
    """Run the modules whose names contain what is wanted; return the exit status."""
    passed = failed = used = 0
    unknown = []
    for module in MODULES:
        if wanted and not any(part in module for part in wanted):
            continue
        with tempfile.TemporaryDirectory() as folder:
            results = run(module, Path(folder), os.environ.get("ACCEPTANCE_TURN", "0/1"))
        good = [result for result in results if result.outcome == "passed"]
        bad = [result for result in results if result.outcome == "failed"]
        ours = [result for result in good if result.is_ours]
        print(f"{module}: {len(good)} passed ({len(ours)} used fastgd), {len(bad)} failed")
        for result in bad:
            why = reason(module, result.name)
            message = result.message.replace("\n", " ")[:300]
            print(f"  {result.name} {result.used} line {result.line}: {why or message}", flush=True)
            unknown += [result.name] if why is None else []
        passed, failed, used = passed + len(good), failed + len(bad), used + len(ours)
    share = passed / max(1, passed + failed)
    print(f"{passed} passed, {used} of them with fits by fastgd; {failed} failed: {share:.2%} pass")
    return 1 if unknown else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
