"""All that knows how channels run through Keras layers: model to graph, zeros, strip."""

from edgeprune.surgery.accounting import accounted
from edgeprune.surgery.accounts import Account, Lot
from edgeprune.surgery.cutting import cut, cut_with_report
from edgeprune.surgery.stripping import StripReport, strip, strip_with_report
from edgeprune.surgery.telling import Kept
from edgeprune.surgery.tracing import trace
from edgeprune.surgery.trying import Trial
from edgeprune.surgery.zeroing import nearly_zero, zero, zero_in_place

__all__ = [
    "Account",
    "Kept",
    "Lot",
    "StripReport",
    "Trial",
    "accounted",
    "cut",
    "cut_with_report",
    "nearly_zero",
    "strip",
    "strip_with_report",
    "trace",
    "zero",
    "zero_in_place",
]
