"""Helpers as drafts: typed and lowered, but neither optimised nor turned into machine code.

Numba optimises every function with all that it calls, emits its machine code, and does the same
again for each caller. A helper is only ever a part of kernels, so what it is for is its code before
that: a kernel links the drafts of all helpers, and is optimised once. That is a half to two thirds
of what a compilation takes, and of the memory that stays.

From numba's private parts come the pass that lowers a function, which compiles into the library
that it finds in its state, and of ``JITCodeLibrary`` what links and what finishes a module.
"""

from typing import Any

from llvmlite import binding, ir
from numba.core import errors, types
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import register_pass
from numba.core.typed_passes import NativeLowering


class _Draft(JITCodeLibrary):
    """A library that is linked into others, and has no machine code of its own."""

    def finalize(self) -> None:
        """Link what this calls."""
        self._raise_if_finalized()
        for library in dict.fromkeys(self._linking_libraries):
            self._reload_init.update(library._reload_init)
            self._final_module.link_in(library._get_module_for_linking(), preserve=True)
        self._finalize_dynamic_globals()
        self._codegen._add_module(self._environments())
        self._codegen._engine.finalize_object()
        self._finalized = True

    def _environments(self) -> Any:
        """Return a module of the places that point to what functions keep in Python."""
        places = self._codegen._create_empty_module(f"{self.name}.environments")
        for found in self._final_module.global_variables:
            if found.linkage == binding.Linkage.common:
                place = ir.GlobalVariable(places, ir.IntType(8).as_pointer(), found.name)
                place.linkage = "common"
                place.initializer = ir.Constant(place.type.pointee, None)
        return binding.parse_assembly(str(places))

    def _get_module_for_linking(self) -> Any:
        """Return the module itself, not a copy: it is only ever linked into others."""
        self._ensure_finalized()
        if self._shared_module is None:
            for function in self._final_module.functions:
                if not function.is_declaration and function.linkage == binding.Linkage.external:
                    function.linkage = "linkonce_odr"
            self._shared_module = self._final_module
        return self._shared_module

    def get_pointer_to_function(self, name: str) -> int:
        """Return 0: there is none."""
        self._ensure_finalized()
        return 0


def _holds_array(kind: Any) -> bool:
    """Tell whether what a function returns is an array, or a tuple with one in it."""
    if isinstance(kind, types.BaseTuple):
        return any(_holds_array(part) for part in kind)
    return isinstance(kind, types.Array)


@register_pass(mutates_CFG=True, analysis_only=False)
class _DraftLowering(NativeLowering):
    """Lowers into a draft."""

    _name = "draft_lowering"

    def run_pass(self, state: Any) -> bool:
        """Lower a function."""
        if not state.flags.nrt and _holds_array(state.return_type):
            raise errors.NumbaTypeError(
                f"{state.func_id.func_name} returns an array and counts no references, which a "
                "caller that counts would give up: say allocates=True."
            )
        state.library = _Draft(state.targetctx.codegen(), state.func_id.func_qualname)
        state.library.enable_object_caching()
        return super().run_pass(state)


class DraftCompiler(CompilerBase):
    """Numba's compiler, with another end."""

    def define_pipelines(self) -> list:
        """Return the passes."""
        passes = DefaultPassBuilder.define_nopython_pipeline(self.state)
        passes._finalized = False
        for number, (one, says) in enumerate(passes.passes):
            if one is NativeLowering:
                passes.passes[number] = (_DraftLowering, says)
        passes.finalize()
        return [passes]
