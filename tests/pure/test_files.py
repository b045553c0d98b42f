"""Where a file could be written is known before it is, and looking leaves nothing."""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from edgeprune.errors import OutputError
from edgeprune.files import check_file, check_folder, now, write_bytes


def test_a_good_place_stays_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "there.npz").write_bytes(b"as it was")
    for name in ("there.npz", "new.npz", "a/b/new.npz"):
        check_file(tmp_path / name)
    for name in (".", "dist", "a/b"):
        check_folder(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["there.npz"]
    assert (tmp_path / "there.npz").read_bytes() == b"as it was"
    write_bytes(tmp_path / "a/b/new.npz", b"")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("file/x.npz", "file is a file"),
        ("file/below/x.npz", "file is a file"),
        ("folder", "it is a directory"),
        ("pipe", "a device or a pipe"),
        ("/proc/x.npz", "no file can be made there"),
        ("/proc/below/x.npz", "choose another place"),
    ],
)
def test_looking_says_what_writing_would(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    path = tmp_path / name
    said = []
    for attempt in (lambda: check_file(path), lambda: write_bytes(path, b"")):
        with pytest.raises(OutputError, match=words) as caught:
            attempt()
        said.append(str(caught.value))
        assert said[-1].startswith(f"cannot write {path}: ")
    assert name.startswith("/proc/below") or said[0] == said[1]
    assert {each.name for each in tmp_path.iterdir()} == {"file", "folder", "pipe"}


def test_a_folder_that_is_a_file_is_called_one(tmp_path: Path) -> None:
    (tmp_path / "dist").touch()
    with pytest.raises(OutputError, match=r"dist: .*dist is a file"):
        check_folder(tmp_path / "dist")


def test_the_time_is_in_utc() -> None:
    assert datetime.fromisoformat(now()).utcoffset() == timedelta(0)
