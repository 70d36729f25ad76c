"""Files of rows: each format has a reader, which checks what it reads and gives it in chunks."""
