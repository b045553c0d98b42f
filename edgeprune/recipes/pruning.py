"""The table ``[prune]``: how much leaves, and by what measure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from edgeprune import patterns
from edgeprune.documents import Names, Strict
from edgeprune.errors import PlanError
from edgeprune.recipes.values import Count, Share, each_once
from edgeprune.targets import LatencyTable

Score = Literal[
    "taylor", "gradient", "snip", "fisher", "obd", "wanda", "wanda-lamp",
    "magnitude", "lamp", "random",
    "gate", "gate-fisher", "molchanov", "apoz", "activation", "bn-scale",
]  # fmt: skip
OF_CHANNELS = frozenset({"gate", "gate-fisher", "molchanov", "apoz", "activation", "bn-scale"})
"""Scores of whole channels: they say nothing of single weights."""
GOALS = ("sparsity", "threshold", "channels", "search")
"""How much leaves is asked for by one of them."""
BUDGETS = ("max_macs", "max_parameters", "max_bytes", "max_latency_ms")
BY_BUDGET: Score = "gate-fisher"
"""The score where a budget decides and none is named."""
BY_RAMP: Score = "wanda-lamp"
"""The score where zeros grow on a ramp and none is named."""


def _pattern(text: str) -> str:
    try:
        return patterns.Pattern.parse(text).name
    except PlanError as error:
        raise PydanticCustomError("rule", "{error}", {"error": str(error)}) from None


Pattern = Annotated[
    str, AfterValidator(_pattern), WithJsonSchema({"type": "string", "pattern": patterns.REGEX})
]


def _limit(value: float) -> float:
    if value >= 1 and not float(value).is_integer():
        raise PydanticCustomError(
            "rule",
            "must be a share below 1 or a whole number, not {value}",
            {"value": f"{value:g}"},
        )
    return int(value) if value >= 1 else value


Limit = Annotated[float, Field(gt=0), AfterValidator(_limit)]
"""Below 1 a share of the original's, else a count."""


class Prune(Strict):
    """How much leaves, and by what measure."""

    model_config = ConfigDict(
        json_schema_extra={"anyOf": [{"required": [key]} for key in (*GOALS, "pattern", *BUDGETS)]}
    )

    score: Annotated[
        tuple[Score, ...],
        BeforeValidator(
            lambda value: (value,) if isinstance(value, str) else value,
            json_schema_input_type=Score | list[Score],
        ),
        Field(strict=False),
        AfterValidator(each_once),
    ] = Field(
        default=("taylor",),
        description="How connections are scored; of several, a rehearsal chooses on the "
        "validation split.",
    )
    sparsity: Share | None = Field(default=None, description="Share of kernel weights to remove.")
    threshold: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description="Remove every connection that scores below."
    )
    channels: Share | None = Field(
        default=None, description="Share of units and filters to remove."
    )
    search: Literal["sparsity", "channels"] | None = Field(
        default=None,
        description="Find the largest share within max_drop, by cross-validation on the "
        "validation split.",
    )
    folds: Annotated[int, Field(ge=2, le=100)] = Field(
        default=5, description="Of the search's cross-validation."
    )
    grid: Annotated[tuple[Share, ...], Field(strict=False)] = Field(
        default=(), description="Shares that a search tries; bisection where absent."
    )
    max_macs: Limit | None = Field(
        default=None,
        description="Cut channels until so many MACs stay; below 1 a share of the original's.",
    )
    max_parameters: Limit | None = Field(
        default=None, description="The same of parameters; budgets hold together."
    )
    max_bytes: Limit | None = Field(
        default=None, description="The same of bytes: 4 a parameter, an estimate of the fp32 file."
    )
    max_latency_ms: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description="The same of milliseconds, by a latency table."
    )
    latency: LatencyTable | None = Field(
        default=None,
        description="The table for max_latency_ms; absent: that of the targets' profiles.",
    )
    step: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=None,
        description="Of the original's cost (of the channels): so much is cut between two scores "
        "of a round; 1: scores once a round. Absent: 0.05 with a budget, else 1.",
    )
    pattern: Pattern = Field(
        default="none",
        description='"1x4", "1x16": blocks along a Dense input, fast in TFLite; "2x1": of two '
        'outputs of 1×1 convolutions; "2:4": of every four neighbours two stay.',
    )
    scope: Literal["global", "layer"] = Field(
        default="global", description="Compare all connections together, or each layer's."
    )
    exclude: Names = Field(default=(), description="Globs of layers or weights to leave alone.")
    multiple: Count | None = Field(
        default=None,
        description="What a cut keeps of a group of channels is a multiple of this; absent: of "
        "what the targets' profiles ask for.",
    )
    minimum: Count = Field(default=1, description="Fewest channels that a cut leaves of a group.")
    most: Annotated[float, Field(gt=0, le=1)] = Field(
        default=1.0, description="Largest share of a group's channels that may leave."
    )
    inexact: bool = Field(
        default=False,
        description="Cut channels too that are mixed without weights (layer norm, softmax, means); "
        "the outputs change, and recovery has to set that right.",
    )
    rounds: Count = Field(default=1, description="Score, prune, recover so many times.")
    schedule: Literal["cubic", "linear", "constant"] = Field(
        default="cubic", description="How the rounds approach the target."
    )
    ramp: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.0,
        description="Share of a round's training over which its zeros grow; 0: all before it.",
    )
    ramp_every: Count | None = Field(
        default=None,
        description="Steps between two choices of masks; absent: 100, or a twentieth of the ramp.",
    )
    regrow: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.0, description="Share of the kept weights that change their place on the ramp."
    )
    shrink: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        default=0.0,
        description="Weight of the kernels' summed magnitude in the loss while the ramp lasts.",
    )
    max_drop: Annotated[float, Field(ge=0)] | None = Field(
        default=None, description="Stop, one round back, when validation lost more than this."
    )
    rehearsal_epochs: Annotated[int, Field(ge=1, le=100)] = Field(
        default=2, description="Epochs of a rehearsal, where score names several."
    )

    @property
    def budgets(self) -> tuple[str, ...]:
        """The budgets that are asked for."""
        return tuple(name for name in BUDGETS if getattr(self, name) is not None)

    @property
    def cuts(self) -> bool:
        """Whether channels leave."""
        return self.channels is not None or bool(self.budgets) or self.search == "channels"

    @model_validator(mode="before")
    @classmethod
    def _score_by_goal(cls, value: Any) -> Any:
        """Where nothing is said, the score is what did best for such a goal."""
        if not isinstance(value, dict) or "score" in value:
            return value
        if value.get("ramp"):
            return {**value, "score": BY_RAMP}
        asked = any(value.get(name) is not None for name in BUDGETS)
        alone = value.get("sparsity") is None
        return {**value, "score": BY_BUDGET} if asked and alone else value

    def _check_scores(self, given: Sequence[str]) -> None:
        of_channels = [score for score in self.score if score in OF_CHANNELS]
        if of_channels and (not self.cuts or self.sparsity is not None):
            raise PydanticCustomError(
                "rule",
                "has score {score}, which is of channels, and asks for {found}; ask for channels "
                "alone, or take another score",
                {"score": repr(of_channels[0]), "found": " and ".join(given) or "a pattern"},
            )

    @model_validator(mode="after")
    def _one_goal(self) -> Self:
        given = [key for key in GOALS if getattr(self, key) is not None]
        budgets = self.budgets
        given += budgets
        quota = patterns.Pattern.parse(self.pattern).quota is not None
        if quota and given:
            raise PydanticCustomError(
                "rule",
                "has pattern = {pattern}, which says itself how much goes, and asks for {given} "
                "too; leave that out",
                {"pattern": repr(self.pattern), "given": given[0]},
            )
        asked = len(given) - max(0, len(budgets) - 1)
        hybrid = self.sparsity is not None and self.search is None and self.cuts and asked == 2
        if asked == 1 or hybrid or quota:
            self._check_scores(given)
            return self
        found = " and ".join(given) or "none"
        raise PydanticCustomError(
            "rule",
            "needs exactly one of sparsity, threshold, channels, search or budgets ({budgets}); "
            "channels or budgets with sparsity make a hybrid, and a pattern N:M goes alone; given: "
            "{found}",
            {"found": found, "budgets": ", ".join(BUDGETS)},
        )

    @model_validator(mode="after")
    def _search_fits(self) -> Self:
        fault = None
        if self.search is None:
            unused = [key for key in ("folds", "grid") if key in self.model_fields_set]
            fault = f"has {unused[0]} and no search, which it is of" if unused else None
        elif self.max_drop is None:
            fault = "has search and no max_drop: say how much the metric may lose"
        elif len(self.score) > 1:
            fault = "has search and several scores; name one"
        if fault:
            raise PydanticCustomError("rule", "{fault}", {"fault": fault})
        return self

    @model_validator(mode="after")
    def _latency_fits(self) -> Self:
        if self.latency is not None and self.max_latency_ms is None:
            raise PydanticCustomError(
                "rule", "has latency and no max_latency_ms; ask for it, or leave latency out"
            )
        return self

    @model_validator(mode="after")
    def _ramp_fits(self) -> Self:
        if not self.ramp:
            given = [key for key in ("ramp_every", "regrow", "shrink") if getattr(self, key)]
            if given:
                raise PydanticCustomError(
                    "rule",
                    "has {given}, which says how a ramp goes, and no ramp; set ramp or leave it "
                    "out",
                    {"given": given[0]},
                )
            return self
        if self.cuts or (self.sparsity is None and self.search is None):
            raise PydanticCustomError(
                "rule",
                "has a ramp, on which a share of zeros grows; ask for sparsity, and for it alone",
            )
        return self

    @model_validator(mode="after")
    def _constraints_fit(self) -> Self:
        keys: tuple[str, ...] = ("multiple", "minimum", "most")
        given = [key for key in keys if key in self.model_fields_set]
        given += ["inexact"] if self.inexact else []
        given += ["step"] if self.step is not None else []
        if given and not self.cuts:
            raise PydanticCustomError(
                "rule",
                "has {given}, which says how channels are cut, and no channels; ask for channels "
                "or leave it out",
                {"given": given[0]},
            )
        if self.channels is not None and self.most < self.channels:
            raise PydanticCustomError(
                "rule",
                "asks for channels = {channels} with most = {most}: of no group may more than "
                "{most} leave; raise most or ask for less",
                {"channels": self.channels, "most": self.most},
            )
        return self
