"""``fastgd train --resume``: a saved model is trained further, from where it ended."""

import argparse
from typing import Any

from fastgd._readers.encoding import Encoder
from fastgd._readers.errors import Misuse, UserError, listed
from fastgd._readers.layout import Layout
from fastgd.cli import _archive, _models
from fastgd.cli._asked import format_of
from fastgd.cli._names import CLASSIFICATION
from fastgd.cli._train import OF_TEXT, Session, Unit, first_given

OF_COLUMNS = ("target", "categorical", "numeric", "drop", "text", "bits", "standardize", "hidden")


class Resumed(Session):
    """A training that begins with the coefficients, columns and classes of a saved model."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._card, self._saved = _archive.load(args.resume, format_of(args).limits)
        given = first_given(args, (*OF_COLUMNS, *OF_TEXT))
        if given is not None:
            raise Misuse(f"{given} and --resume: the model has it already.")
        if args.model not in (None, self._card.model):
            raise Misuse(
                f"--model {args.model}: {args.resume} is {self._card.model}, and stays it."
            )
        super().__init__(argparse.Namespace(**{**vars(args), "model": self._card.model}))
        if self._in_chunks:
            raise UserError(
                "--resume needs all rows in memory: --max-memory sets how much they may take."
            )

    def _layout(self) -> Layout:
        self._reader.check_layout(self._card.layout)
        return self._card.layout

    def _checked_estimator(self) -> Any:
        model = self._saved.steps[-1][1]
        if "warm_start" not in model.get_params():
            raise UserError(
                f"--resume: {type(model).__name__} always begins anew, since its result does not "
                "depend on where it begins."
            )
        if not self._takes_epochs and self._card.estimator == self._model.estimator:
            self._refuse_epochs()
        return _models.configured(model, self._card.model, self._params, self._args.seed)

    def _finish_looking(self) -> None:
        """Keep columns and preparation; refuse other classes."""
        steps = self._saved.steps
        self._prepare = steps[0][1] if len(steps) > 1 else None
        self._encoder = Encoder(self._prepare)
        if self._model.task == CLASSIFICATION:
            found, known = set(self.summary.classes), set(self._card.classes or ())
            if found != known:
                raise UserError(
                    f"{self._args.data}: the target holds the classes {listed(sorted(found))}, and "
                    f"the model knows {listed(sorted(known))}. They must be the same."
                )
        self._tell([], [])

    def _begin(self, model: Any, unit: Unit) -> None:
        unit.put_in(model)
        model.set_params(warm_start=True)

    def _end(self, model: Any) -> None:
        model.set_params(warm_start=False)
