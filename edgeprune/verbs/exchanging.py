"""What bench found, written for other people's tools, and into the summary of a CI job."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from edgeprune.errors import InputError, OutputError
from edgeprune.files import check_file, nearest, write_bytes
from edgeprune.verbs.sources import Facts

SUMMARY = "GITHUB_STEP_SUMMARY"
"""Environment variable with the path of the file that a CI job's summary is appended to."""


def reports_asked(asked: Sequence[str]) -> dict[str, Path]:
    """``["junit=bench.xml"]`` as formats and files, looked at before any work.

    Raises:
        InputError: no ``FORMAT=FILE``, a format that is not known, or one twice.
        OutputError: a file that cannot be written.
    """
    from edgeprune.reporting.exchange import FORMATS

    found: dict[str, Path] = {}
    for each in asked:
        kind, _, file = each.partition("=")
        if kind not in FORMATS:
            close = nearest(kind, FORMATS)
            meant = f"; did you mean {close!r}?" if close else ""
            raise InputError(f"--report {each}: formats are {', '.join(FORMATS)}{meant}")
        if not file or kind in found:
            raise InputError(f"--report {each}: give one file each, as in {kind}=FILE")
        found[kind] = Path(file)
        check_file(found[kind])
    return found


def write_reports(facts: Facts, reports: Mapping[str, Path]) -> None:
    """Write them, and append Markdown to the CI job's summary where the environment names one.

    Raises:
        OutputError: a file that cannot be written.
    """
    from edgeprune.reporting.exchange import FORMATS

    for kind, path in reports.items():
        write_bytes(path, FORMATS[kind](facts).encode())
    summary = os.environ.get(SUMMARY)
    if summary:
        try:
            with Path(summary).open("a", encoding="utf-8") as file:
                file.write(FORMATS["markdown"](facts))
        except OSError as error:
            raise OutputError(
                f"{summary}: cannot append the summary ({error.strerror}); {SUMMARY} names it"
            ) from error
