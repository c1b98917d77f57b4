"""Engines that run our potentials: a thin adapter for each, imported by name."""
