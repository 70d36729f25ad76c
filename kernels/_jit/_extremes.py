"""``min`` and ``max`` of two numbers, in place: numba compiles a function for each type of them.

What is compared and chosen is numba's own ``do_minmax``, a private part; so is how its form of a
function names a global.
"""

import operator
from typing import Any

from numba import types
from numba.core import ir
from numba.cpython.builtins import do_minmax
from numba.extending import lower_builtin, type_callable


def least(a: Any, b: Any) -> Any:
    """Return the smaller number."""
    return min(a, b)


def most(a: Any, b: Any) -> Any:
    """Return the larger number."""
    return max(a, b)


_QUICK = {min: least, max: most}


def name_quick_ones(function: Any) -> None:
    """Have a function, in numba's form, call these wherever it takes an extreme of two numbers."""
    made, called = {}, {}
    for block in function.blocks.values():
        for line in block.find_insts(ir.Assign):
            if isinstance(line.value, ir.Global) and _is_known(line.value.value):
                made[line.target.name] = line
            elif isinstance(line.value, ir.Expr) and line.value.op == "call":
                called.setdefault(line.value.func.name, []).append(line.value)
    for name, line in made.items():
        if all(len(call.args) == 2 and not call.vararg for call in called.get(name, ())):
            old = line.value
            line.value = ir.Global(old.name, _QUICK[old.value], old.loc)


def _is_known(value: Any) -> bool:
    return value is min or value is max


def _type_of(context: Any) -> Any:
    def of_two(a: Any, b: Any) -> Any:
        numbers = types.Number | types.Boolean
        both = isinstance(a, numbers) and isinstance(b, numbers)
        return context.unify_types(a, b) if both else None

    return of_two


def _by(comparison: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        found = do_minmax(context, builder, signature.args, arguments, comparison)
        kind = context.typing_context.unify_types(*signature.args)
        return context.cast(builder, found, kind, signature.return_type)

    return emit


for one, comparison in ((least, operator.lt), (most, operator.gt)):
    type_callable(one)(_type_of)
    lower_builtin(one, types.Any, types.Any)(_by(comparison))
