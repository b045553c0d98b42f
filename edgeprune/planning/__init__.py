"""From scores to a plan: numpy only, no framework, no model object."""

from edgeprune.planning.constraining import Constraints
from edgeprune.planning.explaining import check_something, shortfall, staying
from edgeprune.planning.requests import make_plan
from edgeprune.planning.schedules import ramp

__all__ = [
    "Constraints",
    "check_something",
    "make_plan",
    "ramp",
    "shortfall",
    "staying",
]
