"""The version of this package; Countersign has its own."""

__version__ = "0.1.0"
