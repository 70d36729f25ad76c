"""``hook``: dispatch to a spec's static method, in plain Python and inside compiled code.

A loss, penalty or optimizer is a ``NamedTuple`` of its hyperparameters with scalar static
methods. A hook is the function through which a kernel calls such a method: numba resolves it
by the class of the first argument while it compiles the kernel, so that a kernel is written
once and specialised by what it is given, and the call costs nothing.
"""

import functools
import inspect
from collections.abc import Callable

import numpy as np
from numba import types
from numba.extending import overload

from fastgd.kernels._jit import INLINED, remember

# What has a meaning of its own to a compiler: functions, and what each is resolved by. Another
# compiler than the processor's, with a registry of its own, takes all of them from here.
HOOKS: list[tuple[Callable, Callable]] = []


def implement(function):
    """Decorate what says, from the types of its arguments, by what ``function`` is compiled.

    Every ``overload`` of the project is made here.
    """

    def register(resolve):
        HOOKS.append((function, resolve))
        return overload(function, target="generic", jit_options=INLINED)(resolve)

    return register


def hook(plain):
    """Make ``plain(spec, ...)`` compile to ``type(spec).<the same name>(spec, ...)``.

    The plain function's body is what the hook means in Python; the static method it names must
    have the same argument names (numba compares them). The method inherits the fastmath and
    error model of the kernel that calls it.
    """

    def resolve(spec, *others):
        return remember(getattr(spec.instance_class, plain.__name__), (spec, *others))

    # numba compares the argument names of an overload with those of its implementation
    resolve.__signature__ = inspect.signature(plain)
    implement(plain)(resolve)
    return plain


def optional(default):
    """Make a hook that means ``default`` for a spec that has no method of its name."""
    name = default.__name__

    @functools.wraps(default)
    def plain(spec, *arguments):
        return getattr(type(spec), name, default)(spec, *arguments)

    def resolve(spec, *others):
        return remember(getattr(spec.instance_class, name, default), (spec, *others))

    resolve.__signature__ = inspect.signature(default)
    implement(plain)(resolve)
    return plain


def by_number(of_one):
    """Make of ``of_one(spec, ...)``, which returns nothing, one by the number of a spec of several.

    ``literal_unroll`` would say the same, and takes numba three times as long.
    """

    def of_several(specs, number, *arguments):
        of_one(specs[number], *arguments)

    def of_last(specs, number, *arguments):
        of_one(specs[0], *arguments)

    def of_first_or_rest(specs, number, *arguments):
        if number == 0:
            of_one(specs[0], *arguments)
        else:
            of_several(specs[1:], number - 1, *arguments)

    @overload(of_several, target="generic", jit_options=INLINED)
    def _compiled(specs, number, *arguments):
        return of_last if len(specs) == 1 else of_first_or_rest

    return of_several


def cast(value, reference):
    """Return ``value`` in the type of ``reference``, so that float32 loops stay float32.

    A literal is float64 to numba, and one of them turns a whole expression into float64.
    """
    return type(reference)(value)


@implement(cast)
def _cast(value, reference):
    if reference is types.float32:
        return lambda value, reference: np.float32(value)
    return lambda value, reference: np.float64(value)


def name_by_package(package, *classes):
    """Name classes by the package that their users import them from, not by a file in it.

    Pickles and model files find a class by that name, whatever becomes of the files.
    """
    for cls in classes:
        cls.__module__ = package
