"""Turns of the long tests: the k-th of n runs takes the k-th part of them."""

import zlib


def has_turn(test: str, turn: str) -> bool:
    """Tell whether a test, by its id, is in part k of n; ``turn`` is "k/n", k from 0 on.

    All cases of a function are in one part, because they share what they compile.
    """
    number, n_turns = map(int, turn.split("/"))
    return zlib.crc32(test.partition("[")[0].encode()) % n_turns == number
