"""The one epoch loop: what it is given, when it stops, and what it does when training explodes."""
