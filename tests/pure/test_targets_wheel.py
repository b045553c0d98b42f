"""The wheel carries the profiles and finds them outside the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
ASK = (
    "import edgeprune.targets as t; from pathlib import Path; "
    "here = Path(t.__file__).parent.parent; "
    "assert t.Target.load('raspberry-pi-4').path.parent == here / 'profiles'; "
    "print(here, *t.Target.names())"
)


def test_the_wheel_holds_the_profiles(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    assert (site / "edgeprune" / "py.typed").exists()
    found = subprocess.run(
        [sys.executable, "-c", ASK],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site)},
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    assert found[0] == str(site / "edgeprune")
    ours = {path.stem for path in (ROOT / "targets").glob("*.toml")}
    assert set(found[1:]) == ours and "host" in ours
