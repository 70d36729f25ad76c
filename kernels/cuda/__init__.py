"""Drivers for CUDA devices: the grids, the reductions and the products around the same hooks.

No loss, penalty or optimizer is written a second time. ``_compiler`` is the only file that knows
``numba.cuda``; nothing here is imported before a device is asked for.
"""
