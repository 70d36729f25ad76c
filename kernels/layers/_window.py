"""Windows that are moved over an image: plain Python, for whoever plans a network."""

from fastgd.kernels.layers._protocol import (
    CHANNELS,
    HEIGHT,
    NEW_CHANNELS,
    NEW_HEIGHT,
    NEW_WIDTH,
    PAD_LEFT,
    PAD_TOP,
    STRIDE_HEIGHT,
    STRIDE_WIDTH,
    WIDTH,
    WINDOW_HEIGHT,
    WINDOW_WIDTH,
)

PADDINGS = ("valid", "same")


def as_pair(value):
    """Return (height, width) of what may be one number for both."""
    return tuple(value) if isinstance(value, (tuple, list)) else (value, value)


def window_table(shape, window, stride, padding):
    """Return the columns of a layer that moves a window, and the new height and width.

    Raises
    ------
    ValueError
        If the window is larger than the image.
    """
    if padding not in PADDINGS:
        raise ValueError(f"its padding is {padding!r}, which is neither 'valid' nor 'same'.")
    new, before = [], []
    for size, length, step in zip(shape[:2], window, stride, strict=True):
        if padding == "same":
            n = -(-size // step)
            before.append(max((n - 1) * step + length - size, 0) // 2)
        else:
            n = (size - length) // step + 1
            before.append(0)
        if n < 1 or (padding == "valid" and size < length):
            raise ValueError(
                f"its window of {window[0]} x {window[1]} is larger than what it gets, "
                f"{shape[0]} x {shape[1]}."
            )
        new.append(n)
    columns = (HEIGHT, WIDTH, CHANNELS, NEW_HEIGHT, NEW_WIDTH, NEW_CHANNELS)
    columns += (WINDOW_HEIGHT, WINDOW_WIDTH, STRIDE_HEIGHT, STRIDE_WIDTH, PAD_TOP, PAD_LEFT)
    values = (*shape, *new, shape[2], *window, *stride, *before)
    return dict(zip(columns, values, strict=True)), tuple(new)
