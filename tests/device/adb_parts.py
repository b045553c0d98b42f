"""adb and adbd for the tests, unpacked into a cache by ``python tests/device/adb_parts.py``.

Debian has the daemon in the backports of its release; the line of the source is made from this
machine's own, and stands in a list of the tests' own. Where there is no such system, the tests over
adb are skipped.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgeprune-tests" / "adb"
PARTS = CACHE / "root"
TOOLS = Path("usr/lib/android-sdk/platform-tools")
MISSING = "no adbd for the tests (run: python tests/device/adb_parts.py; Debian, as root)"


def libraries() -> str:
    """For LD_LIBRARY_PATH."""
    return ":".join(
        str(folder)
        for place in (PARTS / "usr" / "lib", PARTS / "lib")
        for folder in sorted(place.glob("*-linux-gnu*/")) + sorted(place.glob("*/android/"))
    )


def ready() -> bool:
    """Whether both are there, and a network of the tests' own can be made."""
    tools = all((PARTS / TOOLS / name).is_file() for name in ("adb", "adbd"))
    programs = all(map(shutil.which, ("unshare", "nsenter", "ip", "mount")))
    return tools and programs and os.getuid() == 0


def source() -> str:
    """A line for the backports of this machine's release.

    Raises:
        SystemExit: no Debian, or no source of it.
    """
    told = Path("/etc/os-release").read_text()
    name = re.search(r"^VERSION_CODENAME=(\S+)", told, re.MULTILINE)
    if "ID=debian" not in told.splitlines() or name is None:
        raise SystemExit("adbd comes from Debian's backports, and this is no Debian")
    for path in (Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*")):
        text = path.read_text() if path.is_file() else ""
        new = re.search(r"^URIs:\s*(\S+/debian/?)\s*$", text, re.MULTILINE)
        old = re.search(rf"^deb\s+(?:\[.*?\]\s+)?(\S+)\s+{name[1]}\s", text, re.MULTILINE)
        found = new or old
        if found:
            key = re.search(r"[Ss]igned-[Bb]y[:=]\s*([^\s\]]+)", text)
            option = f"[signed-by={key[1]}] " if key else ""
            line = f"deb {option}{found[1]} {name[1]}"
            return f"{line} main\n{line}-backports main\n"
    raise SystemExit("this machine has no source of Debian's packages")


def set_up() -> None:
    """Download and unpack what is missing."""
    if (PARTS / TOOLS / "adbd").is_file():
        return
    for folder in ("lists/partial", "cache/archives/partial", "root"):
        (CACHE / folder).mkdir(parents=True, exist_ok=True)
    (CACHE / "sources.list").write_text(lines := source())
    release = lines.split()[-2]
    apt = ["apt-get", "-qq", *(
        part
        for option in (
            f"Dir::Etc::sourcelist={CACHE / 'sources.list'}", "Dir::Etc::sourceparts=/dev/null",
            f"Dir::State::lists={CACHE / 'lists'}", f"Dir::Cache={CACHE / 'cache'}",
        )
        for part in ("-o", option)
    )]  # fmt: skip
    subprocess.run([*apt, "update"], check=True)
    get = [*apt, "install", "--download-only", "--reinstall", "-y", "-t", release, "adb", "adbd"]
    subprocess.run(get, check=True, stdout=subprocess.DEVNULL)
    for archive in sorted((CACHE / "cache" / "archives").glob("*.deb")):
        subprocess.run(["dpkg", "-x", str(archive), str(PARTS)], check=True)


if __name__ == "__main__":
    set_up()
    print(f"adb and adbd are in {PARTS / TOOLS}")
    sys.exit(0)
