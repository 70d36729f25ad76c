"""Reports of a fit: observers, callbacks, lines on the screen, and Ctrl-C."""
