"""Engines: a model's arithmetic on one device, behind one protocol."""
