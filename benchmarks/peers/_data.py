"""``benchmarks/data.py`` and ``machine.py``, which lie beside this package."""

if __package__ == "peers":  # a script of the folder benchmarks was run as a file
    import data
    import machine
else:
    from .. import data, machine

__all__ = ["data", "machine"]
