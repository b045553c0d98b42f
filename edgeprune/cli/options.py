"""Arguments and options that several verbs share, each written once."""

from __future__ import annotations

import typing
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from edgeprune.cli.ranges import LIMIT, POSITIVE, SHARE, SHARE_OR_ALL, SOME_OR_ALL, option, whole
from edgeprune.errors import PlanError
from edgeprune.patterns import Pattern

Model = Annotated[
    Path, typer.Argument(metavar="MODEL", help="A .keras or .h5 file, or module:function.")
]
Data = Annotated[
    Path, typer.Option("--data", metavar="FILE", help="An .npz, a folder, or module:function.")
]
Out = Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="Where the result goes.")]
PlanOut = Annotated[
    Path,
    typer.Option("--out", "-o", metavar="FILE", help="Where the plan goes; with --front a folder."),
]
Loss = Annotated[
    str | None,
    typer.Option(
        "--loss", metavar="NAME", help="Keras' name or module:function; else the compiled one."
    ),
]
Judge = Annotated[
    str | None,
    typer.Option(
        "--loss",
        metavar="NAME",
        help="Keras' name or module:function; own-kl and own-mse need no labels; else the compiled "
        "one.",
    ),
]
"""Of a score, which may do without labels."""
Metric = Annotated[
    str | None,
    typer.Option(
        "--metric", metavar="NAME", help="Keras' name or module:function; else the compiled one."
    ),
]
Ssh = Annotated[
    str | None,
    typer.Option(
        "--ssh", metavar="USER@HOST", help="The board; else EDGEPRUNE_SSH or devices.toml says it."
    ),
]
BoardAddresses = Annotated[
    list[str] | None,
    typer.Option(
        "--ssh",
        metavar="USER@HOST",
        help="The board; of several TARGET=USER@HOST, repeatable; else the environment or "
        "devices.toml says it.",
    ),
]
Serials = Annotated[
    list[str] | None,
    typer.Option(
        "--adb",
        metavar="SERIAL",
        help="The board, over adb; of several TARGET=SERIAL, repeatable; else devices.toml says.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print facts as JSON, for programs.")]
Trust = Annotated[
    bool,
    typer.Option("--trust-model", help="Load Lambda layers: they run code that is in the file."),
]
Seed = Annotated[
    int, option("--seed", takes=whole(0, 2**31 - 1), help="Seed of everything random.")
]
Threads = Annotated[
    int,
    option(
        "--threads",
        takes=whole(1, 1024),
        help="Threads of TensorFlow; they are part of the result.",
    ),
]
Workers = Annotated[
    int,
    option("--workers", takes=whole(1, 256), help="Processes that share it; same result."),
]


class Method(StrEnum):
    taylor = "taylor"
    gradient = "gradient"
    snip = "snip"
    fisher = "fisher"
    obd = "obd"
    wanda = "wanda"
    wanda_lamp = "wanda-lamp"
    magnitude = "magnitude"
    lamp = "lamp"
    random = "random"
    gate = "gate"
    gate_fisher = "gate-fisher"
    molchanov = "molchanov"
    apoz = "apoz"
    activation = "activation"
    bn_scale = "bn-scale"


class Normalization(StrEnum):
    none = "none"
    sum = "sum"
    mean = "mean"
    max = "max"
    l2 = "l2"


class Scope(StrEnum):
    whole = "global"
    layer = "layer"


class Schedule(StrEnum):
    cubic = "cubic"
    linear = "linear"
    constant = "constant"


class Decay(StrEnum):
    none = "none"
    cosine = "cosine"


class Recovery(StrEnum):
    """The names of :mod:`edgeprune.recoveries`; a list option takes no Literal."""

    finetune = "finetune"
    batchnorm = "batchnorm"
    distill = "distill"
    reconstruct = "reconstruct"


def _pattern(text: str) -> str:
    try:
        return Pattern.parse(text).name
    except PlanError as error:
        raise typer.BadParameter(str(error)) from None


Share = Annotated[float | None, option(takes=SHARE, help="Share of weights to zero.")]
Threshold = Annotated[float | None, option(takes=POSITIVE, help="Zero what scores below this.")]
Channels = Annotated[
    float | None, option(takes=SHARE, help="Share of units and filters to remove.")
]
MaxMacs = Annotated[
    float | None, option("--max-macs", takes=LIMIT, help="Cut channels until so many MACs stay.")
]
MaxParameters = Annotated[
    float | None, option("--max-parameters", takes=LIMIT, help="The same of parameters.")
]
MaxBytes = Annotated[
    float | None, option("--max-bytes", takes=LIMIT, help="The same of bytes, 4 a parameter.")
]
MaxLatency = Annotated[
    float | None,
    option("--max-latency-ms", takes=POSITIVE, help="The same of milliseconds, by --latency."),
]
LatencyFile = Annotated[
    Path | None,
    typer.Option(
        "--latency", metavar="FILE", help="JSON or TOML: milliseconds per kept channel, by group."
    ),
]
Step = Annotated[
    float | None,
    option(
        "--step",
        takes=SOME_OR_ALL,
        help="Of the cost: score anew after so much is cut; 1: once. With a budget 0.05, else 1.",
    ),
]
Exclude = Annotated[
    list[str] | None, typer.Option(metavar="GLOB", help="Layers, weights or groups to leave alone.")
]
Multiple = Annotated[
    int | None, option(takes=whole(1), help="Cut groups to multiples of N channels.")
]
Minimum = Annotated[int | None, option(takes=whole(1), help="Keep at least N channels a group.")]
Most = Annotated[
    float | None, option(takes=SOME_OR_ALL, help="Cut at most this share of any group.")
]
Device = Annotated[
    list[str] | None,
    typer.Option(
        "--target",
        metavar="NAME",
        help="Take the multiple, and a latency table, of this profile; repeatable.",
    ),
]
Inexact = Annotated[
    bool,
    typer.Option("--inexact", help="Cut what is mixed without weights too: outputs change."),
]
PatternOption = Annotated[
    str,
    typer.Option(
        "--pattern",
        metavar="NAME",
        parser=_pattern,
        help="1x4 or 1x16: blocks along a Dense input, fast in TFLite; 2x1: two outputs of 1x1 "
        "convolutions; 2:4: of every four inputs two stay, asked for alone (2:4:output: of four "
        "outputs).",
    ),
]
ScopeOption = Annotated[Scope, typer.Option(help="Compare all weights together, or each layer's.")]
MethodOption = Annotated[Method, typer.Option(help="How connections are scored.")]
Epochs = Annotated[int | None, option(takes=whole(1), help="Epochs of fine-tuning a round; 3.")]
Rate = Annotated[float | None, option("--learning-rate", takes=POSITIVE, help="Of Adam; 0.001.")]
Patience = Annotated[
    int | None, option(takes=whole(1), help="Stop after so many epochs without a gain.")
]
DecayOption = Annotated[
    Decay | None, typer.Option("--decay", help="How the learning rate falls over the epochs.")
]
BatchOption = Annotated[int | None, option(takes=whole(1), help="Examples per step; 128.")]
Temperature = Annotated[
    float | None, option(takes=POSITIVE, help="Of distill: logits are divided by it; 2.")
]
Alpha = Annotated[
    float | None, option(takes=SHARE_OR_ALL, help="Of distill: share of the labels in the loss; 0.")
]


def gathered(options: typing.Mapping[str, Any]) -> dict[str, Any]:
    """The options that were given (not ``None``)."""
    return {name: value for name, value in options.items() if value is not None}
