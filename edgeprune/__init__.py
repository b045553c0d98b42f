"""Prune trained Keras models by sensitivity; export, verify and measure what you ship."""

__version__ = "0.1.0"
