"""Importing a submodule binds its name in its package, over whatever was called so there."""

from __future__ import annotations

import subprocess
import sys

REBOUND = """
import importlib, pkgutil, sys
import edgeprune

# The engine's driver lives in a child of its own: LiteRT before 2.1 cannot be loaded beside
# TensorFlow, which brings the same classes.
ALONE = ("__main__", "worker", "litert")

def modules(package):
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if found.name.rpartition(".")[2] not in ALONE:
            yield found.name

names = list(modules(edgeprune))
for name in names:
    importlib.import_module(name)
kinds = {name: type(getattr(edgeprune, name)).__name__ for name in edgeprune.__all__}
print(sorted(name for name, kind in kinds.items() if kind == "module"))
taken = []
for room in [name for name in names if hasattr(sys.modules[name], "__path__")]:
    module = sys.modules[room]
    for name in getattr(module, "__all__", ()):
        if type(getattr(module, name)).__name__ == "module":
            taken.append(f"{room}.{name}")
print(taken)
"""


def test_no_submodule_takes_the_place_of_a_function() -> None:
    """Python binds a submodule under its name in its package when it is imported: a module called
    ``trace`` would replace the function ``trace`` there. Whatever was imported, and in whatever
    order, each public name is what it was; the same holds inside every room."""
    done = subprocess.run(
        [sys.executable, "-c", REBOUND], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    public, rooms = done.stdout.strip().splitlines()[-2:]
    assert public == "[]"
    assert rooms == "[]"
