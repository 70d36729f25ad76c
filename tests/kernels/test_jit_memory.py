"""What numba is spared while a kernel is compiled: its answers stay what they are."""

import inspect
import itertools
import os
from typing import NamedTuple

import numpy as np
import pytest
from numba import njit, typeof
from numba.core import errors, types
from numba.core.registry import cpu_target
from numba.core.typing.typeof import typeof_impl
from numba.extending import overload

from fastgd.kernels._jit import _memory

KINDS = (
    *(types.boolean, types.int32, types.int64, types.uint64, types.float32, types.float64),
    *(types.IntegerLiteral(1), types.complex128),
)


def _types_of(arguments):
    """Return what numba finds for each operator of numbers; None where it refuses them."""
    found = {}
    for function in _memory._OPERATORS:
        if len(inspect.signature(function).parameters) == len(arguments):
            try:
                find = cpu_target.typing_context.resolve_function_type
                found[function] = find(function, arguments, {})
            except errors.TypingError:
                found[function] = None
    return found


def test_types_of_operators_are_numbas():
    cpu_target.target_context.refresh()
    for arguments in [*itertools.product(KINDS, repeat=2), *((kind,) for kind in KINDS)]:
        asked = _types_of(arguments)
        with _memory.remembering():
            assert _types_of(arguments) == _types_of(arguments) == asked


@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="of compiled code")
def test_what_is_registered_meanwhile_is_found():
    def tenfold(x):
        raise NotImplementedError

    with _memory.remembering():
        assert njit(lambda x: x + 1)(1) == 2  # by when everything is known

        @overload(tenfold)
        def _tenfold(x):  # noqa: ARG001
            return lambda x: 10 * x

        assert njit(lambda x: tenfold(x))(2) == 20


def test_what_is_answered_once_is_the_first_answer():
    asked = []
    find = _memory._once(lambda question: asked.append(question) or sum(question), tuple)
    assert [find([1, 2]), find([1, 2]), find([2, 2])] == [3, 3, 4]
    assert asked == [[1, 2], [2, 2]]


def test_bytes_of_numbers_are_numbas():
    target = cpu_target.target_context
    kinds = [
        target.get_data_type(kind)
        for kind in (*KINDS, types.Array(types.int8, 2, "C"))
        if not isinstance(kind, types.Literal)
    ]
    asked = [target.get_abi_sizeof(kind) for kind in kinds]
    with _memory.remembering():
        assert [target.get_abi_sizeof(kind) for kind in [*kinds, *kinds]] == asked * 2


def test_numba_is_left_as_it_was():
    contexts = cpu_target.typing_context, cpu_target.target_context
    before = [dict(vars(context)) for context in contexts]

    def fail():
        with _memory.remembering(), _memory.remembering():
            assert "refresh" in vars(contexts[0])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    for context, names in zip(contexts, before, strict=True):
        assert vars(context).keys() == names.keys()


class Outer(NamedTuple):
    inner: tuple
    x: np.ndarray
    scale: np.float32


class Inner(NamedTuple):
    key: np.uint64
    flag: bool


class Own(NamedTuple):
    x: float


def test_types_of_values_are_numbas():
    value = Outer((Inner(np.uint64(3), True), 1.5), np.ones(2), np.float32(1))
    asked = typeof(value)
    _memory.know_classes(value)
    assert {Outer, Inner, np.float32, np.uint64} <= set(typeof_impl.registry)
    assert typeof(value) == asked == types.BaseTuple.from_types(asked.types, Outer)
    assert asked.instance_class is Outer


def test_a_class_with_a_type_of_its_own_keeps_it():
    class Special(Own):
        pass

    typeof_impl.register(Own)(lambda *_: types.float32)
    _memory.know_classes((Own(1.0), Special(1.0)))
    assert typeof(Own(1.0)) == typeof(Special(1.0)) == types.float32


def test_a_class_that_numba_does_not_know_stays_unknown():
    class Strange:
        pass

    _memory.know_classes((Strange(),))
    assert Strange not in typeof_impl.registry
