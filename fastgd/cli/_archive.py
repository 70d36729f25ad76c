"""Model files: a zip archive of a card in JSON, and the fitted pipeline in skops' format.

Nothing in it is a pickle. The card says what the model expects, and is read first and without
skops; then each type that the pipeline names is held against ``trusted_types``, and only if all are
in it does skops make objects.
"""

import io
import json
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any
from warnings import catch_warnings, simplefilter, warn

from sklearn.pipeline import Pipeline

from fastgd import __version__
from fastgd.cli._layout import Layout
from fastgd.cli._names import MODELS
from fastgd.cli._problems import Problem, listed, needed

FORMAT = 1
CARD, PIPELINE = "card.json", "pipeline.skops"

_OF_SCIKIT_LEARN = {
    "sklearn.compose._column_transformer.ColumnTransformer",
    "sklearn.impute._base.SimpleImputer",
    "sklearn.pipeline.Pipeline",
    "sklearn.preprocessing._data.StandardScaler",
    "sklearn.preprocessing._encoders.OneHotEncoder",
}
# skops' loaders, and the types that each may be asked for
_PLAIN = {
    "DictNode": {"builtins.dict"},
    "ListNode": {"builtins.list"},
    "TupleNode": {"builtins.tuple"},
    "SliceNode": {"builtins.slice"},
    "JsonNode": {"builtins.str"},
    "NdArrayNode": {"numpy.ndarray", "numpy.float64", "numpy.float32", "numpy.int64"},
    "DTypeNode": {"numpy.dtype"},
    "TypeNode": {"builtins.str", "numpy.float64", "numpy.float32", "numpy.int64", "numpy.object_"},
}


@dataclass(frozen=True)
class Card:
    """What is to be known of a model before it is opened.

    Attributes
    ----------
    model : str
        Its short name.
    estimator : str
        The class that was fitted: another than the short name's where data came in chunks.
    settings : dict of str to str
        The estimator's parameters, as Python writes them.
    classes : list or None
        The labels, in the order of the probabilities.
    n_rows : int
        Rows that it was fitted to.
    """

    model: str
    estimator: str
    task: str
    layout: Layout
    settings: dict[str, str]
    n_rows: int
    classes: list[Any] | None = None
    format: int = FORMAT
    fastgd: str = __version__
    scikit_learn: str = field(default_factory=lambda: version("scikit-learn"))

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return {**asdict(self), "layout": self.layout.as_dict()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Card":
        """Return the card that ``as_dict`` wrote."""
        card = cls(**{**values, "layout": Layout.from_dict(values["layout"])})
        known = MODELS[card.model]
        if values["format"] != FORMAT or card.estimator not in (known.estimator, known.in_chunks):
            raise ValueError(f"format {card.format}, {card.estimator}")
        return card


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that takes the place of ``path`` once it is whole.

    Raises
    ------
    Problem
        If it cannot be written.
    """
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise Problem(f"{path} cannot be written: {error.strerror}") from None
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    except OSError as error:
        raise Problem(f"{path} cannot be written: {error.strerror}") from None
    finally:
        Path(name).unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def save(path: Path, card: Card, pipeline: Any) -> None:
    """Write a model file."""
    content = needed("skops.io", "saving a model").dumps(pipeline)
    with (
        replacing(path) as file,
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        archive.writestr(CARD, json.dumps(card.as_dict(), indent=1))
        archive.writestr(PIPELINE, content)


def read_card(path: Path) -> Card:
    """Return what a model file says of itself; nothing of it is executed.

    Raises
    ------
    Problem
        If it is no model file, or one of a format newer than this version knows.
    """
    values = _json(path, lambda archive: archive.read(CARD))
    saved = values.get("format") if isinstance(values, dict) else None
    if isinstance(saved, int) and saved > FORMAT:
        raise Problem(
            f"{path} has format {saved}, and fastgd {__version__} knows formats up to {FORMAT}: "
            f"it was saved by fastgd {values.get('fastgd')}. Install that version or a newer one."
        )
    try:
        return Card.from_dict(values)
    except (TypeError, KeyError, ValueError, AttributeError):
        raise Problem(f"{path}: its {CARD} is damaged, or not fastgd's.") from None


def load(path: Path) -> tuple[Card, Any]:
    """Return the card and the pipeline of a model file.

    Raises
    ------
    Problem
        If it is no model file, or names a type that is not needed for any of fastgd's models.
    """
    card = read_card(path)
    skops = needed("skops.io", "opening a model")
    _warn_of_versions(path, card)
    with zipfile.ZipFile(path) as archive:
        content = _content(path, archive)
    trusted = trusted_types()
    _refuse_others(path, content, trusted)
    try:
        with catch_warnings():
            simplefilter("ignore")  # of versions, which is told already
            pipeline = skops.loads(content, trusted=sorted(set().union(*trusted.values())))
    except Exception as error:  # damaged in a way that only shows when it is put together
        raise Problem(f"{path} is damaged: {error}") from None
    if not isinstance(pipeline, Pipeline):
        raise Problem(f"{path} is damaged: it holds no pipeline.")
    return card, pipeline


def _content(path: Path, archive: zipfile.ZipFile) -> bytes:
    try:
        return archive.read(PIPELINE)
    except (KeyError, zipfile.BadZipFile, OSError, EOFError) as error:
        raise Problem(f"{path} is damaged: {error}") from None


def _json(path: Path, read: Callable[[zipfile.ZipFile], bytes]) -> Any:
    if not path.is_file():
        raise Problem(f"there is no model {path}")
    try:
        with zipfile.ZipFile(path) as archive:
            return json.loads(read(archive))
    except (zipfile.BadZipFile, KeyError, ValueError, OSError, EOFError, RecursionError):
        raise Problem(f"{path} is no model that fastgd saved.{_hint(path)}") from None


def _hint(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(2)
    is_pickle = start[:1] == b"\x80" or start == b"\x1f\x8b"
    return " Pickles are not opened: they can run any code." if is_pickle else ""


def _warn_of_versions(path: Path, card: Card) -> None:
    for package, saved, installed in (
        ("fastgd", card.fastgd, __version__),
        ("scikit-learn", card.scikit_learn, version("scikit-learn")),
    ):
        if saved != installed:
            warn(
                f"{path} was saved with {package} {saved}, and {installed} is installed: "
                "predictions may differ. Train it anew to be sure.",
                UserWarning,
                stacklevel=3,
            )


def trusted_types() -> dict[str, set[str]]:
    """Return the types that model files may name, by skops' loader of them.

    They are what fastgd's models and their preparation consist of, and nothing else.
    """
    from fastgd import linear_model, losses, schedules
    from fastgd._training.progress import Progress, Reference

    estimators = {_name(getattr(linear_model, name)) for name in linear_model.__all__}
    objects = {*_OF_SCIKIT_LEARN, *estimators, _name(Progress), _name(Reference)}
    objects |= {_name(schedules.Cosine), "fastgd._progress.Progress"}  # of version 0.1
    tuples = {_name(kind) for kind in (losses.Quantile, losses.Tweedie, schedules.Course)}
    return {**_PLAIN, "ObjectNode": objects, "TupleNode": _PLAIN["TupleNode"] | tuples}


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _refuse_others(path: Path, content: bytes, trusted: dict[str, set[str]]) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            schema = json.loads(archive.read("schema.json"))
    except (zipfile.BadZipFile, KeyError, ValueError, RecursionError):
        raise Problem(f"{path}: its {PIPELINE} is damaged, or not skops'.") from None
    others = sorted(
        {name for name, loader in _named(schema) if name not in trusted.get(loader, ())}
    )
    if others:
        raise Problem(
            f"{path} is not opened: it names {listed(others)}, which no model of fastgd's consists "
            "of. Opening it could run code that is not fastgd's."
        )


def _named(node: Any) -> Iterator[tuple[str, str]]:
    """Yield the name and the loader of all types in skops' description of objects."""
    if isinstance(node, list):
        for part in node:
            yield from _named(part)
    elif isinstance(node, dict):
        if "__class__" in node or "__loader__" in node:
            name = f"{node.get('__module__')}.{node.get('__class__')}"
            yield name, str(node.get("__loader__"))
        for part in node.values():
            yield from _named(part)
