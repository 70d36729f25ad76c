"""Numba's passes over a function, without those that our own functions have no use for.

Numba looks in each function for closures, list comprehensions, ``with``, dynamic ``raise``,
functions to be inlined in Python's form and expressions of whole arrays, and works out after each
of some 25 passes how long variables live. Most helpers are a loop over numbers, to which none of
it applies, and there are a hundred of them in a kernel: all that is a sixth of what a compilation
takes. What a function's bytecode shows to need them, and functions of users, get all passes.

A function that counts no references (see ``_options``) needs no end of life of its variables
either, which is more code than what computes.

From numba's private parts come the names of its passes, and of ``PassManager`` what runs one.
"""

import opcode
from collections.abc import Mapping
from types import CodeType
from typing import Any, ClassVar

import numpy as np
from numba.core import ir, types
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import PassManager, register_pass
from numba.core.ir_utils import enforce_no_dels, enforce_no_phis
from numba.core.postproc import PostProcessor
from numba.core.targetconfig import ConfigStack
from numba.core.typed_passes import (
    AnnotateTypes,
    DumpParforDiagnostics,
    IRLegalization,
    NopythonRewrites,
    NoPythonSupportedFeatureValidation,
    NopythonTypeInference,
    type_inference_stage,
)
from numba.core.untyped_passes import (
    FindLiterallyCalls,
    InlineClosureLikes,
    InlineInlinables,
    LiteralPropagationSubPipelinePass,
    LiteralUnroll,
    MakeFunctionToJitFunction,
    RewriteDynamicRaises,
    WithLifting,
)

from fastgd.kernels._jit._extremes import name_quick_ones
from fastgd.kernels._jit._fingerprint import is_ours

_OF_LESS_PLAIN_CODE = {
    FindLiterallyCalls,
    InlineClosureLikes,
    InlineInlinables,
    LiteralPropagationSubPipelinePass,
    LiteralUnroll,
    MakeFunctionToJitFunction,
    NoPythonSupportedFeatureValidation,
    RewriteDynamicRaises,
    WithLifting,
}
_FOR_PEOPLE = {AnnotateTypes, DumpParforDiagnostics}
# ``with`` is BEFORE_WITH, SETUP_WITH or, from Python 3.14 on, LOAD_SPECIAL
_INSTRUCTIONS = (
    *("BEFORE_WITH", "LIST_APPEND", "LOAD_SPECIAL", "MAKE_FUNCTION", "MAP_ADD"),
    *("RAISE_VARARGS", "SETUP_WITH", "SET_ADD"),
)
_NOT_PLAIN = frozenset(opcode.opmap[name] for name in _INSTRUCTIONS if name in opcode.opmap)
_NAMES = frozenset({"hasattr", "isinstance", "literal_unroll", "literally", "prange"})


def is_plain(function: Any) -> bool:
    """Tell whether a function of ours can be seen to need none of the rarer passes."""
    code: CodeType = function.__code__
    names = {*code.co_names, *code.co_freevars}
    return (
        is_ours(function.__module__ or "")
        and _NAMES.isdisjoint(names)
        and _NOT_PLAIN.isdisjoint(code.co_code[::2])
        and not any(isinstance(constant, CodeType) for constant in code.co_consts)
    )


class _Quick(PassManager):
    """Runs passes, and nothing between them."""

    def _runPass(self, index: int, one: Any, state: Any) -> None:
        one.analysis = self._analysis
        for run in (one.run_initialization, one.run_pass, one.run_finalizer):
            run(state)


def holds_array(kind: Any) -> bool:
    """Tell whether a type, or what a call of a signature returns, is an array or has one in it."""
    kind = getattr(kind, "return_type", kind)
    if isinstance(kind, types.BaseTuple):
        return any(holds_array(part) for part in kind)
    return isinstance(kind, types.Array)


@register_pass(mutates_CFG=True, analysis_only=False)
class _Typing(NopythonTypeInference):
    """Finds types."""

    _name = "our_typing"

    def run_pass(self, state: Any) -> bool:
        """Find the types."""
        name_quick_ones(state.func_ir)
        return super().run_pass(state)


@register_pass(mutates_CFG=True, analysis_only=False)
class DraftTyping(NopythonTypeInference):
    """Finds types of a draft, which may return any array: ``_options`` says to whom."""

    _name = "draft_typing"

    def run_pass(self, state: Any) -> bool:
        """Find the types."""
        name_quick_ones(state.func_ir)
        asked = state.typingctx, state.targetctx, state.func_ir, state.args, state.return_type
        found = type_inference_stage(*asked, state.locals)
        state.typemap, state.return_type, state.calltypes, state.typing_errors = found
        return True


@register_pass(mutates_CFG=True, analysis_only=False)
class _ArrayExpressions(NopythonRewrites):
    """Makes one loop of an expression of whole arrays, where there is one."""

    _name = "our_array_expressions"

    def run_pass(self, state: Any) -> bool:
        """Look for such expressions."""
        return any(
            isinstance(what, ir.Expr) and holds_array(signature) and _is_arithmetic(what, state)
            for what, signature in state.calltypes.items()
        ) and super().run_pass(state)


def _is_arithmetic(what: ir.Expr, state: Any) -> bool:
    called = state.typemap.get(what.func.name) if what.op == "call" else None
    is_ufunc = isinstance(getattr(called, "typing_key", None), np.ufunc)
    return is_ufunc or what.op in {"binop", "inplace_binop", "unary"}


@register_pass(mutates_CFG=False, analysis_only=True)
class _Lives(IRLegalization):
    """Works out where variables end, if their references are counted."""

    _name = "our_lives"

    def run_pass(self, state: Any) -> bool:
        """Work it out."""
        enforce_no_phis(state.func_ir)
        enforce_no_dels(state.func_ir)
        if state.flags.nrt:
            longer = state.flags.dbg_extend_lifetimes
            PostProcessor(state.func_ir).run(emit_dels=True, extend_lifetimes=longer)
        return True


_OURS = {
    IRLegalization: _Lives,
    NopythonTypeInference: _Typing,
    NopythonRewrites: _ArrayExpressions,
}


class KernelCompiler(CompilerBase):
    """Numba's compiler, with these passes."""

    ends: ClassVar[Mapping[Any, Any]] = {}  # passes that stand for others of numba's

    def define_pipelines(self) -> list:
        """Return the passes; hooks that it calls are compiled as for a helper, and so once."""
        inherited = ConfigStack().top()
        inherited.forceinline = inherited.no_cpython_wrapper = True
        plain, ours = is_plain(self.state.func_id.func), {**_OURS, **self.ends}
        skipped = _FOR_PEOPLE | (_OF_LESS_PLAIN_CODE if plain else set())
        passes = (_Quick if plain else PassManager)("ours")
        for one, says in DefaultPassBuilder.define_nopython_pipeline(self.state).passes:
            if one not in skipped:
                passes.add_pass(ours.get(one, one), says)
        passes.finalize()
        return [passes]
