"""Helpers as drafts: typed and lowered, but hardly optimised and not turned into machine code.

Numba optimises every function with all that it calls, emits its machine code, and does the same
again for each caller. A helper is only ever a part of kernels, so what it is for is its code before
that: a kernel links the drafts of all helpers, and is optimised once. That is a half to two thirds
of what a compilation takes, and of the memory that stays.

From numba's private parts come the pass that lowers a function, which compiles into the library
that it finds in its state, and of ``JITCodeLibrary`` what links and what finishes a module.
"""

from typing import Any, ClassVar

from llvmlite import binding, ir
from numba import _dynfunc
from numba.core.analysis import compute_cfg_from_blocks
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler_machinery import register_pass
from numba.core.typed_passes import NativeLowering, NopythonTypeInference

from fastgd.kernels._jit._passes import DraftTyping, KernelCompiler, is_plain

_CALLED_BY_PYTHON = "_ZN7cpython"  # begins the name of what numba writes for that


class _Draft(JITCodeLibrary):
    """A library that is linked into others, and has no machine code of its own."""

    has_loops = True

    def keep_apart(self, name: str) -> None:
        """Have kernels call this function instead of inlining it."""
        self._final_module.get_function(name).add_function_attribute("noinline")

    def _optimize_functions(self, module: Any) -> None:
        """Take what numba wrote through memory into registers, which leaves a tenth of the code.

        Loops need more: what LLVM makes of them alone is a tenth faster than what it makes of them
        among everything else.
        """
        if self.has_loops:
            super()._optimize_functions(module)
            return
        module.data_layout = self._codegen._data_layout
        builder = self._codegen._pass_builder(opt=1)
        passes = binding.create_new_function_pass_manager()
        passes.add_sroa_pass()
        passes.add_instruction_combine_pass()
        passes.add_simplify_cfg_pass()
        for function in module.functions:
            if not function.is_declaration:
                passes.run(function, builder)

    def finalize(self) -> None:
        """Link what this calls."""
        self._raise_if_finalized()
        for library in dict.fromkeys(self._linking_libraries):
            self._reload_init.update(library._reload_init)
            self._final_module.link_in(library._get_module_for_linking(), preserve=True)
        self._finalize_dynamic_globals()
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
        """Return 0: there is none, but numba asks before it fills such a place."""
        self._ensure_finalized()
        self._codegen._add_module(self._environments())
        self._codegen._engine.finalize_object()
        return 0


def _without_code(library: Any, description: Any, environment: Any) -> Any:
    """Return a function that stands for a draft among those with machine code."""
    library._ensure_finalized()
    module = description.lookup_module()
    return _dynfunc.make_function(module, "draft", "", 0, environment, (library,))


@register_pass(mutates_CFG=True, analysis_only=False)
class _DraftLowering(NativeLowering):
    """Lowers into a draft."""

    _name = "draft_lowering"

    def run_pass(self, state: Any) -> bool:
        """Lower a function."""
        library = _Draft(state.targetctx.codegen(), state.func_id.func_qualname)
        library.enable_object_caching()
        library.has_loops = bool(compute_cfg_from_blocks(state.func_ir.blocks).loops())
        state.library, state.flags.no_compile = library, True
        super().run_pass(state)
        lowered = state.cr
        if not state.flags.forceinline:
            library.keep_apart(lowered.fndesc.llvm_func_name)
        alone = is_plain(state.func_id.func) and not lowered.env.consts
        made_by = _without_code if alone else state.targetctx.get_executable
        entry = made_by(library, lowered.fndesc, lowered.env)
        state.targetctx.insert_user_function(entry, lowered.fndesc, [library])
        state.cr = lowered._replace(cfunc=entry)
        return True


class _Whole(JITCodeLibrary):
    """A library of a kernel, with its own copy of each function that it calls instead of inlining.

    What calls it from Python is a fifth of the code and runs once: it is not optimised.
    """

    def _optimize_functions(self, module: Any) -> None:
        """Optimise before anything is linked."""
        for function in module.functions:
            if not function.is_declaration and function.name.startswith(_CALLED_BY_PYTHON):
                function.add_function_attribute("noinline")
                function.add_function_attribute("optnone")
        super()._optimize_functions(module)

    def _optimize_final_module(self) -> None:
        """Optimise, with all that has been linked."""
        for function in self._final_module.functions:
            is_shared = function.linkage == binding.Linkage.linkonce_odr
            if is_shared and b"noinline" in function.attributes:
                function.linkage = binding.Linkage.internal
        super()._optimize_final_module()


@register_pass(mutates_CFG=True, analysis_only=False)
class _WholeLowering(NativeLowering):
    """Lowers a kernel."""

    _name = "whole_lowering"

    def run_pass(self, state: Any) -> bool:
        """Lower a function."""
        state.library = _Whole(state.targetctx.codegen(), state.func_id.func_qualname)
        state.library.enable_object_caching()
        return super().run_pass(state)


class WholeCompiler(KernelCompiler):
    """The same, with the end of what is called from Python."""

    ends: ClassVar = {NativeLowering: _WholeLowering}


class DraftCompiler(KernelCompiler):
    """The same, with another end."""

    ends: ClassVar = {NopythonTypeInference: DraftTyping, NativeLowering: _DraftLowering}
