"""Columns of text: scikit-learn's vectorizers, fitted before they are put behind their column."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastgd._readers.errors import BadData, quoted

TFIDF, HASHING = "tfidf", "hashing"
HASHED_FEATURES, MOST_WORDS = 1 << 18, 50_000
MANY_ROWS = 100  # of which a word that comes once says nothing
LONG, SEVERAL = 3, 0.5  # a cell of several words; the share of such cells in a column of text


class TextEncoding(NamedTuple):
    """How text becomes numbers.

    Attributes
    ----------
    name : {"tfidf", "hashing"}
    ngrams : (int, int)
        The fewest and the most words (or characters) that a feature is made of.
    characters : bool
        Whether features are of characters, within words, rather than of words.
    """

    name: str = TFIDF
    ngrams: tuple[int, int] = (1, 1)
    characters: bool = False

    def _options(self) -> dict[str, Any]:
        return {
            "analyzer": "char_wb" if self.characters else "word",
            "ngram_range": self.ngrams,
        }

    def unfitted(self, name: str, texts: Sequence[NDArray[Any]]) -> tuple[Any, Any]:
        """Return a vectorizer with its words, and the same fitted: hashing needs no fit.

        Raises
        ------
        BadData
            If the texts hold no words.
        """
        from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer

        if self.name == HASHING:
            return HashingVectorizer(n_features=HASHED_FEATURES, **self._options()), None
        cells = np.concatenate([*texts, np.empty(0, object)])
        options = {"sublinear_tf": True, "max_features": MOST_WORDS, **self._options()}
        options["min_df"] = 2 if len(cells) >= MANY_ROWS else 1
        try:
            fitted = TfidfVectorizer(**options).fit(cells)
        except ValueError:
            raise BadData(f"the column {quoted(name)} holds no words that come again.") from None
        words = {word: int(place) for word, place in fitted.vocabulary_.items()}
        return TfidfVectorizer(**options, vocabulary=words), fitted


def settle(part: Any, fitted: Any) -> None:
    """Give a vectorizer the weights of words that another was fitted to, and its words once."""
    if fitted is not None:
        part.vocabulary = None
        if hasattr(part, "_tfidf"):
            part._tfidf = fitted._tfidf


def looks_like_text(cells: Sequence[str]) -> bool:
    """Tell whether most cells are several words."""
    several = sum(len(cell.split()) > LONG for cell in cells)
    return len(cells) > 0 and several > SEVERAL * len(cells)
