"""What `greenadapt.compare` returns: one row per network, verdicts in words, and ways to write it down.

Comparison
├── rows        the base first, then the others: numbers with their intervals
├── versus      every pair that a verdict is given on: with the base, and each retrofit with its rivals
├── cheapest    across settings: what costs least at equal accuracy
├── knees       across batch sizes: where a larger batch is no longer worth it, if the intervals settle it
├── carbon      a line per place that was named
├── caveats     what a reader must know before using a number
└── profiles    what it was computed from
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from greenadapt.comparison import table as comparison_table
from greenadapt.comparison.differences import AccuracyDifference
from greenadapt.comparison.findings import Cheapest
from greenadapt.comparison.grams import carbon_columns, carbon_content, carbon_lines
from greenadapt.comparison.knees import Knee
from greenadapt.comparison.thresholds import Threshold, parse_threshold
from greenadapt.comparison.verdicts import Versus
from greenadapt.errors import OptionError
from greenadapt.profile import Conditions, Interval, Kind, Profile
from greenadapt.tables import csv_text, markdown_table, text_table

Role = Literal["base", "retrofit", "rival"]


@dataclass(frozen=True)
class Row:
    """One network in a comparison; ratios and differences are against the base, and None for the base.

    Attributes:
        name: The network.
        role: "base", "retrofit", or "rival": a plain network that stands beside the retrofits.
        parameters: How many.
        parameters_ratio: Parameters over the base's.
        flops_per_image: 2 x MAC of convolutions and linear layers, policy and branches included.
        flops_ratio: FLOPs over the base's.
        seconds_per_inference: Time per image.
        seconds_per_batch: Time per batch.
        latency_ratio: Time per image over the base's.
        joules_per_inference: Gross energy per image; None where nothing could tell.
        energy_kind: Whether the joules were measured by a counter or estimated from time.
        energy_ratio: Energy over the base's; None unless the same kind of counter measured both.
        top1: Fraction of images classified correctly, with its Wilson interval.
        top1_low: Lower end.
        top1_high: Upper end.
        top1_difference: Against the base, paired by image.
        realised_share: (1 - t/t0) / (1 - F/F0): how much of the FLOPs saved became time saved.
        realised_energy_share: The same with joules for time.
        payback_inferences: Inferences after which the training's joules are saved again.
        paired: Whether it ran interleaved with the base.
        validity: "valid", "suspect" or "invalid".
        verdict: What it comes to, in a few words.
        setting: The conditions that are compared across, by name, such as ``{"precision": "bf16"}``.
    """

    name: str
    role: Role
    parameters: int | None
    parameters_ratio: float | None
    flops_per_image: float | None
    flops_ratio: float | None
    seconds_per_inference: Interval
    seconds_per_batch: Interval
    latency_ratio: Interval | None
    joules_per_inference: Interval | None
    energy_kind: Kind | None
    energy_ratio: Interval | None
    top1: float | None
    top1_low: float | None
    top1_high: float | None
    top1_difference: AccuracyDifference | None
    realised_share: float | None
    realised_energy_share: float | None
    payback_inferences: float | None
    paired: bool | None
    validity: str
    verdict: str
    setting: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """Networks under the same conditions, or across named ones, side by side; print it.

    Attributes:
        rows: The base first.
        conditions: Those of the base; all share them but for what they are compared across.
        versus: Pairs with a verdict.
        caveats: Sentences that belong beside the numbers.
        method: One sentence: which instrument, what it covers, measured or estimated.
        profiles: What the rows were computed from, in the same order.
        across: The conditions that may differ.
        cheapest: What costs least at equal accuracy; None where nothing may differ.
        knees: The batch at the knee, per network and setting; empty unless batches may differ.
    """

    rows: tuple[Row, ...]
    conditions: Conditions
    versus: tuple[Versus, ...]
    caveats: tuple[str, ...]
    method: str
    profiles: tuple[Profile, ...]
    across: tuple[str, ...] = ()
    cheapest: Cheapest | None = None
    knees: tuple[Knee, ...] = ()

    def __str__(self) -> str:
        table = text_table(comparison_table.columns(self), comparison_table.cells(self))
        head = [comparison_table.conditions_line(self.conditions, self.across), self.method]
        notes = [f"note: {line}" for line in self.caveats]
        carbon = [*self.carbon, ""] if self.carbon else []
        return "\n".join([*head, "", table, "", *carbon, *self.verdicts, *self.findings, *notes])

    @property
    def base(self) -> Row:
        """The row that the others are compared with."""
        return self.rows[0]

    @property
    def verdicts(self) -> list[str]:
        """One sentence per pair."""
        return [pair.sentence for pair in self.versus]

    @property
    def findings(self) -> list[str]:
        """What comes of comparing across settings: the cheapest at equal accuracy, and the knees."""
        return [each.sentence for each in (self.cheapest, *self.knees) if each is not None]

    @property
    def carbon(self) -> list[str]:
        """One line per place with the grams of every network; empty where no place was named."""
        return carbon_lines(self.profiles)

    def to_rows(self) -> list[dict[str, Any]]:
        """Flat rows of raw numbers, the unit in the name; None is unknown."""
        grams = carbon_columns(self.profiles)
        return [comparison_table.flat(row) | more for row, more in zip(self.rows, grams, strict=True)]

    def to_markdown(self) -> str:
        """The table, carbon, the verdicts and the caveats in Markdown."""
        table = markdown_table(comparison_table.columns(self), comparison_table.cells(self))
        head = f"{comparison_table.conditions_line(self.conditions, self.across)}  \n{self.method}"
        verdicts = "\n".join(f"- {sentence}" for sentence in [*self.verdicts, *self.findings])
        carbon, caveats = ("\n".join(f"- {line}" for line in each) for each in (self.carbon, self.caveats))
        return "\n\n".join(part for part in (head, table, carbon, verdicts, caveats) if part) + "\n"

    def to_csv(self) -> str:
        """`to_rows` as comma-separated values with a head."""
        return csv_text(self.to_rows())

    def to_json(self) -> str:
        """Everything but the profiles themselves, as indented JSON text ending in a newline."""
        content = {
            "format": "greenadapt/comparison",
            "conditions": self.conditions.model_dump(mode="json"),
            "method": self.method,
            "rows": self.to_rows(),
            "carbon": carbon_content(self.profiles),
            "versus": [_pair(pair) for pair in self.versus],
            "verdicts": self.verdicts,
            "across": list(self.across),
            "cheapest": dataclasses.asdict(self.cheapest) if self.cheapest else None,
            "knees": [dataclasses.asdict(knee) for knee in self.knees],
            "findings": self.findings,
            "caveats": list(self.caveats),
            "profile_ids": [profile.profile_id for profile in self.profiles],
        }
        return json.dumps(content, indent=2, ensure_ascii=False) + "\n"

    def fail_if(self, expression: str) -> list[str]:
        """Which networks a condition holds for.

        It is asked of the retrofits, or of every network but the base if there is no retrofit, and of the
        mean change, not of an end of its interval.

        Args:
            expression: Such as ``energy > -10%``; see `greenadapt.comparison.thresholds`.

        Returns:
            A sentence per network for which the condition holds; empty if for none.

        Raises:
            OptionError: The condition is malformed, or its quantity is not known for one of the networks.
        """
        threshold = parse_threshold(expression)
        asked = [row for row in self.rows[1:] if row.role == "retrofit"] or list(self.rows[1:])
        found = []
        for row in asked:
            change = _change(row, threshold)
            if threshold.holds(change):
                unit = "points" if threshold.quantity == "top1" else "%"
                found.append(
                    f"{row.name}: {threshold.quantity} {change:+.3g} {unit}, which fails {threshold}"
                )
        return found


def _pair(pair: Versus) -> dict[str, Any]:
    return {
        "network": pair.network,
        "other": pair.other,
        "outcome": pair.outcome,
        "paired": pair.paired,
        "latency_ratio": pair.latency.model_dump(),
        "energy_ratio": pair.energy.model_dump() if pair.energy else None,
        "top1_difference": dataclasses.asdict(pair.accuracy) if pair.accuracy else None,
    }


def _change(row: Row, threshold: Threshold) -> float:
    """The change against the base in the threshold's unit."""
    if threshold.quantity == "top1" and row.top1_difference is not None:
        return row.top1_difference.mean * 100
    ratios = {
        "energy": row.energy_ratio.mean if row.energy_ratio else None,
        "latency": row.latency_ratio.mean if row.latency_ratio else None,
        "flops": row.flops_ratio,
        "parameters": row.parameters_ratio,
    }
    ratio = ratios.get(threshold.quantity)
    if ratio is not None:
        return (ratio - 1) * 100
    raise OptionError(
        f"Whether {threshold} cannot be told for {row.name}.", *_why_unknown(row, threshold.quantity)
    )


def _why_unknown(row: Row, quantity: str) -> Sequence[str]:
    if quantity == "energy" and row.energy_kind == "estimated":
        return (
            "Its energy is estimated as constant power x time, which says nothing that latency does not.",
            "Ask for latency, or audit where a counter can measure: greenadapt doctor",
        )
    if quantity == "energy":
        return ("Base and network have no energy measured alike.", "See which meters work: greenadapt doctor")
    if quantity == "top1":
        return ("The audits did not classify the same images.", "Audit both with the same --data.")
    return (f"The profiles give no {quantity}.", "Audit the networks again.")
