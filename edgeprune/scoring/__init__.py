"""How much each connection matters to the task: statistics gathered once, one formula a file."""

from edgeprune.scoring.formulas import METHODS, Formula
from edgeprune.scoring.passing import score_model
from edgeprune.scoring.statistics import Statistics, gather

__all__ = ["METHODS", "Formula", "Statistics", "gather", "score_model"]
