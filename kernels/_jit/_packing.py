"""Compiled code as plain objects, for the disk, and back.

From numba's private parts come a compilation's ``_reduce`` and ``_rebuild``, ``rtsys`` for the
symbols of numba's runtime, a library's ``_final_module`` for those that an entry links to and
``_shared_module`` for what others link, and the engine's ``_defined_symbols``, which it would learn
from the code in LLVM's form.

Numba keeps two things beside the machine code: the code in LLVM's form, for functions that call
this one, and the source with all types, for people. Nobody reads a cache, and compiled code that
calls a kernel takes its draft (see ``_options``). Without both, an entry is a third as large and is
read in a quarter of the time (1.4 ms instead of 5.8).
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from llvmlite import binding
from numba.core.compiler import CompileResult
from numba.core.runtime import rtsys

_ANNOTATION = 6  # its place in what ``_reduce`` returns


class Packed(NamedTuple):
    """What an entry holds.

    needed, defined : tuples of str, the names that the code links to, and those in it
    parts : tuple, the code as plain objects
    """

    needed: tuple[str, ...]
    defined: tuple[str, ...]
    parts: tuple


def pack(compiled: CompileResult) -> Packed:
    """Return compiled code as plain objects."""
    module = compiled.library._final_module
    with _nothing_to_link(compiled.library):
        parts = list(compiled._reduce())
    parts[_ANNOTATION] = ""
    return Packed(*_symbols(module), tuple(parts))


def unpack(packed: Packed, target_context: Any) -> CompileResult:
    """Return code that can be called."""
    _make_known(packed.needed, target_context)
    target_context.codegen()._engine._defined_symbols.update(packed.defined)
    return CompileResult._rebuild(target_context, *packed.parts)


@contextlib.contextmanager
def _nothing_to_link(library: Any) -> Iterator[None]:
    """Have a library offer an empty module for the same machine."""
    module, offered = library._final_module, library._shared_module
    empty = binding.parse_assembly("")
    empty.triple, empty.data_layout = module.triple, module.data_layout
    library._shared_module = empty
    try:
        yield
    finally:
        library._shared_module = offered


def _symbols(module: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """List what a module links to and does not define, and what it defines."""
    values = [*module.functions, *module.global_variables]
    names = {value.name: value.is_declaration for value in values}
    needed = (n for n, is_needed in names.items() if is_needed and not n.startswith("llvm."))
    defined = (n for n, is_needed in names.items() if not is_needed)
    return tuple(sorted(needed)), tuple(sorted(defined))


def _make_known(symbols: Sequence[str], target_context: Any) -> None:
    """Register what machine code links to: an unknown name would end the process.

    Code may have been compiled where a library is, Intel's vector functions for instance, that this
    process has not loaded.

    Raises
    ------
    LookupError
        If numba does not know a name either.
    """
    rtsys.initialize(target_context)
    if all(map(binding.address_of_symbol, symbols)):
        return
    target_context.refresh()
    unknown = [name for name in symbols if not binding.address_of_symbol(name)]
    if unknown:
        raise LookupError(f"machine code links to {', '.join(unknown)}, which are not loaded.")
