"""Rings: a test's marker is the folder it lies in."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# A shell starts what it puts in the background with Ctrl-C ignored, and so would be every child of
# ours, whose Ctrl-C is tested.
signal.signal(signal.SIGINT, signal.default_int_handler)

RINGS = ("pure", "framework", "export", "device", "whole")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        ring = item.path.relative_to(here).parts[0]
        if ring in RINGS:
            item.add_marker(ring)
