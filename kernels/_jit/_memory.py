"""What numba works out again and again within one compilation, kept until its end.

A kernel is a hundred compilations of helpers. For each, numba looks whether anybody has registered
functions with it since, finds the type of ``i + 1`` as if it might be an expression of arrays, and
works out how arguments of the same types are passed and how many bytes a number has. Here all that
is remembered while a kernel is compiled, under numba's lock: the answers are the same.

From numba's private parts come methods of its contexts (``refresh``, ``resolve_function_type``,
``get_arg_packer``, ``get_abi_sizeof``), their ``_registries``, the lock, and ``typeof_impl``, which
finds the type of a value by its class.
"""

import contextlib
import operator
import sys
from collections.abc import Callable, Iterator
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

import numpy as np
from numba.core import registry, types
from numba.core.compiler_lock import global_compiler_lock
from numba.core.extending import _Intrinsic
from numba.core.registry import cpu_target
from numba.core.typing.typeof import typeof_impl

_NAMES = (
    *("add", "sub", "mul", "truediv", "floordiv", "mod", "lshift", "rshift", "and_", "or_", "xor"),
    *("iadd", "isub", "imul", "itruediv", "ifloordiv", "imod", "ilshift", "irshift"),
    *("iand", "ior", "ixor", "lt", "le", "gt", "ge", "eq", "ne", "neg", "pos", "invert", "not_"),
)
_OPERATORS = frozenset(getattr(operator, name) for name in _NAMES)
_NUMBERS = types.Number | types.Boolean
_IN_CODE = (
    *(ModuleType, FunctionType, BuiltinFunctionType),
    *(registry.CPUDispatcher, _Intrinsic, np.ufunc),
)


@contextlib.contextmanager
def remembering() -> Iterator[None]:
    """Compile quickly; what compiles within this is a part of it."""
    with global_compiler_lock:
        for kind in _IN_CODE:
            _know(kind)
        typing, target = cpu_target.typing_context, cpu_target.target_context
        if "refresh" in vars(typing):
            yield
            return
        typing.refresh = _when_grown(typing, lambda: None)
        target.refresh = _when_grown(target, typing.refresh)
        typing.resolve_function_type = _of_numbers_once(typing.resolve_function_type)
        target.get_arg_packer = _once(target.get_arg_packer, tuple)
        target.get_abi_sizeof = _once(target.get_abi_sizeof, lambda kind: kind)
        try:
            yield
        finally:
            del typing.refresh, target.refresh, typing.resolve_function_type
            del target.get_arg_packer, target.get_abi_sizeof


def _when_grown(context: Any, further: Callable[[], None]) -> Callable[[], None]:
    """Return a context's ``refresh`` that looks only at registries which have grown."""
    n_modules, seen = 0, dict[Any, list[int]]()

    def refresh() -> None:
        nonlocal n_modules
        if n_modules != len(sys.modules):  # an imported module may have registered anything
            type(context).refresh(context)
            n_modules = len(sys.modules)
        for one, loader in list(context._registries.items()):
            sizes = [len(getattr(one, name)) for name in loader.registry_items]
            if seen.get(one) != sizes:
                context.install_registry(one)
                seen[one] = sizes
        further()

    return refresh


def _of_numbers_once(resolve: Callable[..., Any]) -> Callable[..., Any]:
    """Return what finds the type of a call, and once only for an operator of numbers."""
    known: dict[Any, Any] = {}

    def find(function: Any, arguments: tuple, named: Any) -> Any:
        is_operator = isinstance(function, BuiltinFunctionType) and function in _OPERATORS
        if not is_operator or not all(isinstance(kind, _NUMBERS) for kind in arguments):
            return resolve(function, arguments, named)
        question = function, arguments
        if question not in known:
            known[question] = resolve(function, arguments, named)
        return known[question]

    return find


def _once(answer: Callable[[Any], Any], key: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a function that works out once what it answers to a question, told by its key."""
    known: dict[Any, Any] = {}

    def find(question: Any) -> Any:
        told = key(question)
        if told not in known:
            known[told] = answer(question)
        return known[told]

    return find


def know_classes(value: Any) -> None:
    """Have numba find the type of a value, and of a tuple's parts, by its class alone.

    It would first ask of a class that it has not seen whether it is one of its 300 classes of
    types, some of them abstract: the first such question takes a tenth of a second.
    """
    _know(type(value))
    if isinstance(value, tuple):
        for part in value:
            know_classes(part)


def _know(kind: type) -> None:
    known = typeof_impl.registry
    if kind not in known:
        found = next(one for one in kind.__mro__ if one in known)
        if found is not object or kind in _IN_CODE:
            typeof_impl.register(kind, known[found])
