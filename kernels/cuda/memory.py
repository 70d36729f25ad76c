"""Arrays on a device: how they come there, and back.

In the simulator they are arrays of NumPy's, so that specs can hold them as they hold any other.
"""

from typing import Any

import numpy as np

from fastgd.kernels.cuda import _library
from fastgd.kernels.cuda._compiler import IS_SIMULATED, cuda

OUT_OF_MEMORY = 2  # CUDA_ERROR_OUT_OF_MEMORY


def upload(array: Any) -> Any:
    """Return a copy of a host array on the device.

    Raises
    ------
    MemoryError
        If the device has no room for it.
    """
    own = _in_a_row(array)
    return own.copy() if IS_SIMULATED else _placed(lambda: cuda.to_device(own), own.nbytes)


def _placed(place: Any, size: int) -> Any:
    """Return an array of so many bytes on the device, which a function places there."""
    try:
        return place()
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise no_room(size) from error


def no_room(size: int) -> MemoryError:
    """Return the error of a device that has no room for so many bytes."""
    return MemoryError(
        f"the CUDA device has no room for {size:,} bytes more: {free_bytes():,} are free. A "
        "smaller batch_size, or fewer rows at a time, take less; device='cpu' takes none."
    )


def _in_a_row(array: Any) -> np.ndarray:
    """Return a C-contiguous array whose strides are those of its shape.

    Of ``x[:, None]`` numpy keeps a stride of 0, which numba-cuda takes for a broadcast array: it
    would compile each driver that is given one a second time, for strides of any kind.
    """
    own = np.ascontiguousarray(array)
    return own.reshape(-1).reshape(own.shape)


def there(array: Any) -> Any:
    """Return an array on the device: a host array is copied, another one is returned as it is."""
    is_there = not IS_SIMULATED and cuda.is_cuda_array(array)
    return array if is_there else upload(array)


def empty(shape: Any, dtype: Any = np.float64) -> Any:
    """Return an array on the device that holds anything.

    Raises
    ------
    MemoryError
        If the device has no room for it.
    """
    if IS_SIMULATED:
        return np.full(shape, 77, dtype)  # whoever reads before it is written is found out
    plain = tuple(map(int, shape)) if isinstance(shape, tuple) else int(shape)
    size = int(np.prod(plain)) * np.dtype(dtype).itemsize
    return _placed(lambda: cuda.device_array(plain, dtype), size)


def zeros(shape: Any, dtype: Any = np.float64) -> Any:
    """Return an array of zeros on the device."""
    return upload(np.zeros(shape, dtype))


def download(array: Any) -> np.ndarray:
    """Return a copy of a device's array in host memory, once all that was queued is done."""
    return array.copy() if IS_SIMULATED else array.copy_to_host()


def to_host(array: Any) -> np.ndarray:
    """Return a copy of CuPy's array in host memory."""
    with _library.queued():
        return array.copy() if IS_SIMULATED else array.get()


def overwrite(array: Any, values: np.ndarray) -> None:
    """Copy host values into a device's array."""
    if IS_SIMULATED:
        array[...] = values
    else:
        array.copy_to_device(_in_a_row(values))


def adopt(foreign: Any) -> Any:
    """Return a view of another library's array on the device.

    Raises
    ------
    ValueError
        If it is not C-contiguous, or lies on another device than the current one.
    """
    there, here = _number_of(foreign), 0 if IS_SIMULATED else cuda.get_current_device().id
    if there not in (None, here):
        raise ValueError(
            f"X lies on CUDA device {there}, and device {here} is the current one of numba-cuda: "
            f"numba.cuda.select_device({there}) before the first fit, or CUDA_VISIBLE_DEVICES, "
            "chooses another."
        )
    if IS_SIMULATED:
        return np.ascontiguousarray(np.asarray(_Hosted(foreign)))
    view = cuda.as_cuda_array(foreign)
    if not view.is_c_contiguous():
        raise ValueError(
            "X on a device must be C-contiguous (row after row): for CuPy "
            "cupy.ascontiguousarray(X), for PyTorch X.contiguous()."
        )
    return view


class _Hosted:
    """Another library's array of the simulator's device, whose memory is the host's."""

    def __init__(self, foreign: Any) -> None:
        self._foreign, self.__array_interface__ = foreign, foreign.__cuda_array_interface__


def _number_of(foreign: Any) -> int | None:
    """Return the number of the device where an array lies; None where its library does not say."""
    device = getattr(foreign, "device", None)
    for name in ("id", "index"):  # of CuPy and of PyTorch
        number = getattr(device, name, None)
        if isinstance(number, int):
            return number
    return None


def free_bytes() -> int:
    """Return how much of the device's memory is free.

    Arrays that nobody holds any more are given back first: numba-cuda waits with that.
    """
    if IS_SIMULATED:
        return 1 << 34
    context = cuda.current_context()
    waiting = getattr(context.memory_manager, "deallocations", None)  # a plugin need not have it
    if waiting is not None:
        waiting.clear()
    return int(context.get_memory_info().free)


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that the device's memory is used up."""
    return isinstance(error, MemoryError) or getattr(error, "code", None) == OUT_OF_MEMORY


def has_what_is_not_finite(values: Any) -> bool:
    """Tell whether an array, C-contiguous, holds a number that is not finite."""
    from fastgd.kernels.cuda.vectors import flag_what_is_not_finite

    flags = zeros(1)
    flag_what_is_not_finite.spread(values.size, values.reshape(-1), flags, 0)
    return bool(download(flags)[0])


def is_available() -> bool:
    """Tell whether there is a device."""
    return bool(cuda.is_available())


def fault() -> str:
    """Return what the driver says of itself where there is no device."""
    told = str(cuda.cuda_error() or "no device was found")
    return " ".join(told.split()).rstrip(".")


def synchronise() -> None:
    """Wait until all that was queued is done."""
    if not IS_SIMULATED:
        cuda.synchronize()


def describe() -> dict[str, str]:
    """Return the device's name, its driver's and its toolkit's versions.

    Raises
    ------
    Exception
        Whatever the driver has to say where there is no device.
    """
    if IS_SIMULATED:
        return {"device": "simulator", "driver": "none", "toolkit": "none"}
    device = cuda.get_current_device()
    name = device.name.decode() if isinstance(device.name, bytes) else str(device.name)
    major, minor = device.compute_capability
    return {
        "device": f"{name}, compute capability {major}.{minor}",
        "driver": ".".join(map(str, cuda.cudadrv.driver.driver.get_version())),
        "toolkit": ".".join(map(str, cuda.runtime.get_version())),
    }
