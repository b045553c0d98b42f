"""What a file of Keras 2 says about its layers, read as JSON before anything in it is built."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py

from edgeprune.errors import ModelError
from edgeprune.importing.opening import METADATA
from edgeprune.models.references import one_line

_HELD = ("layer", "backward_layer", "cell", "cells", "layers")
"""Keys of a config under which layers lie."""


@dataclass(frozen=True)
class Architecture:
    """The JSON of a model.

    Attributes:
        model: its own config.
        parts: all there is; in a SavedModel, the config of every layer too.
        training: its compile state, where there is one.
        version: of the Keras that wrote it.
        form: of the file, as a person calls it.
    """

    model: Mapping[str, Any]
    parts: tuple[Mapping[str, Any], ...]
    training: Mapping[str, Any] | None
    version: str
    form: str


@dataclass(frozen=True)
class Described:
    """One layer as the JSON has it."""

    kind: str
    name: str
    registered: str


def read_architecture(path: Path) -> Architecture:
    """The JSON in an ``.h5``, a ``.keras`` or a SavedModel; nothing in it is run.

    Raises:
        ModelError: it cannot be read.
    """
    try:
        if path.is_dir():
            return _from_saved_model(path)
        return _from_zip(path) if zipfile.is_zipfile(path) else _from_hdf5(path)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelError(
            f"{path}: its description of the layers cannot be read "
            f"({type(error).__name__}: {one_line(error)}); save or copy it again"
        ) from error


def described(architecture: Architecture) -> Iterator[Described]:
    """Every layer, the model itself first, at every depth, wrapped ones too."""
    yield from _layers(architecture.model)


def holds_code(architecture: Architecture) -> bool:
    """Whether Python bytecode lies in it: a Lambda layer, or a lambda given to another."""
    return any(_any_class(part, {"Lambda", "__lambda__"}) for part in architecture.parts)


def _layers(node: Mapping[str, Any]) -> Iterator[Described]:
    config = node.get("config")
    if "class_name" not in node or not isinstance(config, dict | list):
        return
    kind = str(node["class_name"])
    inner = config if isinstance(config, dict) else {"layers": config}
    name = str(inner.get("name") or node.get("name") or "?")
    yield Described(kind.split(">")[-1], name, str(node.get("registered_name") or kind))
    for key in _HELD:
        held = inner.get(key)
        for each in held if isinstance(held, list) else [held]:
            if isinstance(each, dict):
                yield from _layers(each)


def _any_class(node: Any, names: set[str]) -> bool:
    if isinstance(node, dict):
        if node.get("class_name") in names:
            return True
        return any(_any_class(value, names) for value in node.values())
    return isinstance(node, list) and any(_any_class(value, names) for value in node)


def _from_hdf5(path: Path) -> Architecture:
    with h5py.File(path, "r") as file:
        training = file.attrs.get("training_config")
        config = json.loads(file.attrs["model_config"])
        return Architecture(
            config,
            (config,),
            None if training is None else json.loads(training),
            _text(file.attrs.get("keras_version", "2")),
            "an .h5 file",
        )


def _from_zip(path: Path) -> Architecture:
    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read("config.json"))
        metadata = json.loads(archive.read("metadata.json"))
    return Architecture(
        config,
        (config,),
        config.get("compile_config"),
        str(metadata["keras_version"]),
        "a .keras file",
    )


def _from_saved_model(path: Path) -> Architecture:
    from google.protobuf.message import DecodeError
    from tf_keras.protobuf.saved_metadata_pb2 import SavedMetadata

    metadata = SavedMetadata()
    try:
        metadata.ParseFromString((path / METADATA).read_bytes())
    except DecodeError as error:
        raise ValueError(f"{METADATA} is damaged") from error
    nodes = [json.loads(node.metadata) for node in metadata.nodes if node.metadata]
    root = next((n for n in nodes if "model_config" in n or "keras_version" in n), nodes[0])
    return Architecture(
        root,
        tuple(node for node in nodes if isinstance(node.get("config"), dict)),
        root.get("training_config"),
        str(root.get("keras_version", "2")),
        "a SavedModel",
    )


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
