"""What one pass over the data learns, and the preparation of columns that follows from it.

Data in chunks and data at once go the same way, so the preparation does not depend on the chunks.
"""

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from fastgd._readers.errors import BadData
from fastgd._readers.layout import CATEGORY, NUMBER, SPARSE, TABLE, TEXT, Chunk, Layout
from fastgd._readers.reader import Reader
from fastgd._readers.texts import TextEncoding
from fastgd._readers.texts import settle as settle_text
from fastgd._runtime.postponed import imported

MANY_WORDS, MOST_NAME_BYTES = 50, 1 << 26
SLICE_ROWS = 1 << 14  # rows of which moments are taken at once: bounds the scratch


class Moments:
    """Means and standard deviations of columns, chunk by chunk; missing numbers do not count."""

    def __init__(self, *, sparse: bool = False) -> None:
        self._scaler = StandardScaler(with_mean=not sparse)
        self.n_missing = 0

    def add(self, values: Any) -> None:
        """Take in further rows."""
        for first in range(0, values.shape[0], SLICE_ROWS):
            part = values[first : first + SLICE_ROWS]
            self.n_missing += int(np.isnan(_stored(part)).sum())
            with np.errstate(invalid="ignore", divide="ignore"):  # columns without any number
                self._scaler.partial_fit(part)

    @property
    def mean(self) -> NDArray[np.float64]:
        """Means, NaN for columns without any number."""
        return np.asarray(self._scaler.mean_, np.float64)

    @property
    def deviation(self) -> NDArray[np.float64]:
        """Standard deviations."""
        return np.sqrt(np.asarray(self._scaler.var_, np.float64))

    def two_rows(self, *, centred: bool = False) -> NDArray[np.float64]:
        """Return two rows that have the same means (or 0) and standard deviations as all."""
        mean = 0.0 if centred else self.mean
        return np.stack([mean - self.deviation, mean + self.deviation])


def _stored(matrix: Any) -> NDArray[Any]:
    """Return the numbers that a matrix stores: all of them, or the non-zeros."""
    values: NDArray[Any] = matrix if isinstance(matrix, np.ndarray) else matrix.data
    return values


def _words_of(column: Any) -> set[str]:
    """Return the different words of a column."""
    from pandas import unique

    if hasattr(column, "cat"):
        known = column.cat.categories
        return set(known[np.unique(column.cat.codes[column.cat.codes >= 0])])
    return {word for word in unique(column.to_numpy()) if word is not None and word == word}


class Summary:
    """What there is to know of the rows before any model is fitted to them.

    Means and deviations of sparse rows are of use where they are standardised only.

    Attributes
    ----------
    numbers : list of str
        The numeric columns of a table.
    moments, target : Moments
        Of the numeric columns, and of the targets of a regression.
    categories : dict of str to set of str
    classes : Counter
        How often each label of a classification comes.
    n_rows : int
    """

    def __init__(
        self,
        reader: Reader,
        layout: Layout,
        *,
        classifies: bool,
        takes_moments: bool = True,
        keeps_texts: bool = False,
    ) -> None:
        self._reader = reader
        self._layout = layout
        self._classifies = classifies
        self._takes_moments = takes_moments
        self.texts: dict[str, list[NDArray[Any]]] = {}
        if keeps_texts:
            self.texts = {name: [] for name in layout.names(TEXT)}
        self.numbers = layout.names(NUMBER)
        self.n_rows = 0
        self.moments = Moments(sparse=layout.form == SPARSE)
        self.target = Moments()
        self.categories: dict[str, set[str]] = {name: set() for name in layout.names(CATEGORY)}
        self.classes: Counter[Any] = Counter()

    def add(self, chunk: Chunk, reader: Reader | None = None) -> None:
        """Take in further rows, by default of the summary's own file.

        Raises
        ------
        BadData
            For numbers that are infinite: the place in the file.
        """
        if chunk.n_rows == 0:
            return
        self.n_rows += chunk.n_rows
        is_table = self._layout.form == TABLE
        numbers = chunk.X[self.numbers].to_numpy() if is_table else chunk.X
        if numbers.shape[1] > 0:
            self._refuse_infinity(numbers, chunk.first, reader or self._reader)
            if self._takes_moments:
                self.moments.add(numbers)
        for name, parts in self.texts.items():
            parts.append(chunk.X[name].to_numpy(object))
        for name, seen in self.categories.items():
            seen.update(_words_of(chunk.X[name]))
        if chunk.y is not None:
            if self._classifies:
                self._count(chunk.y)
            else:
                self.target.add(chunk.y.reshape(-1, 1))

    def _count(self, y: NDArray[Any]) -> None:
        if y.dtype == object:
            self.classes.update(y.tolist())
            return
        labels, times = np.unique(y, return_counts=True)
        self.classes.update(dict(zip(labels.tolist(), times.tolist(), strict=True)))

    def _refuse_infinity(self, numbers: Any, first: int, reader: Reader) -> None:
        is_sparse = self._layout.form == SPARSE
        # a sparse row has no gaps that could be filled in: what is not stored is zero
        bad = ~np.isfinite(_stored(numbers)) if is_sparse else np.isinf(numbers)
        if not bad.any():
            return
        name = None
        if is_sparse:
            row = int(np.searchsorted(numbers.indptr, np.argmax(bad), side="right")) - 1
        else:
            row, column = (int(index) for index in np.argwhere(bad)[0])
            if self._layout.form == TABLE:
                name = self.numbers[column]
        place = reader.place(first + row, name)
        raise BadData(f"{place}: {'not a finite number' if is_sparse else 'an infinite number'}.")

    def empty_columns(self) -> list[str]:
        """Return the columns of a table that hold nothing at all."""
        empty = [name for name, seen in self.categories.items() if not seen]
        if self.numbers and self.n_rows > 0:
            is_empty = np.isnan(self.moments.mean)
            empty += [name for name, lost in zip(self.numbers, is_empty, strict=True) if lost]
        return empty


def preparation(
    layout: Layout, summary: Summary, *, standardize: bool, encoding: TextEncoding | None = None
) -> Any:
    """Return the fitted transformer in front of the model; None where there is nothing to do.

    It is fitted to two rows that have the means, standard deviations and categories of all, since
    not all of scikit-learn's transformers take chunks.
    """
    moments = summary.moments
    if layout.form == TABLE:
        return _of_table(layout, summary, encoding or TextEncoding(), standardize=standardize)
    if layout.form == SPARSE:
        if not standardize:
            return None
        return StandardScaler(with_mean=False).fit(moments.two_rows(centred=True))
    if not standardize and moments.n_missing == 0:
        return None
    return _of_numbers(standardize=standardize).fit(moments.two_rows())


def _of_numbers(*, standardize: bool) -> Any:
    """Return what fills in missing numbers with the mean."""
    imputer = imported("sklearn.impute:SimpleImputer")
    if not standardize:
        return imputer()
    zero = imputer(strategy="constant", fill_value=0.0)  # the mean, once it is subtracted
    return Pipeline([("scale", StandardScaler()), ("impute", zero)])


def _of_table(
    layout: Layout, summary: Summary, encoding: TextEncoding, *, standardize: bool
) -> Any:
    """Return the transformer of named columns.

    It is given columns by their places in the two rows, and finds them by their names in any
    frame: looked up by name, they would take a time that grows with the square of their number.
    """
    from pandas import DataFrame, concat

    numbers, categories = layout.names(NUMBER), layout.names(CATEGORY)
    known = [np.array(sorted(summary.categories[name]), object) for name in categories]
    branches: list[Any] = []
    frames = []
    if numbers:
        branches.append(("numbers", _of_numbers(standardize=standardize), slice(0, len(numbers))))
        rows = DataFrame(summary.moments.two_rows(), columns=summary.numbers)
        frames.append(rows if numbers == summary.numbers else rows[numbers])
    if categories:
        encoder = OneHotEncoder(categories=known, handle_unknown="ignore")
        branches.append(
            ("categories", encoder, slice(len(numbers), len(numbers) + len(categories)))
        )
        ends = np.array([[words[0], words[-1]] for words in known], object).T
        frames.append(DataFrame(ends, columns=categories, dtype=object))
    weights: dict[str, Any] = {}
    for k, name in enumerate(layout.names(TEXT)):
        unfitted, weights[f"text {k}"] = encoding.unfitted(name, summary.texts.get(name, ()))
        branches.append((f"text {k}", unfitted, len(numbers) + len(categories) + k))
        frames.append(DataFrame({name: ["", ""]}, dtype=object))
    transformer = imported("sklearn.compose:ColumnTransformer")
    fitted = transformer(branches).fit(concat(frames, axis=1))
    for branch, part, _ in (*fitted.transformers_, *fitted.transformers):
        settle_text(part, weights.get(branch))
    for part in _parts(fitted):
        if "feature_names_in_" in vars(part):
            part.feature_names_in_ = _compact(part.feature_names_in_)
        if isinstance(part, OneHotEncoder):  # its parameter says the same once more
            part.categories = "auto"
            if hasattr(part, "categories_"):
                part.categories_ = [_compact(words) for words in part.categories_]
    # what scikit-learn keeps as lists of places, each of which would be saved as an object
    lists = vars(fitted).get("_transformer_to_input_indices", {})
    for name in lists:
        lists[name] = np.asarray(lists[name], np.int64)
    return fitted


def _parts(transformer: Any) -> list[Any]:
    """Return a fitted transformer and those in it, and those that they were made from."""
    both = [*transformer.transformers_, *transformer.transformers]
    branches = [part for _, part, _ in both if not isinstance(part, str)]
    inner = [step for part in branches if isinstance(part, Pipeline) for _, step in part.steps]
    return [transformer, *branches, *inner]


def _compact(names: NDArray[Any]) -> NDArray[Any]:
    """Return names as an array of text, which is saved as one: objects are saved one by one.

    All take the room of the longest there, so a few very long ones are left as they are, and few
    are: very many arrays take long to save.
    """
    if len(names) < MANY_WORDS:
        return names
    text = names.astype(str)
    if text.nbytes > MOST_NAME_BYTES or not np.array_equal(text, names):  # NULs at their ends
        return names
    return text
