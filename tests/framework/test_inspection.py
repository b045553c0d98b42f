"""What inspect says of a model."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np

from edgeprune.artifacts import Artifact, Port
from edgeprune.inspection import inspect_file, inspect_model

L = keras.layers


def test_facts_of_a_model() -> None:
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3), name="picture"),
            L.Conv2D(4, 3, name="conv"),
            L.BatchNormalization(name="norm"),
            L.Flatten(),
            L.Dense(5, name="head"),
        ]
    )
    kernel = np.zeros((3, 3, 3, 4), np.float32)
    kernel[..., 0] = 1
    model.get_layer("conv").kernel.assign(kernel)
    facts = inspect_model(model)
    json.dumps(facts, allow_nan=False)
    assert facts["inputs"] == [{"name": "picture", "shape": [-1, 8, 8, 3], "dtype": "float32"}]
    assert facts["macs"] == 36 * 27 * 4 + 144 * 5
    assert facts["parameters"] == model.count_params()
    assert "groups" not in facts and facts["free_groups"] == 1
    conv = next(row for row in facts["kernels"] if row["kernel"] == "conv/kernel")
    assert conv["density"] == 0.25 and conv["prunable_channels"] == "outputs only"
    head = next(row for row in facts["kernels"] if row["kernel"] == "head/kernel")
    assert head["prunable_channels"] == "inputs only"  # its own units are the model's output
    assert {row["layer"]: row["macs"] for row in facts["layers"]}["head"] == 720
    groups = {group["name"]: group for group in inspect_model(model, groups=True)["groups"]}
    assert groups["head"]["fixed"] == "model output" and groups["conv"]["fixed"] is None
    assert groups["conv"]["macs_per_channel"] == 36 * 27 + 36 * 5
    assert groups["conv"]["parameters_per_channel"] == 28 + 4 + 36 * 5


def test_facts_of_a_file() -> None:
    port = Port("x", (1, 4), "float32")
    artifact = Artifact(
        Path("m.tflite"), "tflite", "fp32", "0" * 64, 10, 8, {"w": 0.1}, {"w": "csr"}, (port,)
    )
    facts = inspect_file(artifact)
    json.dumps(facts)
    assert facts["tensors"] == [{"tensor": "w", "density": 0.1, "stored": "csr"}]
    assert facts["file"] == "m.tflite" and facts["size_bytes"] == 10
