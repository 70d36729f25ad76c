"""Model files: a zip archive of a card in JSON, and the fitted pipeline in skops' format.

Nothing in it is a pickle. The card says what the model expects, and is read first and without
skops; then each type that the pipeline names is held against ``trusted_types``, and only if all are
in it does skops make objects.
"""

import io
import json
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any
from warnings import catch_warnings, simplefilter, warn

import numpy as np
from sklearn.pipeline import Pipeline

from fastgd import __version__
from fastgd._readers.errors import (
    BadData,
    TooLarge,
    UserError,
    first_line,
    listed,
    reason,
)
from fastgd._readers.layout import Layout
from fastgd._readers.limits import Limits, refuse_more
from fastgd._readers.npy import header_of
from fastgd._readers.zips import Members, members
from fastgd._runtime.postponed import postponed
from fastgd.cli._names import CLASSIFICATION, MODELS
from fastgd.cli._output import replacing
from fastgd.cli._skops import skops_for

__all__ = ["Card", "load", "read_card", "replacing", "save", "trusted_types"]

FORMAT = 2  # the newest that is known
PLAIN_FORMAT = 1  # of a card without columns of text or dates: older versions open it
CARD, PIPELINE, SCHEMA = "card.json", "pipeline.skops", "schema.json"
# what JSON becomes: bytes that an object, a list, a word, a comma take in memory, roughly
_COSTS = ((b"{", 232), (b"[", 64), (b'"', 28), (b",", 40))
_WIDEST = 4  # bytes of each character of a text with a rare one
QUICKLY = 1  # compression: coefficients hardly get smaller by more of it
N_SAMPLES, SAMPLE, WORTH_IT = 64, 1 << 12, 0.5  # bytes here and there, and their compressed share
_MOST_AXES = 3  # of an array of a model: an optimizer's state of several outputs
_NODE = 2500  # bytes of what skops makes of an object's description

_OF_SCIKIT_LEARN = {
    "sklearn.compose._column_transformer.ColumnTransformer",
    "sklearn.feature_extraction.text.HashingVectorizer",
    "sklearn.feature_extraction.text.TfidfTransformer",
    "sklearn.feature_extraction.text.TfidfVectorizer",
    "sklearn.impute._base.SimpleImputer",
    "sklearn.pipeline.Pipeline",
    "sklearn.preprocessing._data.StandardScaler",
    "sklearn.preprocessing._encoders.OneHotEncoder",
    "sklearn.preprocessing._label.LabelBinarizer",
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
    format: int = PLAIN_FORMAT
    fastgd: str = __version__
    scikit_learn: str = field(default_factory=lambda: version("scikit-learn"))

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return {**vars(self), "layout": self.layout.as_dict()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Card":
        """Return the card that ``as_dict`` wrote."""
        card = cls(**{**values, "layout": Layout.from_dict(values["layout"])})
        card._check()
        return card

    def _check(self) -> None:
        known = MODELS[self.model]
        words = (self.model, self.estimator, self.task, self.fastgd, self.scikit_learn)
        if not all(isinstance(word, str) for word in (*words, *self.settings.values())):
            raise ValueError("a card's entries are text")
        if self.format != format_for(self.layout) or self.estimator not in (
            known.estimator,
            known.in_chunks,
        ):
            raise ValueError(f"format {self.format}, {self.estimator}")
        if self.task != known.task or type(self.n_rows) is not int:
            raise ValueError(f"the task is {self.task}, of {self.n_rows} rows")
        is_classifier = self.task == CLASSIFICATION
        if isinstance(self.classes, list) != is_classifier:
            raise ValueError("only a classifier has classes")
        if not all(isinstance(label, str | int | float) for label in self.classes or ()):
            raise ValueError("classes are text or numbers")


def format_for(layout: Layout) -> int:
    """Return the oldest format that can say what a layout holds."""
    return FORMAT if layout.has_new_kinds else PLAIN_FORMAT


def save(path: Path, card: Card, pipeline: Any) -> int:
    """Write a model file; return its size in bytes."""
    content = skops_for("saving a model").dumps(pipeline)
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED, compresslevel=QUICKLY) as archive:
        archive.writestr(CARD, json.dumps(card.as_dict(), indent=1))
        archive.writestr(PIPELINE, content, _packing_of(content))
    with replacing(path) as file:
        file.write(memory.getbuffer())
    return memory.tell()


def _packing_of(content: bytes) -> int:
    """Return how to keep a pipeline: coefficients of many digits take longer than they get smaller.

    Those of features that were never seen are zeros, which take no room.
    """
    if len(content) <= N_SAMPLES * SAMPLE:
        return zipfile.ZIP_DEFLATED
    step = len(content) // N_SAMPLES
    sample = b"".join(content[at : at + SAMPLE] for at in range(0, step * N_SAMPLES, step))
    is_worth_it = len(zlib.compress(sample, QUICKLY)) <= WORTH_IT * len(sample)
    return zipfile.ZIP_DEFLATED if is_worth_it else zipfile.ZIP_STORED


def read_card(path: Path, limits: Limits = Limits()) -> Card:  # noqa: B008
    """Return what a model file says of itself; nothing of it is executed.

    Raises
    ------
    BadData
        If it is no model file, or one of a format newer than this version knows.
    """
    _refuse_other_files(path)
    with members(path, path) as archive:
        content = archive.read(CARD, limits.model)
    return _card_of(path, content, limits)


def _card_of(path: Path, content: bytes, limits: Limits) -> Card:
    values = _parsed(f"{path}: its {CARD}", content, limits.model)
    saved = values.get("format") if isinstance(values, dict) else None
    if isinstance(saved, int) and saved > FORMAT:
        raise BadData(
            f"{path} has format {saved}, and fastgd {__version__} knows formats up to {FORMAT}: "
            f"it was saved by fastgd {values.get('fastgd')}. Install that version or a newer one."
        )
    try:
        return Card.from_dict(values)
    except (TypeError, KeyError, ValueError, AttributeError):
        raise BadData(f"{path}: its {CARD} is damaged, or not fastgd's.") from None


def _parsed(what: str, content: bytes, most: int) -> Any:
    """Return what JSON holds, if that cannot take more memory than is allowed."""
    of_text, of_words = _bytes_of_a_character(content)
    size = len(content) * (1 + of_text + of_words)
    size += sum(cost * content.count(mark) for mark, cost in _COSTS)
    refuse_more(what, size, most)
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise BadData(f"{what} is damaged.") from None


def _bytes_of_a_character(content: bytes) -> tuple[int, int]:
    """Return how many bytes Python may take for each: as a text, and in the words in it."""
    if not content.isascii():
        return _WIDEST, _WIDEST
    return 1, _WIDEST if b"\\u" in content else 1


def load(path: Path, limits: Limits = Limits()) -> tuple[Card, Any]:  # noqa: B008
    """Return the card and the pipeline of a model file.

    Raises
    ------
    BadData
        If it is no model file, or names a type that is not needed for any of fastgd's models.
    """
    card = read_card(path, limits)
    skops = skops_for("opening a model")
    _warn_of_versions(path, card)
    with members(path, path) as archive:
        content = archive.read(PIPELINE, limits.model)
    trusted = trusted_types(of_networks=MODELS[card.model].is_network)
    _refuse_others(path, content, trusted, limits.model)
    try:
        with catch_warnings(), postponed():
            simplefilter("ignore")  # of versions, which is reported already
            pipeline = skops.loads(content, trusted=sorted(set().union(*trusted.values())))
        _check(card, pipeline)
    except MemoryError:
        raise
    except Exception as error:  # damaged in a way that only shows when it is put together
        raise BadData(f"{path} is damaged: {first_line(error) or type(error).__name__}") from None
    return card, pipeline


def _check(card: Card, pipeline: Any) -> None:
    """Refuse a pipeline that is not what the card says."""
    if not isinstance(pipeline, Pipeline):
        raise ValueError("it holds no pipeline.")
    model = pipeline.steps[-1][1]
    names = [name for name, _ in pipeline.steps]
    if names not in (["model"], ["prepare", "model"]) or type(model).__name__ != card.estimator:
        raise ValueError(f"it holds no {card.estimator}.")
    classes = model.classes_.tolist() if card.task == CLASSIFICATION else None
    if classes != card.classes:
        raise ValueError(f"its {CARD} has other classes than the model.")
    if MODELS[card.model].is_network:
        model._refuse_arrays_of_another()
    fitted = [getattr(model, name, 0.0) for name in ("coef_", "intercept_", "offset_", "_params")]
    if not all(np.all(np.isfinite(array)) for array in fitted):
        raise ValueError("its coefficients are not finite numbers.")


def _refuse_other_files(path: Path) -> None:
    if not path.is_file():
        raise BadData(f"there is no model {path}")
    try:
        with path.open("rb") as file:
            start = file.read(2)
        is_zip = zipfile.is_zipfile(path)
    except OSError as error:
        raise BadData(f"{path} cannot be read: {reason(error)}") from None
    names: list[str] = []
    if is_zip:
        with members(path, path) as archive:
            names = archive.names
    if CARD not in names:
        raise BadData(f"{path} is no model that fastgd saved.{_hint(start)}")


def _hint(start: bytes) -> str:
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


def trusted_types(*, of_networks: bool = True) -> dict[str, set[str]]:
    """Return the types that model files may name, by skops' loader of them.

    They are what fastgd's models and their preparation consist of, and nothing else. Estimators are
    named without being imported.
    """
    from fastgd import linear_model, losses, schedules
    from fastgd._training.progress import Progress, Reference

    names = linear_model._names.qualified()
    estimators = {name for name in names if name.rpartition(".")[2][0].isupper()}  # no functions
    objects = {*_OF_SCIKIT_LEARN, *estimators, _name(Progress), _name(Reference)}
    objects |= {_name(schedules.Cosine), "fastgd._progress.Progress"}  # of version 0.1
    tuples = {_name(kind) for kind in (losses.Quantile, losses.Tweedie, schedules.Course)}
    if of_networks:
        of_objects, of_tuples = _types_of_networks()
        objects, tuples = objects | of_objects, tuples | of_tuples
    return {**_PLAIN, "ObjectNode": objects, "TupleNode": _PLAIN["TupleNode"] | tuples}


def _types_of_networks() -> tuple[set[str], set[str]]:
    """Return the types that networks consist of beside those of all models: objects, tuples."""
    from fastgd import activations, layers, neural_network
    from fastgd._networks.assembly import Assembly

    objects = (neural_network.MLPClassifier, neural_network.MLPRegressor, Assembly)
    used = (layers.Dense, layers.Dropout, layers.BatchNorm, layers.LayerNorm)
    tuples = (*used, *map(type, activations.ACTIVATIONS.values()))
    return set(map(_name, objects)), set(map(_name, tuples))


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _refuse_others(path: Path, content: bytes, trusted: dict[str, set[str]], most: int) -> None:
    """Refuse types that no model needs, and contents that would take too much memory."""
    try:
        with members(io.BytesIO(content), path) as archive:
            described = archive.read(SCHEMA, most)
            refuse_more(str(path), described.count(b'"__class__"') * _NODE, most)
            schema = _parsed(f"{path}: its {SCHEMA}", described, most)
            nodes = list(_nodes(schema))
            refuse_more(str(path), _size_of_arrays(archive, nodes), most)
    except TooLarge:
        raise
    except UserError:
        raise BadData(f"{path}: its {PIPELINE} is damaged, or not skops'.") from None
    others = sorted(
        {name for name, loader in map(_named, nodes) if name not in trusted.get(loader, ())}
    )
    if others:
        raise BadData(
            f"{path} is not opened: it names {listed(others)}, which no model of fastgd's consists "
            "of. Opening it could run code that is not fastgd's."
        )


def _size_of_arrays(archive: Members, nodes: list[dict[str, Any]]) -> int:
    """Return the bytes of all arrays: skops reads one as often as it is named.

    Raises
    ------
    BadData
        If one is not what its header says.
    """
    files = [node["file"] for node in nodes if "file" in node]
    if not all(isinstance(name, str) for name in files):
        raise BadData("a file's name is no text")
    for name in set(files):  # an array of nothing may say that it is endless
        header_of(archive, name, name, _MOST_AXES)
    return sum(archive.info(name).file_size for name in files)


def _nodes(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield skops' description of each object in an object."""
    waiting = [schema]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting.extend(node)
        elif isinstance(node, dict):
            if "__class__" in node or "__loader__" in node:
                yield node
            waiting.extend(node.values())


def _named(node: dict[str, Any]) -> tuple[str, str]:
    """Return the name of an object's type, and its loader."""
    return f"{node.get('__module__')}.{node.get('__class__')}", str(node.get("__loader__"))
