"""Constructor parameters: their checks, and the objects that names stand for."""
