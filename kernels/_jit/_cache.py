"""A disk cache of machine code that can be trusted.

Numba's own disk cache is not used, for two reasons that were measured with numba 0.68. It judges
freshness by the file of the entry point alone, so an upgrade that changed only a helper in another
file ran the old machine code. And it keeps one index for all signatures of a function, so several
processes compiling at once left an index pointing at another signature's code.

Here every signature has a file of its own, written whole (``_files``), which begins with
a checksum over its content, its signature and everything that the code was made from. An entry
that is stale, foreign, truncated or damaged is the same case, a checksum that does not match, and
is seen before anything in it is unpickled. There is no index to race for, hence no lock, and the
same holds on Windows and on network drives. A stale entry is overwritten by the fresh one of the
same name, so the folder does not grow.

Reading an entry does not make numba load all that it can compile, as its own cache does: that is
three quarters of what a process would wait for. An entry lists the symbols that it links to, and
only where one of them is unknown is numba asked for everything.

From numba's private parts come ``Dispatcher._cache`` with its interface, and
``CompileResultCacheImpl`` for the folder. Its events tell when compilation begins and ends
(``watch_compilation``).
"""

import contextlib
import functools
import hashlib
import os
import pickle
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from numba.core.caching import CompileResultCacheImpl, NullCache
from numba.core.serialize import dumps

from fastgd.kernels._files import remove_stale, whole_file
from fastgd.kernels._jit._fingerprint import (
    FOLDER,
    PACKAGE,
    STAMP,
    Untraceable,
    is_ours,
    provenance_of,
    spell_all,
)
from fastgd.kernels._jit._packing import pack, unpack
from fastgd.kernels._jit._places import Place, places_of


def cache_folder() -> str | None:
    """Return the folder that holds this package's machine code, None where none is writable."""
    storage = Cache(cache_folder).storage
    return None if storage is None else storage.locator.get_cache_path()


def count_compiled() -> int:
    """Return how many kernels this process has compiled, signature by signature."""
    return Cache.n_compiled


class _Entry(NamedTuple):
    """Where a signature's machine code lies, and what must not have changed since."""

    path: str
    provenance: str


class Cache(NullCache):
    """One file a signature, trusted only if its checksum covers today's sources.

    It stands in for numba's own cache in a dispatcher: a miss is None, and nothing is raised.
    """

    n_compiled = 0  # by the whole process

    def __init__(self, function: Callable) -> None:
        self._function = function

    @functools.cached_property
    def storage(self) -> CompileResultCacheImpl | None:
        """Numba's choice of folder; None where no folder is writable."""
        try:
            return CompileResultCacheImpl(_in_one_folder(self._function))
        except RuntimeError:
            return None

    @property
    def cache_path(self) -> str | None:
        """The folder, as ``Dispatcher.stats`` reports it."""
        return None if self.storage is None else self.storage.locator.get_cache_path()

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the compiled code for a signature, or None."""
        for entry in self.entries(sig, target_context.codegen()):
            # Whatever is wrong with an entry, compiling anew puts it right.
            with contextlib.suppress(Exception):
                blob = Path(entry.path).read_bytes()
                checksum, body = blob[:32], blob[32:]
                if checksum == _checksum(entry, body):
                    return unpack(pickle.loads(body), target_context)
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Write the compiled code for a signature; a full disk is no error.

        Where nothing can be written, one warning tells that every process will compile anew.
        """
        Cache.n_compiled += 1
        if self.storage is None:
            _warn_once(_NOWHERE)
            return
        entry = next(self.entries(sig, data.codegen), None)
        if entry is None or not self.storage.check_cachable(data):
            return
        with contextlib.suppress(pickle.PicklingError):
            body = dumps(pack(data))
            _write(entry, _checksum(entry, body) + body)

    def entries(self, sig: Any, codegen: Any) -> Iterator[_Entry]:
        """Name a signature's entry in each place; none where it must not be cached."""
        if STAMP is None:
            return
        try:
            arguments = spell_all(getattr(sig, "args", sig))
            provenance = provenance_of(self._function, arguments.classes)
        except (Untraceable, ValueError):  # ValueError: a closure's cell that is still empty
            return
        for place in places_of(self.storage, codegen):
            yield self._entry(place, arguments.text, provenance)

    def _entry(self, place: Place, arguments: str, provenance: str) -> _Entry:
        digest = hashlib.sha256(f"{place.machine} {arguments}".encode()).hexdigest()
        return _Entry(os.path.join(place.folder, self._file_name(digest)), provenance + digest)

    def _file_name(self, digest: str) -> str:
        """Name the function, the interpreter and the signature, in letters any disk takes."""
        module = self._function.__module__.removeprefix(f"{PACKAGE}.")
        name = f"{module}.{self._function.__qualname__}"
        name = "".join(letter for letter in name if letter not in "<>")
        return f"{name}.{sys.implementation.cache_tag}.{digest[:24]}.nbc"


def _write(entry: _Entry, blob: bytes) -> None:
    """Write an entry; where that fails, tell once that every process will compile anew."""
    folder = os.path.dirname(entry.path)
    try:
        os.makedirs(folder, exist_ok=True)
        remove_stale(folder, lambda name: name.endswith(".nbc"))
        with whole_file(entry.path) as file:
            file.write(blob)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        _warn_once(_NOT_WRITTEN.format(folder=folder, reason=reason))


def _in_one_folder(function: Callable) -> Callable:
    """Return a function by which numba chooses the same folder for all files of this package."""
    if not is_ours(function.__module__ or ""):
        return function
    code = function.__code__.replace(co_filename=str(FOLDER / "__init__.py"))
    return types.FunctionType(code, {}, closure=function.__closure__)


@functools.cache
def _warn_once(message: str) -> None:
    warnings.warn(message, RuntimeWarning, stacklevel=2)


_NOWHERE = (
    "No folder for compiled kernels is writable, neither the package's nor the user's: every "
    "process compiles anew. Set NUMBA_CACHE_DIR to a folder that can be written to."
)
_NOT_WRITTEN = (
    "Compiled kernels could not be kept in {folder}: {reason}. Every process compiles them anew, "
    "which takes seconds. Make room in that folder, or set NUMBA_CACHE_DIR to another one."
)


def _checksum(entry: _Entry, body: bytes) -> bytes:
    """Digest an entry's content together with everything that it was made from."""
    return hashlib.sha256(entry.provenance.encode() + b"\0" + body).digest()
