"""The arguments of the command line. It imports nothing heavy: help is quick."""

import argparse
from pathlib import Path
from typing import Any, NoReturn

from fastgd import __version__
from fastgd._readers.errors import Misuse, plain
from fastgd._readers.limits import FEATURES, MEMORY, MOST_FEATURES, parsed_count, parsed_size
from fastgd.cli._names import BY_TARGET, MODELS

KINDS = ("csv", "svmlight", "vw", "parquet", "npz")  # of files, as the readers call them
MOST_BITS, MOST_WORDS_OF_ONE = 30, 10
EXIT_STATUS = "exit status: 0 good, 1 data or a model is at fault, 2 wrong usage"
FORMATS = """\
DATA is read by the end of its name: .csv, .tsv and .txt (CSV), .svm, .svmlight and .libsvm, .vw
(Vowpal Wabbit), all of them also with .gz or .zst; .parquet and .pq; .npz (arrays X and y, or a
CSR matrix). - reads stdin, which is CSV or what --format says."""

EXAMPLES = {
    "train": """\
  fastgd train flights.csv --target late --model logistic -o late.fastgd
  fastgd train flights.csv.gz --target delay --model ridge --set alpha=10 \\
      --drop tailnum --validation 0.2 -o delay.fastgd
  fastgd train reviews.csv --target stars --text review --ngrams 1-2 --model logistic -o m.fastgd
  fastgd train more.csv --resume network.fastgd --epochs 5 -o network2.fastgd
  fastgd train texts.svm --model svc --set C=0.5 -o texts.fastgd
  fastgd train clicks.vw.gz --model sgd-classifier --bits 20 -o clicks.fastgd
  fastgd train flights.csv --target delay --model mlp --hidden 64,64 --validation 0.2 \
      --set dropout=0.1 -o network.fastgd
  fastgd train huge.parquet --target late --model logistic --chunk-rows 100000 \\
      --epochs 5 -o late.fastgd""",
    "predict": """\
  fastgd predict late.fastgd new.csv -o predictions.csv
  fastgd predict late.fastgd new.csv --proba | head""",
    "evaluate": """\
  fastgd evaluate late.fastgd test.csv
  fastgd evaluate late.fastgd test.csv --json""",
    "search": """\
  fastgd search flights.csv --target late --model logistic -o late.fastgd
  fastgd search flights.csv --target delay --model elasticnet --grid alpha=0.01,0.1,1 \
      --grid l1_ratio=0.1,0.5,0.9 --folds 10 -o delay.fastgd""",
    "inspect": """\
  fastgd inspect late.fastgd
  fastgd inspect late.fastgd --top 50 --json
  fastgd inspect late.fastgd --plot late.png""",
    "report": """\
  fastgd report late.fastgd -o late.html
  fastgd report late.fastgd test.csv -o late.html""",
    "info": """\
  fastgd info
  fastgd info late.fastgd
  fastgd info late.fastgd --json""",
    "bench": """\
  fastgd bench
  fastgd bench flights.csv --target late --model logistic""",
    "warmup": """\
  fastgd warmup
  fastgd warmup --dtype float64 --no-sparse
  fastgd warmup --into kernels/_machine_code --cpu x86-64-v3""",
    "demo": """\
  fastgd demo --plot demo.png""",
    "completion": """\
  fastgd completion bash > ~/.local/share/bash-completion/completions/fastgd
  fastgd completion zsh > ~/.zfunc/_fastgd""",
}


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, without control characters."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the arguments, and exit."""
        said = f"{self.prog}: error: {plain(message)} ({self.prog} --help lists all arguments)"
        self.exit(2, f"{said}\n")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Refuse what is not known here, where a command's parser would leave it to the whole."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return found, unknown


def parser() -> argparse.ArgumentParser:
    """Return the parser; ``run`` of what it parses names the function of the command."""
    top = _Parser(
        prog="fastgd",
        description="Linear, logistic and softmax models by gradient descent, from files.",
        epilog=f"fastgd COMMAND --help has examples.\n{EXIT_STATUS}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"fastgd {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND")
    for add in (
        _train,
        _search,
        _predict,
        _evaluate,
        _inspect,
        _report,
        _info,
        _bench,
        _warmup,
        _demo,
        _completion,
    ):
        add(commands)
    return top


def _command(
    commands: Any, name: str, run: str, help: str, more: str = ""
) -> argparse.ArgumentParser:
    made: argparse.ArgumentParser = commands.add_parser(
        name,
        help=help,
        description=f"{help[0].upper()}{help[1:]}.\n{more}".rstrip(),
        epilog=f"examples:\n{EXAMPLES[name]}\n\n{EXIT_STATUS}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.set_defaults(run=f"fastgd.cli.{run}")
    made.add_argument(
        "--debug",
        action="store_true",
        help="print a traceback if something goes wrong (as does FASTGD_DEBUG=1)",
    )
    return made


def _file(parser: Any, *names: str, **more: Any) -> None:
    parser.add_argument(*names, type=Path, **more).complete = _COMPLETE_FILES


# what shtab's scripts call for a file's name
_COMPLETE_FILES = {
    "bash": "_shtab_compgen_files",
    "zsh": "_files",
    "tcsh": "f",
    "fish": "__fish_complete_path",
}


def _train(commands: Any) -> None:
    train = _command(
        commands,
        "train",
        "_train:run",
        "fit a model to the rows of a file, and save it",
        f"\n{FORMATS}\n\nmodels:\n{_models_as_text()}",
    )
    train.set_defaults(check=_refuse_no_model)
    _file(train, "data", metavar="DATA", help="the rows to learn from")
    names = [*MODELS, *BY_TARGET]
    train.add_argument("--model", choices=names, metavar="NAME", help="see above")
    _file(
        train,
        "--resume",
        metavar="MODEL",
        help="train a saved model further on DATA, from where it ended",
    )
    _file(
        train,
        "-o",
        "--output",
        required=True,
        metavar="FILE",
        help="where the model goes (-: stdout)",
    )
    _add_columns(train)
    _add_bits(train)
    _add_settings(train)
    _add_training(train)
    _add_chunk_rows(train, "default: all at once, if memory allows")
    train.add_argument(
        "--show-columns", action="store_true", help="print what each column was taken for"
    )
    _add_quiet(train)


def _add_training(train: Any) -> None:
    """Add what shapes the model, and how it learns and is measured."""
    train.add_argument(
        "--hidden",
        type=_sizes,
        metavar="N,N,...",
        help="units of each hidden layer of the mlp models (default: 100)",
    )
    train.add_argument(
        "--standardize",
        action=argparse.BooleanOptionalAction,
        help="shift and scale numbers to mean 0 and deviation 1 (by default for the sgd and mlp "
        "models and for training in chunks; the others do not need it)",
    )
    train.add_argument(
        "--validation",
        type=_fraction_or_file,
        metavar="FRACTION|FILE",
        help="measure on rows that are held out, or on those of another file; the sgd and mlp "
        "models also stop by them",
    )
    train.add_argument(
        "--epochs",
        type=_positive,
        metavar="N",
        help="passes over the rows (sgd and mlp models: at most, default 1000 and 200; in "
        "chunks: 10)",
    )


def _models_as_text() -> str:
    width = max(map(len, [*MODELS, *BY_TARGET]))
    lines = [
        f"  {name:<{width}} {model.estimator} ({model.task})" for name, model in MODELS.items()
    ]
    lines += [
        f"  {name:<{width}} {' or '.join(both)}, by the target" for name, both in BY_TARGET.items()
    ]
    return "\n".join(lines)


def _add_columns(parser: Any) -> None:
    parser.add_argument(
        "--target", metavar="NAME", help="the column (.npz: the array, y by default) to predict"
    )
    for option, help in (
        ("categorical", "take a column for categories, even if it holds numbers"),
        ("numeric", "take a column for numbers"),
        ("drop", "leave a column out"),
        ("text", "learn from the words of a column"),
    ):
        parser.add_argument(
            f"--{option}", action="extend", nargs=1, default=[], metavar="COLUMN", help=help
        )
    parser.add_argument(
        "--text-encoding",
        choices=("tfidf", "hashing"),
        help="of the words: by how often they come (the default), or hashed (in chunks)",
    )
    parser.add_argument(
        "--ngrams",
        type=_range,
        metavar="N|N-M",
        help="take N to M words that follow each other for a feature (default: 1)",
    )
    parser.add_argument(
        "--characters",
        action="store_true",
        default=None,
        help="take characters in place of words",
    )
    _add_notation(parser)
    _add_limits(parser, features=True)


def _add_bits(parser: Any) -> None:
    parser.add_argument(
        "--bits",
        type=_bits,
        metavar="N",
        help="hash features of .vw files into 2^N columns (default: 18)",
    )


def _add_settings(parser: Any) -> None:
    parser.add_argument(
        "--set",
        action="extend",
        nargs=1,
        default=[],
        metavar="NAME=VALUE",
        help="a parameter of the estimator; may be repeated",
    )
    parser.add_argument("--seed", type=_seed, metavar="N", help="of all that is drawn at random")


def _add_notation(parser: Any) -> None:
    parser.add_argument(
        "--format",
        choices=KINDS,
        help="what DATA is, where the end of its name does not say it",
    )
    parser.add_argument(
        "--separator", metavar="CHARACTER", help="of CSV (default: a comma, a tab for .tsv)"
    )
    parser.add_argument(
        "--decimal", metavar="CHARACTER", help='of numbers in CSV: "." (the default) or ","'
    )
    parser.add_argument(
        "--thousands",
        metavar="CHARACTER",
        help="that groups digits of numbers in CSV, such as , or . or a space (default: none)",
    )


def _add_limits(parser: Any, *, features: bool) -> None:
    parser.add_argument(
        "--max-memory",
        type=_size,
        metavar="SIZE",
        help="that rows read at once, or a model, may take, such as 8G (default: half of what is "
        f"free, 1G for a model; or {MEMORY})",
    )
    if features:
        parser.add_argument(
            "--max-features",
            type=_count,
            metavar="N",
            help="columns that a sparse matrix may have "
            f"(default: {MOST_FEATURES:,}; or {FEATURES})",
        )


def _add_chunk_rows(parser: Any, default: str) -> None:
    parser.add_argument(
        "--chunk-rows", type=_positive, metavar="N", help=f"read N rows at a time ({default})"
    )


def _add_quiet(parser: Any) -> None:
    parser.add_argument(
        "--quiet", action="store_true", help="no progress and no notes, but warnings and errors"
    )


def _predict(commands: Any) -> None:
    predict = _command(
        commands,
        "predict",
        "_predict:predict",
        "write a model's predictions as CSV",
        f"\n{FORMATS}",
    )
    _add_model_and_data(predict)
    _file(predict, "-o", "--output", metavar="FILE", help="where they go (default: stdout)")
    predict.add_argument(
        "--proba", action="store_true", help="add a column for the probability of each class"
    )
    _add_notation(predict)
    _add_limits(predict, features=False)
    _add_chunk_rows(predict, "default: as memory allows")
    _add_quiet(predict)


def _evaluate(commands: Any) -> None:
    evaluate = _command(
        commands,
        "evaluate",
        "_predict:evaluate",
        "compare a model's predictions with the targets in a file",
        f"\n{FORMATS}",
    )
    _add_model_and_data(evaluate)
    evaluate.add_argument("--json", action="store_true", help="print JSON")
    _add_notation(evaluate)
    _add_limits(evaluate, features=False)
    _add_chunk_rows(evaluate, "default: as memory allows")
    _add_quiet(evaluate)


def _add_model_and_data(parser: Any) -> None:
    _file(parser, "model", metavar="MODEL", help="a file that fastgd train wrote")
    _file(parser, "data", metavar="DATA", help="the rows")


def _refuse_no_model(args: argparse.Namespace) -> None:
    if args.model is None and args.resume is None:
        raise Misuse("--model is needed: fastgd train --help lists the models.")


def _search(commands: Any) -> None:
    search = _command(
        commands,
        "search",
        "_search:run",
        "choose parameters by cross-validation, and save the best model",
        f"\n{FORMATS}\nThe models are those of train.",
    )
    _file(search, "data", metavar="DATA", help="the rows to learn from")
    search.add_argument(
        "--model", required=True, choices=MODELS, metavar="NAME", help="as for train"
    )
    _file(
        search,
        "-o",
        "--output",
        required=True,
        metavar="FILE",
        help="where the best model goes, fitted to all rows (-: stdout)",
    )
    search.add_argument(
        "--grid",
        action="extend",
        nargs=1,
        default=[],
        metavar="NAME=VALUE,...",
        help="values of a parameter to try; may be repeated (default: C or alpha from 0.001 to "
        "1000)",
    )
    search.add_argument(
        "--folds", type=_folds, default=5, metavar="N", help="of the cross-validation (%(default)s)"
    )
    search.add_argument(
        "--scoring",
        metavar="NAME",
        help="one of scikit-learn's scorers (default: accuracy, or r2)",
    )
    _add_columns(search)
    _add_bits(search)
    _add_settings(search)
    search.add_argument(
        "--standardize",
        action=argparse.BooleanOptionalAction,
        help="shift and scale numbers to mean 0 and deviation 1",
    )
    _add_quiet(search)
    search.set_defaults(
        chunk_rows=None, validation=None, epochs=None, show_columns=False, resume=None
    )


def _inspect(commands: Any) -> None:
    inspect = _command(
        commands,
        "inspect",
        "_inspect:run",
        "print a model's coefficients by name, the strongest first",
    )
    _file(inspect, "model", metavar="MODEL", help="a file that fastgd train wrote")
    inspect.add_argument(
        "--top",
        type=_positive,
        metavar="N",
        help="how many (default: 20, with --json all that are not 0)",
    )
    inspect.add_argument("--json", action="store_true", help="print JSON")
    _file(inspect, "--plot", metavar="FILE", help="draw them into this file (.png, .svg, .pdf)")
    _add_limits(inspect, features=False)


def _report(commands: Any) -> None:
    report = _command(
        commands,
        "report",
        "_inspect:report",
        "write one HTML file on a model: data, fit, history, coefficients",
    )
    _file(report, "model", metavar="MODEL", help="a file that fastgd train wrote")
    _file(report, "data", nargs="?", metavar="DATA", help="rows to measure it by")
    _file(report, "-o", "--output", metavar="FILE", help="where it goes (default: MODEL.html)")
    _add_notation(report)
    _add_limits(report, features=False)
    _add_chunk_rows(report, "default: as memory allows")
    _add_quiet(report)


def _info(commands: Any) -> None:
    info = _command(
        commands,
        "info",
        "_information:run",
        "print versions, the processor, threads and the cache folder, or what a model expects",
    )
    _file(info, "model", nargs="?", metavar="MODEL", help="a file that fastgd train wrote")
    info.add_argument("--json", action="store_true", help="print JSON")
    _add_limits(info, features=False)


def _bench(commands: Any) -> None:
    bench = _command(
        commands,
        "bench",
        "_bench:run",
        "time models of fastgd's and of scikit-learn's on this machine",
        "Without DATA: on sets that come with scikit-learn.",
    )
    _file(bench, "data", nargs="?", metavar="DATA", help="rows of your own, as for train")
    bench.add_argument("--model", choices=MODELS, metavar="NAME", help="as for train")
    _add_columns(bench)
    _add_bits(bench)
    _add_settings(bench)
    bench.add_argument(
        "--no-standardize",
        dest="standardize",
        action="store_false",
        help="give both libraries the numbers as they are",
    )
    bench.add_argument(
        "--repeats", type=_positive, default=5, metavar="N", help="fits to time (%(default)s)"
    )
    _add_quiet(bench)


def _warmup(commands: Any) -> None:
    warmup = _command(
        commands,
        "warmup",
        "_tools:warmup",
        "compile the usual kernels now, so that no first fit has to wait",
    )
    warmup.add_argument(
        "--dtype",
        action="append",
        choices=("float32", "float64"),
        help="for numbers of this type only; may be repeated",
    )
    warmup.add_argument(
        "--no-sparse", dest="sparse", action="store_false", help="for dense rows only"
    )
    warmup.add_argument(
        "--only",
        action="append",
        metavar="CLASS",
        help="for estimators of this class only, such as LogisticRegression; may be repeated",
    )
    warmup.add_argument(
        "--jobs", type=_positive, metavar="N", help="processes that compile (one a processor)"
    )
    warmup.add_argument(
        "--into",
        metavar="DIR",
        help="compile for other machines, into this folder, which a wheel can carry",
    )
    warmup.add_argument(
        "--cpu",
        action="append",
        metavar="LEVEL",
        help="with --into: the processors, x86-64-v3 or x86-64-v4, on ARM generic or apple-m1 "
        "(all that this machine can run); may be repeated",
    )
    _add_quiet(warmup)


def _demo(commands: Any) -> None:
    demo = _command(
        commands, "demo", "_tools:demo", "fit raw, large and sparse data, beside scikit-learn"
    )
    _file(
        demo,
        "--plot",
        default=None,
        metavar="FILE",
        help="draw the objective against seconds, for both libraries, into this file",
    )


def _completion(commands: Any) -> None:
    completion = _command(
        commands,
        "completion",
        "_tools:completion",
        "print a script by which a shell completes these commands",
    )
    completion.add_argument("shell", choices=("bash", "zsh", "tcsh", "fish"))


def _positive(text: str) -> int:
    number = _whole(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 on, got {text}")
    return number


def _folds(text: str) -> int:
    number = _whole(text)
    if number < 2:
        raise argparse.ArgumentTypeError(f"must be a whole number from 2 on, got {text}")
    return number


def _seed(text: str) -> int:
    number = _whole(text)
    if not 0 <= number < 2**32:
        raise argparse.ArgumentTypeError(f"must be a whole number from 0 to 2^32 - 1, got {text}")
    return number


def _whole(text: str) -> int:
    number = int(text)
    if abs(number) >= 2**63:
        raise argparse.ArgumentTypeError(f"is too large: {text}")
    return number


def _size(text: str) -> int:
    try:
        return parsed_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _count(text: str) -> int:
    try:
        return parsed_count(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _range(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    low, high = _positive(first), _positive(last or first)
    if low > high or high > MOST_WORDS_OF_ONE:
        raise argparse.ArgumentTypeError(
            f"must be N or N-M, from 1 to {MOST_WORDS_OF_ONE}, got {text}"
        )
    return low, high


def _bits(text: str) -> int:
    number = _positive(text)
    if number > MOST_BITS:
        raise argparse.ArgumentTypeError(f"must be between 1 and {MOST_BITS}, got {text}")
    return number


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(_positive(part) for part in text.split(","))


def _fraction_or_file(text: str) -> float | Path:
    try:
        fraction = float(text)
    except ValueError:
        return Path(text)
    if not 0.0 < fraction < 1.0:
        raise argparse.ArgumentTypeError(f"must be a file, or between 0 and 1, got {text}")
    return fraction


_sizes.__name__ = "list of whole numbers"
_range.__name__ = "number or a range such as 1-2"
for _kind in (_positive, _seed, _bits, _folds):  # as argparse calls it where int fails
    _kind.__name__ = "whole number"
