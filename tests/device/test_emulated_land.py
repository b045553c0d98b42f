"""The emulated ARM, for real: it is set up from nothing, repairs itself, and runs the runtimes."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest

from edgeprune.emulation import Land, home, prefix_of, qemu_cpu, run_python, set_up
from edgeprune.emulation.setting_up import Download
from edgeprune.errors import EmulationError
from edgeprune.targets import Target

LAND = Land.found()
EMULATED = pytest.mark.skipif(
    LAND is None, reason="not set up (run: edgeprune targets emulate --setup)"
)
WHO = """
import json, platform
cores = open("/proc/cpuinfo").read().count("processor")
print(json.dumps([platform.machine(), cores]))
"""


@EMULATED
@pytest.mark.parametrize("name", ["raspberry-pi-4", "rk3588"])
def test_a_program_sees_the_board(name: str) -> None:
    assert LAND is not None
    target = Target.load(name)
    said = run_python(
        LAND, prefix_of(target, LAND), qemu_cpu(target), ["-c", WHO], doing="looking around"
    )
    assert json.loads(said) == ["aarch64", target.cores]


@EMULATED
def test_a_program_that_dies_or_hangs_is_one_line() -> None:
    assert LAND is not None
    target = Target.load("raspberry-pi-4")
    where = (LAND, prefix_of(target, LAND), qemu_cpu(target))
    with pytest.raises(EmulationError, match=r"fails while trying \(exit code 1: .*ValueError: no"):
        run_python(*where, ["-c", "raise ValueError('no')"], doing="trying")
    with pytest.raises(EmulationError, match="SIG"):
        run_python(*where, ["-c", "import os; os.abort()"], doing="trying")
    with pytest.raises(EmulationError, match="gave no answer in 1 s while trying"):
        run_python(*where, ["-c", "while True: pass"], doing="trying", timeout=1)


@pytest.mark.nightly
@pytest.mark.skipif(shutil.which("apt-get") is None, reason="no apt-get on this system")
def test_set_up_from_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    announced: list[Download] = []
    begin = time.monotonic()
    land, downloaded = set_up(lambda downloads, folder: announced.extend(downloads))
    assert time.monotonic() - begin < 120
    assert downloaded and Land.found() == land
    assert announced[0].what == "arm64 user land"
    kept = [path for path in (home() / "archives").rglob("*") if path.is_file()]
    assert len(kept) == len(land.archives) == sum(each.files for each in announced)
    if None not in (sizes := [each.size for each in announced]):
        assert sum(path.stat().st_size for path in kept) == sum(size or 0 for size in sizes)

    # From now on nothing is needed of the network.
    def offline() -> None:
        raise AssertionError("asked the network")

    with monkeypatch.context() as patched:
        patched.setattr("edgeprune.emulation.setting_up.needed", offline)
        assert set_up() == (land, False)
        shutil.rmtree(land.folder)
        assert Land.found() is None
        assert set_up() == (land, False) and land.qemu.is_file()

    # An archive that was damaged is got again, and it alone.
    victim = next(path for path in kept if path.name.startswith("zlib1g_"))
    victim.write_bytes(b"damaged")
    others = {path: path.stat().st_mtime_ns for path in kept if path != victim}
    again, downloaded = set_up()
    assert downloaded and again == land
    assert {path: path.stat().st_mtime_ns for path in others} == others
