"""A result as a run on the digits would give it, for the tests of what a person reads."""

from __future__ import annotations

from edgeprune.results import LayerChange, Result, Round, Row, Verdict

DENSE = {"parameters": 669_706, "nonzero": 669_700, "macs": 668_672}
SMALL = {"parameters": 612_340, "nonzero": 34_551, "macs": 611_328}


def realistic() -> Result:
    """Two targets, one of which cannot be timed from here and has a broken gate."""
    away = "not measured: raspberry-pi-4 cannot be reached from here"
    times = {
        "before fp32": (0.0296, 0.0331),
        "before onnx-fp32": (0.0412, 0.0498),
        "after fp32-sparse": (0.0087, 0.0102),
        "after onnx-fp32": (0.0389, 0.0451),
    }
    rows = []
    for target in ("host", "raspberry-pi-4"):
        for role, variant, metric, size, gzip in (
            ("before", "fp32", 0.9837, 2_681_532, 2_489_001),
            ("before", "onnx-fp32", 0.9837, 2_680_122, 2_488_340),
            ("after", "fp32-sparse", 0.9817, 147_312, 121_904),
            ("after", "onnx-fp32", 0.9817, 2_450_208, 231_877),
        ):
            median, p95 = times[f"{role} {variant}"] if target == "host" else (None, None)
            suffix = ".onnx" if "onnx" in variant else ".tflite"
            rows.append(
                Row(
                    role,
                    target,
                    f"model{suffix}",
                    variant,
                    metric,
                    None if role == "before" else 0.9837 - metric,
                    **(DENSE if role == "before" else SMALL),
                    size_bytes=size,
                    gzip_bytes=gzip,
                    median_ms=median,
                    p95_ms=p95,
                    peak_memory_bytes=31_457_280 if target == "host" else None,
                    note="" if target == "host" else away,
                )
            )
    return Result(
        recipe="edgeprune.toml",
        metric="accuracy",
        higher_is_better=True,
        method="taylor",
        sparsity=0.9502,
        rows=tuple(rows),
        gates=(
            Verdict("max_metric_drop", "host", "model.tflite", 0.003, 0.002, False),
            Verdict("max_bytes", "host", "model.tflite", 200_000, 147_312, False),
            Verdict("max_bytes", "host", "model.onnx", 2_500_000, 2_450_208, False),
            Verdict("max_latency_ms", "host", "model.tflite", 0.02, 0.0087, False),
            Verdict("min_sparsity", "host", "model.tflite", 0.95, 0.9502, False),
            Verdict("max_bytes", "raspberry-pi-4", "model.tflite", 100_000, 147_312, True),
            Verdict(
                "max_latency_ms", "raspberry-pi-4", "model.tflite", 5.0, None, False,
                "not measured; the recipe allows it",
            ),
        ),
        layers=(
            LayerChange("dense/kernel", (784, 512), 401_408, (736, 512), 12_044),
            LayerChange("dense_1/kernel", (512, 512), 262_144, (512, 456), 20_318),
            LayerChange("dense_2/kernel", (512, 10), 5_120, (456, 10), 972),
            LayerChange("head/extra/a_rather_long_layer_name/kernel", (32, 32), 1_024, None, 0),
        ),
        rounds=tuple(
            Round(number + 1, sparsity, metric)
            for number, (sparsity, metric) in enumerate(
                [(0.41, 0.9841), (0.68, 0.9838), (0.83, 0.9835), (0.91, 0.9829), (0.9502, 0.9815)]
            )
        ),
        released={"host": "dist/host"},
        held={"raspberry-pi-4": "max_bytes on model.tflite: 147,312 > 100,000"},
        notes=(
            "calibration: 2,048 examples drawn by seed 0 from train, as the recipe names none",
            "strip kept 3 units of dense_1: they fill a 1×4 block <with> others & stay",
        ),
        plan="4be1f0" * 10,
        versions={"edgeprune": "0.1.0", "tensorflow": "2.21.0", "keras": "3.15.1"},
        facts={"seed": 0, "date": "2026-11-24", "recipe_digest": "ab" * 32},
    )  # fmt: skip
