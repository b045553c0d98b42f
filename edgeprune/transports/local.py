"""This machine, as a device: nothing is copied, so nothing is left."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from edgeprune.errors import DeviceError
from edgeprune.files import writing
from edgeprune.transports.seam import LIMIT, Done, Talk, kill_group, text_of


class LocalTransport:
    """Programs of this machine; see :class:`~edgeprune.transports.Transport`."""

    via = "local"
    where = "this machine"

    def run(self, argv: Sequence[str], *, limit: float = LIMIT) -> Done:
        """As the seam says."""
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as said:
            try:
                process = subprocess.Popen(
                    list(argv),
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=said,
                    start_new_session=True,
                )
            except OSError as error:
                return Done(127, b"", f"{argv[0]}: {error.strerror}")
            try:
                code = process.wait(limit)
            except subprocess.TimeoutExpired:
                kill_group(process)
                process.wait()
                raise DeviceError(
                    f"{self.where}: {argv[0]} gave no answer in {limit:g} s; it was ended"
                ) from None
            except BaseException:
                kill_group(process)
                raise
            out.seek(0)
            return Done(code, out.read(), text_of(said))

    def push(self, path: Path) -> str:
        """Where it is already."""
        if not path.is_file():
            raise DeviceError(f"{path}: no such file")
        return str(path.resolve())

    def pull(self, remote: str, path: Path) -> None:
        """A copy."""
        try:
            content = Path(remote).read_bytes()
        except OSError as error:
            raise DeviceError(f"{self.where}: cannot read {remote}: {error.strerror}") from error
        with writing(path) as temporary:
            temporary.write_bytes(content)

    def talk(self, argv: Sequence[str]) -> Talk:
        """As the seam says."""
        said = tempfile.TemporaryFile()  # noqa: SIM115 - the Talk closes it
        try:
            process = subprocess.Popen(
                list(argv),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                start_new_session=True,
            )
        except OSError as error:
            said.close()
            raise DeviceError(f"{self.where}: {argv[0]}: {error.strerror}") from error
        return Talk(process, said)

    def clean(self) -> None:
        """Nothing was left."""
