"""
Exporting a model
=================

``fastgd.to_sklearn`` returns a fitted scikit-learn estimator with the same predictions. It works
wherever scikit-learn's linear models do: ONNX, SHAP, skops, servers without numba.
"""

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastgd import SGDClassifier, to_sklearn

X, y = load_breast_cancer(return_X_y=True)
model = make_pipeline(
    StandardScaler(),
    SGDClassifier(loss="log_loss", batch_size=16, random_state=0),
).fit(X, y)

# %%
# In a pipeline, replace the last step:

exported = make_pipeline(model[0], to_sklearn(model[-1]))
print(type(model[-1]).__module__, "->", type(exported[-1]).__module__)
print(
    "same predictions:  ", np.array_equal(model.predict(X), exported.predict(X))
)
difference = np.abs(model.predict_proba(X) - exported.predict_proba(X)).max()
print(f"probabilities differ by at most {difference:.0e}")

# %%
# To ONNX
# -------
#
# With ``pip install "fastgd[onnx]" onnxruntime``; the pipeline needs no detour:
#
# .. code-block:: python
#
#     import onnxruntime
#     from fastgd import to_onnx
#
#     onnx_model = to_onnx(model)
#     session = onnxruntime.InferenceSession(onnx_model.SerializeToString())
#     labels, probabilities = session.run(None, {"X": X.astype(np.float32)})
#
# ONNX computes in float32: probabilities agree to about six digits. ``skl2onnx.to_onnx(model, X)``
# takes estimators of fastgd as well, alone, in pipelines and in searches.
#
# As numbers
# ----------
#
# A linear model is its coefficients. They are all that is needed to predict, in any language:

scaler, linear = model
unsure = np.argmin(np.abs(model.predict_proba(X)[:, 1] - 0.5))
z = (X[unsure] - scaler.mean_) / scaler.scale_ @ linear.coef_[
    0
] + linear.intercept_[0]
print(f"by hand {1 / (1 + np.exp(-z)):.12f}")
print(f"model   {model.predict_proba(X[[unsure]])[0, 1]:.12f}")

# %%
# To continue training
# --------------------
#
# An exported model can only predict. Pickle the estimator itself, and ``partial_fit`` continues bit
# for bit: :doc:`deterministic`. (A pickle runs code when it is loaded: do not open one that you do
# not trust.)
