"""The solvers that need no learning rate, each one function over plain arrays."""
