"""Threads set as :mod:`edgeprune.pipeline` needs them, should its tests run in this process too."""

from __future__ import annotations

from edgeprune.models.engine import set_up

set_up(threads=2)
