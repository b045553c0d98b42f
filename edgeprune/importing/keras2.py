"""The road of a Keras 2 model: read, opened, unwrapped, built again, filled, compared."""

from __future__ import annotations

from pathlib import Path

from edgeprune.errors import ModelError
from edgeprune.importing.architectures import read_architecture
from edgeprune.importing.carrying import carry
from edgeprune.importing.comparing import compared
from edgeprune.importing.compiling import compile_as
from edgeprune.importing.imported import Imported
from edgeprune.importing.replaying import replay
from edgeprune.importing.sources import open_source
from edgeprune.models.loading import check_values


def import_keras_2(path: Path, *, trust: bool) -> Imported:
    """A plain Keras 3 model from what Keras 2 wrote, and what was done, a line each.

    Raises:
        ModelError: it cannot be read, carried over, or does something else afterwards.
    """
    architecture = read_architecture(path)
    source = open_source(path, architecture, trust=trust)
    try:
        built = replay(source.plain)
        notes = list(built.notes)
        for where, old, new in built.pairs:
            notes += carry(where, old, new)
        check_values(built.model, str(path))
        found = compared(built, source.loaded)
    except ModelError as error:
        prefix = "" if str(error).startswith(str(path)) else f"{path}: "
        raise ModelError(f"{prefix}{error}") from error
    first = (
        f"{architecture.form} of Keras {architecture.version}, carried over to Keras 3: "
        f"on random inputs its {len(built.calls)} layers differ by at most {found.layers:.1g} of "
        f"their largest output, the model by {found.whole:.1g}"
    )
    if source.unwrapped:
        notes.insert(0, f"tfmot's pruning wrappers taken off {source.unwrapped} layers")
    notes += compile_as(built.model, architecture.training)
    return Imported(built.model, (first, *notes), found)
