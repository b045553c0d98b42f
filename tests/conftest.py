"""Rings: a test's marker is the folder it lies in."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
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


@pytest.fixture(scope="session")
def made_in_a_child(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """A folder of this name, and in it what a program wrote that was given it as its argument; in
    a child, since converters print from C++."""

    def made(name: str, program: str) -> Path:
        folder = tmp_path_factory.mktemp(name)
        command = [sys.executable, "-c", program, str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return folder

    return made
