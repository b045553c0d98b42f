"""The boards of a recipe's targets: where they are, and what their files are asked there."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edgeprune.benchmarking.reaching import connection, may_be_board, way_of
from edgeprune.files import digest_of
from edgeprune.goldens import Golden
from edgeprune.targets import Target
from edgeprune.transports import Transport, addressed, board_of

if TYPE_CHECKING:
    from edgeprune.pipeline.steps import Step
    from edgeprune.pipeline.work import Work

ASKED = 16
"""Calibration examples that a file answers on a board."""


@dataclass(frozen=True)
class Boards:
    """Which targets of a run have a board, and where.

    Attributes:
        addresses: of the command line, by target.
        alone: one target alone may be a board, so ``EDGEPRUNE_SSH`` is of that.
    """

    addresses: Mapping[str, str] = field(default_factory=dict)
    alone: bool = True

    @classmethod
    def of(cls, targets: Sequence[Target], ssh: Sequence[str] = ()) -> Boards:
        """As the command line, the environment and the user's list of boards say.

        Raises:
            InputError: an address that could be of several targets, or of none.
        """
        names = [each.name for each in targets if may_be_board(each)]
        return cls(addressed(ssh, names), len(names) == 1)

    def said(self, target: Target) -> bool:
        """Whether anything says where the target's board is."""
        return self._address(target) is not None

    def facts(self, target: Target) -> dict[str, str]:
        """What can change a measurement there, for the key of its stage: another board, by the
        digest of its address, since keys name no hosts."""
        address = self._address(target)
        return {} if address is None else {"board": digest_of(address)[:16]}

    def transport(self, target: Target) -> tuple[Transport | None, str | None]:
        """To the target's board; ``None`` where nothing says where it is."""
        if not self.said(target):
            return None, None
        return connection(target, self.addresses.get(target.name), None, alone=self.alone)

    def _address(self, target: Target) -> str | None:
        given = self.addresses.get(target.name)
        board = board_of(target.name, given, alone=self.alone)
        way = "ssh" if given is not None else way_of(target, board)
        return f"adb {board.adb}" if way == "adb" else board.ssh if way == "ssh" else None


def failed_before(step: Step) -> bool:
    """Whether a stage is done but for a board that did not answer, which it may by now."""
    if step.kind != "bench" or not step.stage.done:
        return False
    return bool(json.loads((step.stage.folder / "bench.json").read_bytes()).get("failed"))


def golden(work: Work, role: str, variant: str) -> Golden:
    """Examples of the calibration data, and what the model behind a file answers to them."""
    import numpy as np

    from edgeprune.exporting.signatures import signature
    from edgeprune.verification.samples import answers, collected

    model: Any = work.inputs.model if role == "before" else work.model_of("recover")
    wanted, data = signature(model, 1), work.inputs.roles.calibrate
    part = data.subset(np.arange(min(ASKED, data.examples)))
    arrays = collected([batch[0] for batch in part.batches(ASKED)], wanted.inputs)
    found = work.read(f"verify-{role}-{variant}", "verification.json")
    expected = tuple(answers(wanted.model, arrays))
    return Golden(tuple(arrays), expected, found["tolerance"], found["measure"])
