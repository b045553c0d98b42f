"""From scores to a plan: numpy only, no framework, no model object."""

from edgeprune.planning.affording import least_macs
from edgeprune.planning.budgets import Budgets, Costing, Latency
from edgeprune.planning.constraining import Constraints
from edgeprune.planning.excluding import excluded
from edgeprune.planning.explaining import check_something, shortfall, staying
from edgeprune.planning.requests import make_plan
from edgeprune.planning.rescoring import Score, Stage, check_step, rescored
from edgeprune.planning.schedules import parts, ramp
from edgeprune.planning.singling import from_group, from_weight

__all__ = [
    "Budgets",
    "Constraints",
    "Costing",
    "Latency",
    "Score",
    "Stage",
    "check_something",
    "check_step",
    "excluded",
    "from_group",
    "from_weight",
    "least_macs",
    "make_plan",
    "parts",
    "ramp",
    "rescored",
    "shortfall",
    "staying",
]
