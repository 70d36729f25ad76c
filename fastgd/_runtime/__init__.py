"""Where computing happens: threads, and compiling ahead of need."""
