"""A file on a target: how long, how much memory."""

from edgeprune.benchmarking.boards import connected
from edgeprune.benchmarking.comparing import ratio
from edgeprune.benchmarking.emulating import count_files, counting_facts, uncountable
from edgeprune.benchmarking.fitting import fit_files
from edgeprune.benchmarking.rounds import ROUNDS, bench_files, unreachable

__all__ = [
    "ROUNDS",
    "bench_files",
    "connected",
    "count_files",
    "counting_facts",
    "fit_files",
    "ratio",
    "uncountable",
    "unreachable",
]
