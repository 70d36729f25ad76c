"""Where a model is trained: the processor, or a CUDA device.

Arrays of other libraries are told by what they offer (``__cuda_array_interface__``, DLPack), and
no library is imported that the user has not imported. numba-cuda is loaded when a device is asked
for, and not before.
"""

import os
import sys
import warnings
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import get_config
from sklearn.utils._param_validation import StrOptions

DEVICES = ("auto", "cpu", "cuda")
ALLOWED = [StrOptions(set(DEVICES))]  # for the parameter ``device``
CUDA_OF_DLPACK = 2
INSTALL = (
    'pip install "fastgd[cuda12]" or "fastgd[cuda13]", by the CUDA version that nvidia-smi shows'
)
WORKS = (
    "all estimators that are solved over sums of the rows (solver='auto' or 'gd'), those that are "
    "trained by steps, and networks; docs/gpu.md has what of them is left out"
)
_first_process: list[int] = []  # that used a device


def is_on_device(X: Any) -> bool:
    """Tell whether an array, or a data frame of cuDF's, lies on a CUDA device."""
    if isinstance(X, np.ndarray):
        return False
    if hasattr(X, "__cuda_array_interface__"):
        return True
    if type(X).__module__.partition(".")[0] == "cudf":
        return True
    if not hasattr(X, "__dlpack_device__"):
        return False
    return int(X.__dlpack_device__()[0]) == CUDA_OF_DLPACK


def is_dispatched(X: Any) -> bool:
    """Tell whether X is another library's array in host memory, and scikit-learn dispatches.

    That is ``sklearn.set_config(array_api_dispatch=True)``: what comes out of a model is then of
    the library of what goes in. Without it, such an array is converted as any sequence is.
    """
    if isinstance(X, np.ndarray) or not get_config()["array_api_dispatch"] or is_on_device(X):
        return False
    return hasattr(X, "__array_namespace__") or type(X).__module__ == "torch"


def to_host(X: Any) -> Any:
    """Return NumPy's array of one on a device, or of another library; all else as it is."""
    if is_dispatched(X):
        return _of_torch(X) if hasattr(X, "detach") else np.asarray(X)
    if not is_on_device(X):
        return X
    for name in ("get", "copy_to_host", "to_numpy"):  # of CuPy, Numba, cuDF
        if hasattr(X, name):
            return getattr(X, name)()
    if hasattr(X, "detach"):
        return _of_torch(X)
    if hasattr(X, "__dlpack__") and find_spec("cupy") is not None:
        return import_module("cupy").from_dlpack(X).get()
    raise TypeError(
        f"{type(X).__module__}.{type(X).__name__} lies on a CUDA device and cannot be copied from "
        "there. Known are arrays of CuPy, PyTorch, Numba and cuDF, and where CuPy is installed all "
        "that know DLPack."
    )


def _of_torch(X: Any) -> NDArray[Any]:
    """Return NumPy's array of a tensor anywhere; NumPy has no bfloat16."""
    there = X.detach().cpu()
    found: NDArray[Any] = (there.float() if "bfloat16" in str(X.dtype) else there).numpy()
    return found


def like(result: NDArray[Any], X: Any) -> Any:
    """Return a host array in the library and on the device of X; labels that are words stay."""
    if result.dtype.kind not in "fiub" or not (is_on_device(X) or is_dispatched(X)):
        return result
    if hasattr(X, "__array_namespace__") and not is_on_device(X):
        return X.__array_namespace__().asarray(result, device=X.device)
    library = type(X).__module__.partition(".")[0]
    if library == "torch":
        return sys.modules["torch"].as_tensor(result, device=X.device)
    if library in ("cupy", "cudf") and "cupy" in sys.modules:
        return sys.modules["cupy"].asarray(result)
    if library == "numba":
        return _memory().upload(result)
    if hasattr(X, "__array_namespace__"):
        return X.__array_namespace__().asarray(result, device=X.device)
    return result


def _memory() -> Any:
    """Return the module of the device's memory, once CUDA can be used."""
    from fastgd.kernels.cuda import memory

    return memory


def require() -> None:
    """Make sure that a device can be used.

    Raises
    ------
    ImportError
        If numba-cuda is missing: how to install it.
    RuntimeError
        If there is no device, or this process was forked from one that has used it.
    """
    if find_spec("numba_cuda") is None and not os.environ.get("NUMBA_ENABLE_CUDASIM"):
        raise ImportError(
            f"a CUDA device needs the package numba-cuda: {INSTALL}. The numba.cuda that is built "
            f"into numba {version('numba')} cannot compile fastgd's kernels: since 0.66 its min "
            "and max take one argument only."
        )
    if _first_process and _first_process[0] != os.getpid():
        raise RuntimeError(
            "this process was forked after its parent had used CUDA, which no child of a fork can "
            "use. Start workers by 'spawn' or 'forkserver' "
            "(multiprocessing.set_start_method('spawn')), or use device='cpu' in them."
        )
    memory = _memory()
    if not memory.is_available():
        raise RuntimeError(
            f"device='cuda' found no CUDA device: {memory.fault()}. A card of NVIDIA's with a "
            "driver is needed; device='cpu' goes without."
        )
    if not _first_process:
        _first_process.append(os.getpid())


def chosen(model: Any, X: Any, *, warns: bool = False) -> str:
    """Return where a model is trained on X, "cpu" or "cuda".

    Where "auto" copies X from a device it may be asked to warn of that.

    Raises
    ------
    ImportError, RuntimeError
        If "cuda" is asked for and cannot be used.
    ValueError
        If the estimator, or what its parameters ask for, has no form for a device.
    """
    asked = getattr(model, "device", "cpu")
    if asked == "cpu" or (asked == "auto" and not is_on_device(X)):
        return "cpu"
    why_not = model._lacks_on_cuda(X) if hasattr(model, "_lacks_on_cuda") else "this estimator"
    if asked == "auto":
        slower = model._loses_on_cuda(X) if hasattr(model, "_loses_on_cuda") else None
        if why_not is None and slower is None:
            require()
            _settle(X)
            return "cuda"
        if warns:
            told = (
                f"X lies on a device, and was copied to the processor: {why_not} has no form there."
            )
            warnings.warn(told if slower is None else slower, UserWarning, stacklevel=5)
        return "cpu"
    if why_not is None:
        require()
        _settle(X)
        return "cuda"
    raise not_there(model, why_not)


def _settle(X: Any) -> None:
    """Wait for what PyTorch has yet to write into X.

    Streams of its users do not wait for the default one, nor that for them. Arrays of other
    libraries say on which stream they are written, and are waited for where they are met.
    """
    if type(X).__module__.partition(".")[0] == "torch" and is_on_device(X):
        sys.modules["torch"].cuda.current_stream(X.device).synchronize()


def is_there(device: str | None) -> bool:
    """Tell whether a device is another than the processor: the one place that compares names."""
    return device == "cuda"


def refuse_device(model: Any, what: str) -> None:
    """Refuse ``device="cuda"`` for what has no form there.

    Raises
    ------
    ValueError
        If "cuda" is asked for.
    """
    if is_there(getattr(model, "device", None)):
        raise not_there(model, what)


def not_there(model: Any, what: str) -> ValueError:
    """Return the error for what has no form for a device: what has."""
    return ValueError(
        f"{type(model).__name__}(device='cuda') is not there yet for {what}. On a device work "
        f"{WORKS}. device='cpu' takes everything."
    )


class RowsThere:
    """Rows on a device, validated, as a training keeps them: an array of two axes.

    Parameters
    ----------
    X : array on a device, of shape (n_samples, n_features), float32 or float64
    """

    ndim = 2

    def __init__(self, X: Any) -> None:
        self._X = X
        self.values = _memory().adopt(X)
        self.shape, self.dtype = tuple(X.shape), np.dtype(self.values.dtype)
        self.nbytes = self.shape[0] * self.shape[1] * self.dtype.itemsize

    @property
    def __cuda_array_interface__(self) -> Any:
        """Where the array lies."""
        return self._X.__cuda_array_interface__

    def get(self) -> NDArray[Any]:
        """Return a copy in host memory."""
        copied: NDArray[Any] = to_host(self._X)
        return copied

    def refuse_what_is_not_finite(self) -> None:
        """Look at all numbers, on the device.

        Raises
        ------
        ValueError
            If one is not finite.
        """
        if _memory().has_what_is_not_finite(self.values):
            raise ValueError(
                f"Input X contains NaN, infinity or a value too large for {self.dtype!r}."
            )


def stays_there(model: Any, X: Any) -> bool:
    """Tell whether a training keeps X on the device: plain floats, and nothing asks for the host's.

    Early stopping takes rows out of X.
    """
    if not hasattr(model, "_loses_on_cuda") or getattr(model, "early_stopping", False):
        return False
    return is_plain_there(X) and is_there(chosen(model, X))


def is_plain_there(X: Any) -> bool:
    """Tell whether X is a table of float32 or float64 on a device."""
    kind = str(getattr(X, "dtype", "")).rpartition(".")[2]
    is_plain = kind in ("float32", "float64") and len(X.shape) == 2 and 0 not in tuple(X.shape)
    return is_plain and is_on_device(X) and hasattr(X, "__cuda_array_interface__")


def dtype_of(X: Any) -> Any:
    """Return NumPy's type of the numbers of an array of any library."""
    return np.dtype(str(X.dtype).rpartition(".")[2])


class HeldRows:
    """Rows on a device, as predictions meet them.

    Parameters
    ----------
    X : array on a device, of shape (n_samples, n_features)
    """

    def __init__(self, X: Any) -> None:
        self._X = X

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns."""
        return tuple(self._X.shape)

    def outputs(self, model: Any, network: Any, params: NDArray[Any]) -> NDArray[Any]:
        """Return what a fitted network puts out, computed on the device.

        Raises
        ------
        ValueError
            If X has another number of columns than the model, or what the network cannot read.
        """
        from fastgd._engines.cuda_network import outputs_there

        self._check(model)
        if network.looks_up:  # beyond the table there is other memory
            network.refuse_what_is_no_input(to_host(self._X))
        return outputs_there(network, params, self._X)

    def raw(self, model: Any) -> NDArray[Any]:
        """Return X @ coef.T + intercept of a fitted model, computed on the device.

        Raises
        ------
        ValueError
            If X has another number of columns than the model, or a number that is not finite.
        """
        from fastgd._solvers._on_device import raw_of

        self._check(model)
        coef = model.coef_.toarray() if hasattr(model.coef_, "toarray") else model.coef_
        return raw_of(self._X, coef, model.intercept_)

    def _check(self, model: Any) -> None:
        if self.shape[1] != model.n_features_in_:
            raise ValueError(
                f"X has {self.shape[-1]} features, but {type(model).__name__} is expecting "
                f"{model.n_features_in_} features as input."
            )
        RowsThere(self._X).refuse_what_is_not_finite()


def predicted(method: Callable[..., Any], model: Any, X: Any) -> Any:
    """Predict for rows on a device or of another library; the result comes back in their library.

    Linear models and networks predict where the rows are, if these are float32 or float64; else
    the rows are copied.
    """
    has_form = hasattr(model, "_lacks_on_cuda") and is_plain_there(X)
    if getattr(model, "device", "cpu") != "cpu" and has_form:
        require()
        _settle(X)
        return like(method(model, HeldRows(X)), X)
    return like(method(model, to_host(X)), X)
