"""NetworkDisplay: filters and feature maps of a network as images."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from fastgd.plot._style import require_matplotlib

MOST_PANELS = 64
KINDS = ("filters", "maps")


class NetworkDisplay:
    """Images of what a network has learned, or of what it makes of one input.

    It is recommended to use ``from_estimator`` to create a display.

    Parameters
    ----------
    images : ndarray of shape (n_images, height, width) or (n_images, height, width, 3)
        Numbers of any range; three channels are drawn as red, green and blue.
    names : list of str, default=None
        What stands above each image.
    shared : bool, default=True
        Whether all images have one range of colours. It is symmetric about 0, which is white.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes
        The panels that are used.
    figure_ : matplotlib Figure
    images_ : list of matplotlib AxesImage
        To be changed by ``set_data``, in a film of weights that ``WeightRecorder`` has kept.

    Raises
    ------
    ValueError
        For images of another shape.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from fastgd.neural_network import MLPClassifier
    >>> from fastgd.plot import NetworkDisplay
    >>> X, y = load_digits(return_X_y=True)
    >>> model = MLPClassifier((16,), max_iter=5, tol=None).fit(X / 16, y)
    >>> display = NetworkDisplay.from_estimator(model)  # doctest: +SKIP
    """

    def __init__(self, images: Any, *, names: list[str] | None = None, shared: bool = True) -> None:
        self.images = np.asarray(images, np.float64)
        is_colored = self.images.ndim == 4 and self.images.shape[-1] == 3
        if self.images.ndim != 3 and not is_colored:
            raise ValueError(
                "images must have shape (n_images, height, width) or (n_images, height, width, 3), "
                f"got {self.images.shape}."
            )
        if self.images.shape[0] == 0:
            raise ValueError("images is empty.")
        self.names = names
        self.shared = shared

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        kind: str = "filters",
        X: Any = None,
        layer: int | None = None,
        image_shape: tuple[int, int] | None = None,
        most: int = 32,
        figure: Any = None,
    ) -> "NetworkDisplay":
        """Draw the filters of a fitted network, or the feature maps of one input.

        Parameters
        ----------
        estimator : a network of ``fastgd.neural_network``, or a Pipeline that ends with one
            Fitted; with the steps before it X is transformed.
        kind : {"filters", "maps"}, default="filters"
            "filters": the weights of a layer. Those of a convolution have the size of its window,
            and where it has other than 1 or 3 input channels each is drawn as the mean over them;
            those of a dense first layer are drawn as ``image_shape``, a unit each.
            "maps": what each filter of a layer puts out for the first row of X.
        X : array-like, default=None
            Rows as those of ``fit``; needed for "maps".
        layer : int, default=None
            The number of the row in ``summary()``; by default the first that has weights
            ("filters") or that puts out images ("maps").
        image_shape : (int, int), default=None
            Height and width of the rows of a network without axes; a square by default.
        most : int, default=32
            Images at most, from 1 to 64.
        figure : matplotlib Figure or SubFigure, default=None
            What to draw on.

        Returns
        -------
        display : NetworkDisplay

        Raises
        ------
        ValueError
            For another kind, for a layer that has no images, or if X is missing.
        """
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {list(KINDS)}, got {kind!r}.")
        if not 1 <= most <= MOST_PANELS:
            raise ValueError(f"most must be from 1 to {MOST_PANELS}, got {most!r}.")
        network, X = _network_and_rows(estimator, X)
        check_is_fitted(network)
        if kind == "filters":
            number, images = _filters(network, layer, image_shape)
        elif X is None:
            raise ValueError("kind='maps' draws what the layers make of an input: pass X.")
        else:
            number, images = _maps(network, layer, X)
        display = cls(images[:most], names=[str(k) for k in range(min(most, len(images)))])
        display.plot(figure=figure)
        said = "filters" if kind == "filters" else "feature maps"
        display.figure_.suptitle(f"{said} of {network._network.placed[number].name}", fontsize=10)
        return display

    def plot(self, *, figure: Any = None) -> "NetworkDisplay":
        """Draw the images.

        Parameters
        ----------
        figure : matplotlib Figure or SubFigure, default=None

        Returns
        -------
        self : NetworkDisplay
        """
        require_matplotlib("NetworkDisplay")
        import matplotlib.pyplot as pyplot

        n = self.images.shape[0]
        n_columns = int(min(n, max(4, np.ceil(np.sqrt(2.0 * n)))))
        n_rows = -(-n // n_columns)
        if figure is None:
            size = (0.85 * n_columns + 0.3, 1.0 * n_rows + 0.5)
            figure = pyplot.figure(figsize=size, layout="constrained")
        panels = np.atleast_1d(figure.subplots(n_rows, n_columns)).ravel()
        for panel in panels:
            panel.set_axis_off()
        self.figure_, self.axes_ = figure, panels[:n]
        self.images_ = [self._draw(k, panel) for k, panel in enumerate(self.axes_)]
        return self

    def _draw(self, k: int, panel: Any) -> Any:
        image = self.images[k]
        if self.names is not None:
            panel.set_title(self.names[k], fontsize=7, pad=2)
        edge = float(np.max(np.abs(self.images if self.shared else image))) or 1.0
        if image.ndim == 3:
            return panel.imshow(0.5 + 0.5 * image / edge)
        return panel.imshow(image, cmap="RdBu_r", vmin=-edge, vmax=edge)


def _network_and_rows(estimator: Any, X: Any) -> tuple[Any, Any]:
    """Return the network, and rows as it is given them."""
    if isinstance(estimator, Pipeline):
        before = estimator[:-1]
        rows = X if X is None or len(before) == 0 else before.transform(X)
        return _network_and_rows(estimator[-1], rows)
    if not hasattr(estimator, "_images"):
        raise TypeError(
            f"NetworkDisplay takes a network of fastgd.neural_network, got "
            f"{type(estimator).__name__}."
        )
    return estimator, X


def _filters(
    model: Any, layer: int | None, image_shape: tuple[int, int] | None
) -> tuple[int, NDArray[Any]]:
    """Return the layer's number, and an image for each of its filters or units."""
    network = model._network
    numbers = network.layers_with_weights
    number = numbers[0] if layer is None else layer
    if number not in numbers:
        raise ValueError(f"layer={layer!r} has no weights; those that have are {numbers}.")
    one, weights = network.placed[number], network.weights_of(model._params, number)
    window = network.window_of(number)
    if window is not None:
        images = weights.reshape(*window, -1, weights.shape[1]).transpose(3, 0, 1, 2)
        return number, _with_few_channels(images)
    shape = one.shape if len(one.shape) > 1 else (image_shape or _square(weights.shape[0]))
    if number != numbers[0] or int(np.prod(shape)) != weights.shape[0]:
        raise ValueError(
            f"{one.name} has no images: its weights are {weights.shape[0]} x {weights.shape[1]}. "
            "A first dense layer has, with image_shape=(height, width)."
        )
    images = weights.T.reshape(-1, *shape)
    return number, _with_few_channels(images) if len(shape) == 3 else images


def _square(n: int) -> tuple[int, int]:
    side = int(np.sqrt(n))
    if side * side != n:
        raise ValueError(
            f"the rows have {n} numbers, which is no square: pass image_shape=(height, width)."
        )
    return side, side


def _with_few_channels(images: NDArray[Any]) -> NDArray[Any]:
    """Return images of one or three channels; of others their mean."""
    if images.shape[-1] == 3:
        return images
    mean: NDArray[Any] = images.mean(axis=-1)
    return mean


def _maps(model: Any, layer: int | None, X: Any) -> tuple[int, NDArray[Any]]:
    """Return the layer's number, and what each of its channels is for the first row."""
    from fastgd._data.validation import as_rows
    from fastgd._engines.network import outputs_of_layers

    network = model._network
    numbers = [k for k, one in enumerate(network.placed) if len(one.sizes.shape) == 3]
    number = layer if layer is not None else (numbers[0] if numbers else -1)
    if number not in numbers:
        raise ValueError(f"layer={layer!r} puts out no images; those that do are {numbers}.")
    rows = model._checked_rows(X)[:1]
    found = outputs_of_layers(network, model._params, as_rows(rows))
    images: NDArray[Any] = np.moveaxis(found[number][0], -1, 0)
    return number, images
