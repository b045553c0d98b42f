"""Every deliberate error.

EdgepruneError                 exit 1
├── InputError                 exit 2   what the user gave does not fit
│   ├── RecipeError                     a recipe or a profile: every fault, one line each
│   ├── DataError                       data, labels, shapes
│   ├── ModelError                      a model file, a model's weights
│   ├── PlanError                       a plan, scores, or what they were made for
│   ├── ArtifactError                   a .tflite or .onnx that is none
│   └── VersionError                    a schema or a library outside what is known
├── OutputError                exit 1   a file or folder that cannot be written
├── LockedError                exit 1   another run holds the build directory
├── TrainingError              exit 1   a loss that is not a number
├── ExportError                exit 1   a model that cannot become this format
├── VerificationError          exit 1   a file that does not do what its model does
├── MeasurementError           exit 1   a measurement that could not be made
│   └── DeviceError                     a device that cannot be reached, or has not what it needs
│       └── LostError                   the connection to it broke
├── EmulationError             exit 1   the emulated ARM cannot be set up, or does not run
├── WorkerError                exit 1   processes that share the work die
└── Interrupted                exit 130 Ctrl-C

A broken gate is no error but a result: exit code 3 (:attr:`edgeprune.results.Result.exit_code`).

A message is one line: what, which (layer, file, value), and what to do next.
"""

from __future__ import annotations

from collections.abc import Sequence

KEPT = "{} are kept in {}; the same call goes on"
"""A note on whatever breaks off work (Ctrl-C too) that is not lost: what of it, and where."""


class EdgepruneError(Exception):
    """The base of every deliberate error.

    ``exit_code`` is what the command line ends with.
    """

    exit_code = 1

    @property
    def lines(self) -> tuple[str, ...]:
        """What a person reads: one line, or one a fault."""
        return (str(self),)


class InputError(EdgepruneError):
    """What the user gave does not fit."""

    exit_code = 2


class RecipeError(InputError):
    """A recipe or a profile with one or more faults; each is a line of its own."""

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(self.faults))

    @property
    def lines(self) -> tuple[str, ...]:
        return self.faults


class DataError(InputError):
    """Data, labels or shapes that do not fit the model."""


class ModelError(InputError):
    """A model that cannot be read or used."""


class PlanError(InputError):
    """A plan or scores that do not fit the model or the request."""


class ArtifactError(InputError):
    """A .tflite or .onnx that cannot be read."""


class VersionError(InputError):
    """A schema or a library version outside what this edgeprune knows."""


class OutputError(EdgepruneError):
    """A file or folder that cannot be written."""


class LockedError(EdgepruneError):
    """Another run holds the build directory."""


class TrainingError(EdgepruneError):
    """Training or scoring met a loss that is not a finite number."""


class ExportError(EdgepruneError):
    """A model that cannot become the format asked for."""


class VerificationError(EdgepruneError):
    """An exported file that does not do what its model does."""


class MeasurementError(EdgepruneError):
    """A measurement that could not be made."""


class DeviceError(MeasurementError):
    """A device that cannot be reached, is in use, or has not what a measurement needs."""


class LostError(DeviceError):
    """The connection to a device broke; what only asks may be tried again, a measurement not."""


class EmulationError(EdgepruneError):
    """The emulated ARM cannot be set up on this machine, or does not run."""


class WorkerError(EdgepruneError):
    """Processes that share the work die again and again."""


class Interrupted(EdgepruneError):
    """Ctrl-C; what was finished is kept."""

    exit_code = 130
