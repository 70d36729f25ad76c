"""scikit-learn's test modules, and of each the tests that are meant to fail, with the reason.

A pattern has * for anything; every test that it matches must fail, but for those whose reason is
one of ``SOMETIMES``: these hold or not by the last digits, which the machine decides.
"""

from typing import NamedTuple

PRIVATE = "looks at private attributes"
HANDED_ON = "hands all of our arguments to a private function of scikit-learn's"
SOLVER = "scikit-learn's solver names mean auto here: what one of its solvers lacks is not refused"
SOLVER_NAME = "solver_ names the solver that was taken; scikit-learn's names mean auto here"
PASSES = "n_iter_ counts passes over the data here, iterations of its own solver in scikit-learn"
KWARGS = "the warning is worded differently here"
SOLVES = "converges in the passes that are given, where the test waits for a warning"
COPIES = "X is never changed here, whatever copy_X is"
CHECKED = "input is always checked here, whatever check_input is"
GRAM = "precompute is accepted and not needed, so that a wrong Gram matrix is never seen"
SPARSE_POSITIVE = "positive coefficients of sparse X are fitted here, refused in scikit-learn"
IDENTITY = "not implemented: the identity link for powers other than 0"
LAST_DIGIT = "right to rounding, where the test asks for more than that"
SAGA = (
    "saga stops by the objective: 1e-15 of it is 1e-8 of a coefficient, more than the test allows"
)
INTERCEPT = "the intercept of sparse data takes whole steps here, hundredths in scikit-learn"
ORDER = "holds for the order in which scikit-learn shuffles with this seed, and not for every seed"
SEED = "the result does not depend on random_state here"
CURVATURE = "a warm start takes coef_ over and not the curvatures: one pass twice is not two passes"
NARROW = "float32 stays float32 here, where liblinear computes in float64"
WIDE_INDICES = "64-bit indices are taken here whatever the solver"
N_JOBS = "n_jobs is the number of threads here"
NO_PASS = (
    "without a pass the model is that of the shares of the classes here, zeros in scikit-learn"
)
CALLBACKS = "callbacks go with every solver here, and are notified of passes"
ITSELF = "the last fit is the class's own, not one of Lasso or ElasticNet"
GAP = "descent stops by the duality gap, which is the square of what the test looks at"
STAYS = "not deprecated here: it does not go away"
SINGULAR = "a singular Hessian is solved here without a warning"

SOMETIMES = {ORDER, SAGA, LAST_DIGIT}
SOMETIMES |= {why for why in list(vars().values()) if str(why).startswith("pending: ")}


class Module(NamedTuple):
    """A module of scikit-learn's tests.

    name : of the module
    at_least : so many of its tests pass on our classes
    reasons : of the tests that fail, by pattern
    deselected : tests that take too long
    """

    name: str
    at_least: int
    reasons: dict[str, str]
    deselected: tuple[str, ...] = ()


# 40,000 epochs to a precision that the order of the rows decides
LONG = "test_sgd_oneclass_vs_linear_oneclass_offsets_match"

SGD = {
    "test_plain_has_no_average_attr*": PRIVATE,
    "test_loss_function_epsilon*": PRIVATE,
    "test_validation_mask_correctly_subsets": PRIVATE,
    "test_late_onset_averaging_reached[*Sparse*": INTERCEPT,
    "test_average_binary_computed_correctly*Sparse*": INTERCEPT,
    "test_sgd_multiclass_average*Sparse*": INTERCEPT,
    "test_sgd_averaged_computed_correctly[*Sparse*": INTERCEPT,
    "test_sgd_averaged_partial_fit[*Sparse*": INTERCEPT,
    "test_average_sparse[*Sparse*": INTERCEPT,
    "test_average_sparse_oneclass[*Sparse*": INTERCEPT,
    "test_late_onset_averaging_reached_oneclass*Sparse*": INTERCEPT,
    "test_sgd_averaged_computed_correctly_oneclass*Sparse*": INTERCEPT,
    "test_sgd_averaged_partial_fit_oneclass*Sparse*": INTERCEPT,
    "test_class_weights*": ORDER,
    "test_sample_weights*": ORDER,
    "test_regression_losses*": ORDER,
    "test_sgd_proba*": ORDER,
    "test_ocsvm_vs_sgdocsvm": ORDER,
    "test_sgd_oneclass_vs_linear_oneclass_offsets_match*": ORDER,
    "test_sgd_one_class_svm_formulation_with_scipy_minimize": ORDER,
    "test_sgd_l1[*": "our l1 is a proximal step and has no memory: a column just visited may "
    "be off zero by one step's noise, where scikit-learn's cumulative penalty is not",
    "test_validation_set_not_used_for_training[*Classifier]": "early stopping keeps the best "
    "coefficients here, the last ones in scikit-learn",
    "test_partial_fit_oneclass*": "each call sets a new coef_ here, so that one that fails leaves "
    "the old one; there it is changed in place",
    "test_sgd_predict_proba_method_access*": "the focal loss has probabilities, too",
    "test_input_format*SGDRegressor*": "y with two columns is refused there, and fitted here",
}
PERCEPTRON = {
    "test_perceptron_l1_ratio": ORDER,
}
PASSIVE_AGGRESSIVE = {
    "test_classifier_accuracy[*-True]": PRIVATE,
    "test_classifier_partial_fit[*-True]": PRIVATE,
    "test_regressor_mse[*-True]": PRIVATE,
    "test_regressor_partial_fit[*-True]": PRIVATE,
    "test_classifier_correctness[*csr_*": INTERCEPT,
    "test_regressor_correctness[*csr_*": INTERCEPT,
    "test_regressor_partial_fit[*-False]": ORDER,
    "test_class_deprecation[*": STAYS,
}
LASSO = {
    "test_lasso_dual_gap": LAST_DIGIT,
    "test_enet_nonfinite_params": KWARGS,
    "test_lasso_alpha_warning": KWARGS,
    "test_elasticnet_precompute_incorrect_gram": GRAM,
    "test_overridden_gram_matrix": GRAM,
    "test_warm_start_convergence*": PASSES,
    "test_check_input_false": CHECKED,
    "test_enet_copy_X_False_check_input_False": COPIES,
    "test_enet_coordinate_descent_raises_convergence*": SOLVES,
    "test_multi_task_lasso_and_enet": KWARGS,
    "test_warm_start_multitask_lasso": PASSES,
    "test_lassoCV_does_not_set_precompute[*": ITSELF,
    "test_enet_ridge_consistency[False-3-1e-06]": GAP,
    "test_enet_ridge_consistency[False-3-0.1]": GAP,
    "test_enet_ridge_consistency[False-3-1.0]": GAP,
}
SPARSE_LASSO = {
    "test_sparse_enet_coordinate_descent*": SOLVES,
}
RIDGE = {
    "test_ridge_regression[*-svd]": SOLVER_NAME,
    "test_ridge_regression[*-sparse_cg]": SOLVER_NAME,
    "test_ridge_regression[*-cholesky]": SOLVER_NAME,
    "test_ridge_regression[*-lsqr]": SOLVER_NAME,
    "test_ridge_regression[*-sag]": SOLVER_NAME,
    "test_n_iter": PASSES,
    "test_ridge_fit_intercept_sparse_error*": SOLVER,
    "test_ridge_fit_intercept_sparse_sag*": SOLVER,
    "test_ridge_positive_error_test[saga]": KWARGS,
    "test_lbfgs_solver_error": SOLVES,
}
LOGISTIC = {
    "test_liblinear_dual_random_state": SEED,
    "test_logistic_cv_multinomial_score[*": HANDED_ON,
    "test_logistic_regression_cv_refit[*": LAST_DIGIT,
    "test_max_iter[*": KWARGS,
    "test_warm_start_newton_solver[inf-*": CURVATURE,
    "test_dtype_match[*-liblinear]": NARROW,
    "test_large_sparse_matrix[*-liblinear]": WIDE_INDICES,
    "test_large_sparse_matrix[*-sag]": WIDE_INDICES,
    "test_large_sparse_matrix[*-saga]": WIDE_INDICES,
    "test_liblinear_with_large_values": SOLVER,
    "test_zero_max_iter[newton-cg]": NO_PASS,
    "test_zero_max_iter[newton-cholesky]": NO_PASS,
    "test_zero_max_iter[sag]": NO_PASS,
    "test_zero_max_iter[saga]": NO_PASS,
    "test_newton_cholesky_fallback_to_lbfgs": SOLVES,
    "test_logisticregression_warns_with_n_jobs": N_JOBS,
    "test_logistic_regression_callback_support[0]": CALLBACKS,
    "test_logistic_regression_callback_support[2]": CALLBACKS,
    "test_logistic_regression_callback_support_warning": CALLBACKS,
}
GLM = {
    "test_glm_regression[wide-GammaRegressor()-False-newton-cholesky]": LAST_DIGIT,
    "test_tweedie_link_argument[identity-IdentityLink]": IDENTITY,
    "test_tweedie_link_argument[log-LogLink]": PRIVATE,
    "test_tweedie_link_auto[*": PRIVATE,
    "test_tweedie_score[identity-1]": IDENTITY,
    "test_tweedie_score[identity-1.5]": IDENTITY,
    "test_tweedie_score[identity-2]": IDENTITY,
    "test_tweedie_score[identity-3]": IDENTITY,
    "test_linalg_warning_with_newton_solver": SINGULAR,
}
HUBER = {
    "test_huber_warm_start": PASSES,
}
QUANTILE = {
    "test_quantile_toy_example[*": LAST_DIGIT,
}
BASE = {
    "test_raises_value_error_if_positive_and_sparse": SPARSE_POSITIVE,
    "test_inplace_data_preprocessing[True-None]": COPIES,
    "test_inplace_data_preprocessing[False-None]": COPIES,
}
SVM = {
    "test_linear_svm_convergence_warnings": KWARGS,
}
BOUNDS = {}

MODULES = [
    Module("sklearn.linear_model.tests.test_sgd", 210, SGD, (LONG,)),
    Module("sklearn.linear_model.tests.test_logistic", 190, LOGISTIC),
    Module("sklearn.linear_model._glm.tests.test_glm", 140, GLM),
    Module("sklearn.linear_model.tests.test_coordinate_descent", 60, LASSO),
    Module("sklearn.linear_model.tests.test_sparse_coordinate_descent", 50, SPARSE_LASSO),
    Module("sklearn.linear_model.tests.test_ridge", 600, RIDGE),
    Module("sklearn.linear_model.tests.test_perceptron", 5, PERCEPTRON),
    Module("sklearn.linear_model.tests.test_passive_aggressive", 15, PASSIVE_AGGRESSIVE),
    Module("sklearn.linear_model.tests.test_huber", 9, HUBER),
    Module("sklearn.linear_model.tests.test_quantile", 45, QUANTILE),
    Module("sklearn.linear_model.tests.test_base", 30, BASE),
    Module("sklearn.linear_model.tests.test_common", 40, {}),
    Module("sklearn.svm.tests.test_svm", 20, SVM),
    Module("sklearn.svm.tests.test_bounds", 8, BOUNDS),
]
