"""How much each connection and channel matters to the task: statistics gathered once, one formula a
file."""

from edgeprune.scoring.formulas import METHODS, Formula
from edgeprune.scoring.normalizing import SCALES
from edgeprune.scoring.own_labels import OWN, own_labels
from edgeprune.scoring.passing import Scorer, score_all, score_model
from edgeprune.scoring.statistics import Statistics

__all__ = [
    "METHODS",
    "OWN",
    "SCALES",
    "Formula",
    "Scorer",
    "Statistics",
    "own_labels",
    "score_all",
    "score_model",
]
