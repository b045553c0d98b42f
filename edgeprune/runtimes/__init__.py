"""Inference engines, each in a child process: a file that crashes its engine costs one child."""

from edgeprune.runtimes.children import Runner, run_file
from edgeprune.runtimes.engines import ENGINES, engine_of

__all__ = ["ENGINES", "Runner", "engine_of", "run_file"]
