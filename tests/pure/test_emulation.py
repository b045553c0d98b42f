"""The emulated ARM, as far as no network and no emulator is needed."""

from __future__ import annotations

import json
import shutil
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeprune.cli import main
from edgeprune.emulation import apt, boards, counting, setting_up, wheels
from edgeprune.emulation.lands import RECORD, Land, damaged, home
from edgeprune.emulation.running import command, environment
from edgeprune.emulation.symbols import Symbols
from edgeprune.errors import EmulationError
from edgeprune.files import sha256_file, write_json
from edgeprune.targets import Target

DEBIAN = """\
# a comment
Types: deb deb-src
URIs: http://deb.example.org/debian
Suites: bookworm bookworm-updates
Components: main
Architectures: amd64
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: https://packages.example.org/apt
Suites: stable
Components: main

Enabled: no
Types: deb
URIs: http://deb.example.org/debian
Suites: experimental
Components: main
"""
UBUNTU = """\
deb [arch=amd64 signed-by=/k.gpg] http://de.archive.ubuntu.com/ubuntu/ noble main universe
deb http://security.ubuntu.com/ubuntu noble-security main
deb-src http://archive.ubuntu.com/ubuntu noble main
# deb http://archive.ubuntu.com/ubuntu noble multiverse
deb https://ppa.launchpadcontent.net/x/y/ubuntu-toolchain noble main
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return home()


# -- apt ------------------------------------------------------------------------------------------


def test_the_distributions_own_sources_are_taken_for_the_other_architecture(tmp_path: Path) -> None:
    etc, into = tmp_path / "etc", tmp_path / "into"
    (etc / "sources.list.d").mkdir(parents=True)
    into.mkdir()
    (etc / "sources.list").write_text(UBUNTU)
    (etc / "sources.list.d" / "debian.sources").write_text(DEBIAN)
    (etc / "sources.list.d" / "off.list.disabled").write_text(UBUNTU)
    written = apt.copied_sources(etc, into, "arm64")
    assert [path.name for path in written] == ["sources.list", "debian.sources"]
    lines = (into / "sources.list").read_text().splitlines()
    assert lines == [
        "deb [signed-by=/k.gpg] http://ports.ubuntu.com/ubuntu-ports/ noble main universe",
        "deb http://ports.ubuntu.com/ubuntu-ports/ noble-security main",
    ]
    text = (into / "debian.sources").read_text()
    assert text.count("URIs: ") == 1 and "URIs: http://deb.example.org/debian\n" in text
    assert "Architectures" not in text and "deb-src" not in text and "Signed-By: /usr" in text
    # This machine's own architecture is where it always was.
    apt.copied_sources(etc, into, "amd64")
    assert "de.archive.ubuntu.com/ubuntu/ noble" in (into / "sources.list").read_text()


def test_no_source_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "etc").mkdir()
    monkeypatch.setattr(apt, "ETC", tmp_path / "etc")
    with pytest.raises(EmulationError, match="no source of Debian or Ubuntu"):
        apt.Apt(tmp_path / "apt", "arm64").update()


FAKE = """#!/bin/sh
# $1 is what the test is about; apt-get's own arguments follow.
case "$*" in
  *install*) echo "'http://d/x_1_arm64.deb' x_1_arm64.deb 10 MD5Sum:aa"
             echo "'http://d/dpkg_1_arm64.deb' dpkg_1_arm64.deb 99 MD5Sum:bb" ;;
  *print-uris*download*) echo "'http://d/x_1_arm64.deb' x_1_arm64.deb 10 SHA256:cc" ;;
  *update*) echo "W: Failed to fetch http://d/InRelease  Could not resolve 'd'" >&2 ;;
esac
"""


@pytest.fixture
def fake_apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "apt-get").write_text(FAKE)
    (folder / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    return folder


def test_what_is_wanted_is_all_that_is_needed_without_what_is_not(
    fake_apt: Path, tmp_path: Path
) -> None:
    source = apt.Apt(tmp_path / "apt", "arm64")
    (found,) = source.wanted(["x"], without=["dpkg"])
    assert (found.name, found.package, found.size, found.sha256) == ("x_1_arm64.deb", "x", 10, "cc")
    with pytest.raises(EmulationError, match="apt knows 1 of the 2 packages for arm64"):
        source.wanted(["x"])


def test_a_source_out_of_reach_is_an_error_though_apt_ends_with_0(
    fake_apt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    etc = tmp_path / "etc"
    etc.mkdir()
    (etc / "sources.list").write_text(UBUNTU)
    monkeypatch.setattr(apt, "ETC", etc)
    with pytest.raises(EmulationError, match=r"apt cannot fetch its lists .* Could not resolve"):
        apt.Apt(tmp_path / "apt", "arm64").update()


def test_a_system_without_apt_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert main(["targets", "emulate", "--setup", "-q"]) == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert "this system has no apt-get" in line and "Debian and Ubuntu only" in line


# -- archives -------------------------------------------------------------------------------------


def test_a_wheel_that_names_a_place_outside_is_refused(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.whl", tmp_path / "bad.whl"
    for path, name in ((good, "pkg/a.py"), (bad, "../a.py")):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(name, "x = 1\n")
    wheels.unpack(good, tmp_path / "into")
    assert (tmp_path / "into" / "pkg" / "a.py").read_text() == "x = 1\n"
    with pytest.raises(EmulationError, match="outside of its folder"):
        wheels.unpack(bad, tmp_path / "into")
    bad.write_bytes(good.read_bytes()[:40])
    with pytest.raises(EmulationError, match="cannot be unpacked"):
        wheels.unpack(bad, tmp_path / "into")


def test_wheels_are_asked_for_up_to_the_user_lands_glibc() -> None:
    asked = wheels._platform("3.11", 36)
    assert "manylinux_2_36_aarch64" in asked and "manylinux_2_17_aarch64" in asked
    assert "manylinux_2_37_aarch64" not in asked and "3.11" in asked
    wheel = wheels.Wheel("a", "1+b", "https://h/p/a-1%2Bb-py3-none-any.whl#x", "00", None)
    assert wheel.file == "a-1+b-py3-none-any.whl"


def test_what_is_downloaded_is_checked(tmp_path: Path) -> None:
    path = tmp_path / "a.deb"
    path.write_bytes(b"right")
    digest = sha256_file(path)
    assert setting_up._checked(path, digest) == digest
    path.write_bytes(b"wrong")
    with pytest.raises(EmulationError, match=r"has the digest .* was promised; it is removed"):
        setting_up._checked(path, digest)
    assert not path.exists()
    with pytest.raises(EmulationError, match="was not downloaded"):
        setting_up._checked(path, digest)


def made(cache: Path) -> Land:
    """A user land of empty files, as the set-up leaves one."""
    archive = cache / "archives" / "arm64" / "x.deb"
    archive.parent.mkdir(parents=True)
    archive.write_bytes(b"x")
    folder = cache / "lands" / "0123"
    for name in ("root/usr/bin/python3.11", "root/lib/l.so", "qemu/usr/bin/qemu-aarch64"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("")
    for name in ("wheels", "qemu/usr/lib/x86_64-linux-gnu"):
        (folder / name).mkdir(parents=True)
    archives = {"arm64/x.deb": sha256_file(archive)}
    qemu = folder / "qemu/usr/bin/qemu-aarch64"
    land = Land(folder, "usr/bin/python3.11", qemu, archives, {"qemu": "7.2"})
    write_json(cache / RECORD, land.record())
    return land


def test_what_is_set_up_is_found_again(cache: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert Land.found() is None
    with pytest.raises(EmulationError, match="run: edgeprune targets emulate --setup"):
        Land.required()
    assert main(["targets", "emulate"]) == 0
    assert "not set up; run: edgeprune targets emulate --setup" in capfd.readouterr().out
    land = made(cache)
    assert Land.found() == land and Land.required() == land
    assert main(["targets", "emulate", "--json"]) == 0
    facts = json.loads(capfd.readouterr().out)
    assert facts == {
        "set_up": True, "folder": str(land.folder), "archives": 1, "versions": {"qemu": "7.2"},
    }  # fmt: skip
    assert setting_up.set_up() == (land, False), "nothing is asked of the network"
    land.qemu.unlink()
    assert Land.found() is None, "a part of it is gone"
    (cache / RECORD).write_text("{")
    assert Land.found() is None


def test_archives_are_known_by_their_digests(cache: Path) -> None:
    land = made(cache)
    assert damaged(land.archives) == []
    (cache / "archives" / "arm64" / "x.deb").write_bytes(b"y")
    assert damaged(land.archives) == ["arm64/x.deb"]
    (cache / "archives" / "arm64" / "x.deb").unlink()
    assert damaged(land.archives) == ["arm64/x.deb"]


# -- boards ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "cpu"),
    [
        ("raspberry-pi-4", "cortex-a72"),
        ("raspberry-pi-5", "cortex-a76"),
        ("raspberry-pi-3b-plus", "cortex-a53"),
        ("jetson-nano", "cortex-a57"),
        ("arm64-server-n1", "neoverse-n1"),
        ("pixel-8", "cortex-a76"),
        ("jetson-orin-nano", "cortex-a76"),
        ("rk3588", "cortex-a76"),
    ],
)
def test_the_model_of_a_core_executes_no_more_than_the_core(name: str, cpu: str) -> None:
    target = Target.load(name)
    assert boards.qemu_cpu(target) == cpu
    assert set(boards.MODELS[cpu]) <= set(target.extensions or ())


def test_a_board_in_proc_and_sys(cache: Path) -> None:
    land = made(cache)
    prefix = boards.prefix_of(Target.load("rk3588"), land)
    assert (prefix / "usr").resolve() == land.root / "usr", "the user land is there once"
    cores = (prefix / "proc" / "cpuinfo").read_text().strip().split("\n\n")
    assert len(cores) == 8
    assert "CPU part\t: 0xd0b" in cores[0] and "CPU variant\t: 0x4" in cores[0]
    assert "CPU part\t: 0xd05" in cores[7] and "CPU implementer\t: 0x41" in cores[7]
    assert "asimddp" in cores[0]
    system = prefix / "sys/devices/system/cpu"
    assert (system / "possible").read_text() == "0-7\n"
    assert (system / "cpu3/topology/core_siblings_list").read_text() == "0-3\n"
    assert (system / "cpu4/topology/physical_package_id").read_text() == "1\n"
    assert (system / "cpu4/cpufreq/cpuinfo_max_freq").read_text() == "1800000\n"
    assert boards.prefix_of(Target.load("rk3588"), land) == prefix, "made once"
    assert boards.prefix_of(Target.load("raspberry-pi-4"), land) != prefix
    words = (boards.prefix_of(Target.load("raspberry-pi-4"), land) / "proc/cpuinfo").read_text()
    assert "asimddp" not in words and "fphp" not in words
    # What qemu's core does not execute must not be promised to an engine.
    words = (boards.prefix_of(Target.load("pixel-8"), land) / "proc/cpuinfo").read_text()
    assert "asimddp" in words and "i8mm" not in words and "sve" not in words


def test_boards_that_cannot_be_emulated(cache: Path, tmp_path: Path) -> None:
    land = made(cache)
    with pytest.raises(EmulationError, match="is armv7e-m; only aarch64 is emulated"):
        boards.prefix_of(Target.load("cortex-m7"), land)
    with pytest.raises(EmulationError, match="'host' is any"):
        boards.qemu_cpu(Target.load("host"))
    bare = tmp_path / "bare.toml"
    bare.write_text('description = "d"\narch = "aarch64"\n')
    with pytest.raises(EmulationError, match=r"bare.toml: no \[\[clusters\]\]"):
        boards.prefix_of(Target.load(bare), land)
    bare.write_text(bare.read_text() + '[[clusters]]\ncpu = "x"\ncores = 1\nsource = "a label"\n')
    with pytest.raises(EmulationError, match="the x has no 'part'"):
        boards.prefix_of(Target.load(bare), land)


def test_nothing_of_this_machines_python_reaches_the_other(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    land = made(cache)
    monkeypatch.setenv("PYTHONPATH", "/somewhere/x86")
    monkeypatch.setenv("LD_PRELOAD", "/x86.so")
    given = environment(land)
    assert "PYTHONPATH" not in given and "LD_PRELOAD" not in given
    assert given["LD_LIBRARY_PATH"] == str(land.folder / "qemu/usr/lib/x86_64-linux-gnu")
    line = command(land, Path("/prefix"), "cortex-a72", ["-c", "pass"])
    assert line[:5] == [str(land.qemu), "-cpu", "cortex-a72", "-L", "/prefix"]
    assert line[5:7] == ["-U", "LD_LIBRARY_PATH"] and line[-2:] == ["-c", "pass"]
    assert f"PYTHONPATH={land.wheels}" in line


# -- counting -------------------------------------------------------------------------------------


def library(functions: dict[str, tuple[int, int]]) -> bytes:
    """A small ELF file: one loaded part, and a symbol table of ``name: (address, size)``."""
    offset, address = 0x100, 0x5100
    names, table = b"\0", b"\0" * 24
    for name, (value, size) in functions.items():
        table += struct.pack("<IBBHQQ", len(names), 2, 0, 1, value, size)
        names += name.encode() + b"\0"
    loaded = struct.pack("<IIQQQQQQ", 1, 5, offset, address, address, 0x1000, 0x1000, 16)
    begin = 64 + len(loaded)
    heads = b""
    for kind, place, body, link in ((2, begin, table, 1), (3, begin + len(table), names, 0)):
        heads += struct.pack("<IIQQQQIIQQ", 0, kind, 0, 0, place, len(body), link, 0, 8, 24)
    sections = begin + len(table) + len(names)
    head = b"\x7fELF\x02\x01" + b"\0" * 10 + struct.pack("<HHIQ", 3, 183, 1, 0)
    head += struct.pack("<QQIHHHHHH", 64, sections, 0, 64, 56, 1, 64, 2, 0)
    return head + loaded + table + names + heads


def test_an_address_belongs_to_a_function(tmp_path: Path) -> None:
    path = tmp_path / "lib.so"
    path.write_bytes(library({"late": (0x5200, 16), "early": (0x5100, 32)}))
    symbols = Symbols.read(path)
    assert symbols.names == ("early", "late")
    where = np.array([0x50FF, 0x5100, 0x511F, 0x5120, 0x5200, 0x520F, 0x5210], np.uint64)
    assert symbols.owners(where) == [None, "early", "early", None, "late", "late", None]
    assert symbols.addresses(np.array([0x100, 0x1FF], np.uint64)).tolist() == [0x5100, 0x51FF]
    path.write_bytes(library({}))
    assert Symbols.read(path).owners(where) == [None] * 7


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_damaged_library_is_an_error_of_ours_or_none(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    whole = bytearray(library({"one": (0x5100, 16), "two": (0x5200, 16)}))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.so"
    path.write_bytes(bytes(whole[: data.draw(st.integers(0, len(whole)))]))
    try:
        Symbols.read(path).owners(np.array([0x5100], np.uint64))
    except EmulationError as error:
        assert "no sound ELF file" in str(error)


def test_instructions_are_given_to_the_function_that_took_them(tmp_path: Path) -> None:
    package = tmp_path / "wheels" / "engine"
    package.mkdir(parents=True)
    (package / "lib.so").write_bytes(library({"gemm": (0x5100, 32), "spmm": (0x5200, 16)}))
    maps = (
        f"5500000000-5500001000 r-xp 00000100 fe:00 1  {package}/lib.so\n"
        f"5500001000-5500002000 rw-p 00001100 fe:00 1  {package}/lib.so\n"
        "7000000-7001000 r-xp 00000000 fe:00 2          /lib/libc.so.6\n"
        "9000000-9001000 r-xp 00000000 00:00 0\n"
    )
    blocks = np.array(
        [
            (0x5500000000, 10, 100),  # at offset 0x100: 0x5100, gemm
            (0x5500000010, 5, 100),  # gemm too
            (0x5500000100, 4, 50),  # 0x5200: spmm
            (0x5500000800, 2, 10),  # in no function
            (0x7000010, 1, 300),
            (0x9000000, 1, 1),
        ],
        np.uint64,
    )
    kernels, why = counting._named(blocks, maps, package)
    assert why == ""
    assert kernels == {"gemm": 150, "(libc.so.6)": 30, "spmm": 20, "(lib.so)": 2, "(all others)": 0}
    assert list(kernels) == ["gemm", "(libc.so.6)", "spmm", "(lib.so)", "(all others)"]
    (package / "lib.so").write_bytes(library({}))
    assert counting._named(blocks, maps, package) == ({}, "the engine's library carries no symbols")


def test_where_it_cannot_count_it_says_why(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    land = made(cache)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert counting.counting_plugin(land) == (
        None,
        "no C compiler (cc, gcc or clang) to build the counting plugin with",
    )
    monkeypatch.setattr(shutil, "which", lambda name: "/bin/false")
    plugin, why = counting.counting_plugin(land)
    assert plugin is None and "/bin/false does not build the counting plugin" in why
    newer = Land(land.folder, land.python, land.qemu, land.archives, {"qemu": "10.0.2"})
    assert counting.counting_plugin(newer)[1].startswith("qemu 10.0.2 has another plugin interface")


def test_via_qemu_where_nothing_is_set_up_names_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fails(*arguments: object, **more: object) -> None:
        raise EmulationError("apt cannot fetch its lists")

    monkeypatch.setattr("edgeprune.emulation.set_up", fails)
    (tmp_path / "m.tflite").write_bytes(b"")
    asked = ["bench", str(tmp_path / "m.tflite"), "--via", "qemu", "-q", "--target"]
    assert main([*asked, "raspberry-pi-4"]) == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert line == (
        "edgeprune: the emulated ARM is not set up (apt cannot fetch its lists); "
        "run: edgeprune targets emulate --setup"
    )
    assert main([*asked, "cortex-m7"]) == 1
    assert "only aarch64 is emulated" in capfd.readouterr().err
    assert main([*asked, "host"]) == 1
    assert "'host' is any; only aarch64 is emulated" in capfd.readouterr().err
    assert main(["bench", "m.tflite", "--via", "ssh"]) == 2
