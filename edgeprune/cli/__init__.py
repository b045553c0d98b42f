"""Arguments in, a table or a line out; no thinking."""

from edgeprune.cli.app import main

__all__ = ["main"]
