"""Compiled loops over arrays. They hold no lock of Python's, know no strategy by name, and are called by the modules
of `optimize.engine` only."""
