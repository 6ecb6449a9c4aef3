"""The table of a comparison: its columns, its cells for people, its flat rows for programs.

A cell has the value with its interval on the first line, and its change against the base on the second.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from greenadapt.comparison.across import FIELDS, cell, words
from greenadapt.comparison.differences import AccuracyDifference
from greenadapt.comparison.verdicts import sign_of_accuracy, sign_of_ratio
from greenadapt.profile import Conditions, Interval
from greenadapt.tables import Column
from greenadapt.units import signed, significant, with_prefix

if TYPE_CHECKING:
    from greenadapt.comparison.result import Comparison, Row

ESTIMATED = "estimated: constant power x time"
UNKNOWN = "unknown"
_NO_DIFFERENCE = "no measurable\ndifference"
_LOPSIDED = 0.2
_ENDS = ("mean", "low", "high")
_PARTS = {
    "seconds_per_inference": _ENDS,
    "seconds_per_batch": _ENDS,
    "latency_ratio": _ENDS,
    "joules_per_inference": _ENDS,
    "energy_ratio": _ENDS,
    "top1_difference": (*_ENDS, "p_value"),
}


def conditions_line(conditions: Conditions, without: Collection[str] = ()) -> str:
    """What the numbers depend on, in one line.

    Args:
        conditions: All of them.
        without: Names from `greenadapt.comparison.across` that the line is silent about.
    """
    channels, height, width = conditions.input_shape

    def told(name: str, known: object = True) -> str | None:
        value = getattr(conditions, FIELDS[name])
        return words(name, value) if known and name not in without else None

    parts = [
        conditions.device,
        told("threads", conditions.device_type == "cpu"),
        told("batch"),
        told("precision"),
        f"{channels}x{height}x{width} px",
        told("format"),
        told("compile"),
        f"{conditions.data} images",
        told("torch"),
        told("driver", conditions.driver),
        told("power-limit", conditions.power_limit_watts),
    ]
    return ", ".join(part for part in parts if part)


def columns(comparison: Comparison) -> list[Column]:
    """The head of the table; the energy column says whether it was measured or estimated."""
    return [column for column, _ in _filled(comparison)]


def cells(comparison: Comparison) -> list[list[str]]:
    """One list of cells per row, in the order of `columns`."""
    return [list(row) for row in zip(*(column for _, column in _filled(comparison)), strict=True)]


def flat(row: Row) -> dict[str, Any]:
    """A row as raw numbers under flat names; one field for each part of an interval."""
    fields: dict[str, Any] = {}
    for name in (field.name for field in dataclasses.fields(row)):
        value = getattr(row, name)
        if name == "setting":
            fields.update(value)
            continue
        parts = _PARTS.get(name)
        if parts is None:
            fields[name] = value
        for part in parts or ():
            fields[f"{name}_{part}"] = None if value is None else getattr(value, part)
    return fields


def _filled(comparison: Comparison) -> list[tuple[Column, list[str]]]:
    """Columns with their cells, without the columns that have nothing to say."""
    rows = [
        _cells(row, comparison.across, is_base=row is comparison.base, mixed=_mixed(comparison))
        for row in comparison.rows
    ]
    by_column = zip(_columns(comparison), zip(*rows, strict=True), strict=True)
    return [(column, list(column_cells)) for column, column_cells in by_column if any(column_cells)]


def _columns(comparison: Comparison) -> list[Column]:
    batch = f"at batch {comparison.conditions.batch_size}"
    across = comparison.across
    kind = comparison.base.energy_kind
    energy = {"estimated": "estimated:\nconstant power x time", "measured": "measured", None: ""}[kind]
    return [
        Column(
            "network", "left", "The network and its role; a rival is a plain network beside the retrofits."
        ),
        *(Column(name, "left", f"A setting: {name}.") for name in across),
        Column(
            "energy/image" if _mixed(comparison) else f"energy/image\n{energy}",
            tooltip="Gross energy per image, idle power included, and its change against the base.",
        ),
        Column(
            "time/image" if "batch" in across else f"time/image\n{batch}",
            tooltip="Time of a batch over its images, and its change against the base.",
        ),
        *([Column("time/batch", tooltip="How long all images of a batch wait.")] if across else []),
        Column("top-1", tooltip="Share of images classified correctly, and the difference in points."),
        Column("parameters", tooltip="How many numbers the network holds."),
        Column("FLOPs/image\n2 x MAC", tooltip="Convolutions and linear layers as executed on these images."),
        Column(
            "realised", tooltip="Share of the FLOPs saved that became time saved: (1 - t/t0) / (1 - F/F0)."
        ),
        Column("pays back\nafter", tooltip="Images after which the joules of the training are saved again."),
    ]


def _mixed(comparison: Comparison) -> bool:
    return len({row.energy_kind for row in comparison.rows if row.energy_kind}) > 1


def _cells(row: Row, across: Sequence[str], *, is_base: bool, mixed: bool) -> list[str]:
    payback = row.payback_inferences
    time = quantity(row.seconds_per_inference, "s")
    flops = UNKNOWN if row.flops_per_image is None else with_prefix(row.flops_per_image, "").strip()
    return [
        f"{row.name}\n{row.role}",
        *(cell(name, row.setting[name]) for name in across),
        _energy(row, mixed),
        time if is_base else f"{time}\n{_change(row.latency_ratio)}",
        *([with_prefix(row.seconds_per_batch.mean, "s")] if across else []),
        _top1(row) if is_base else f"{_top1(row)}\n{_difference(row.top1_difference)}",
        UNKNOWN if row.parameters is None else f"{row.parameters:,}",
        flops if row.flops_ratio is None or row.flops_ratio == 1 else f"{flops}\n{_percent(row.flops_ratio)}",
        _realised(row),
        "" if payback is None else f"{with_prefix(payback, '').strip()} images",
    ]


def _percent(ratio: float) -> str:
    return f"{(ratio - 1) * 100:+.1f} %"


def _energy(row: Row, mixed: bool) -> str:
    if row.joules_per_inference is None:
        return UNKNOWN
    lines = [quantity(row.joules_per_inference, "J")]
    if mixed:
        lines.append(ESTIMATED if row.energy_kind == "estimated" else f"{row.energy_kind}")
    if row.energy_ratio is not None:
        lines.append(_change(row.energy_ratio))
    return "\n".join(lines)


def _realised(row: Row) -> str:
    if row.realised_share is None or row.latency_ratio is None:
        return ""
    measurable = sign_of_ratio(row.latency_ratio) != 0
    return f"{row.realised_share:.2f}" if measurable else "no measurable\nsaving"


def quantity(interval: Interval, unit: str) -> str:
    """A quantity with its interval: "3.2 mJ ±1.4 %" where both sides are about alike; both ends where they
    are not, or where zero lies between them.

    Args:
        interval: In the unprefixed unit.
        unit: The unit's symbol.
    """
    mean = with_prefix(interval.mean, unit)
    below, above = interval.mean - interval.low, interval.high - interval.mean
    half = (below + above) / 2
    if abs(interval.mean) <= half or abs(above - below) > _LOPSIDED * half:
        return f"{mean} ({with_prefix(interval.low, unit)} to {with_prefix(interval.high, unit)})"
    return f"{mean} ±{significant(half / abs(interval.mean) * 100, 2)} %"


def _change(ratio: Interval | None) -> str:
    if ratio is None:
        return UNKNOWN
    if sign_of_ratio(ratio) == 0:
        return _NO_DIFFERENCE
    mean, low, high = (signed((value - 1) * 100) for value in (ratio.mean, ratio.low, ratio.high))
    return f"{mean} % ({low} to {high})"


def _top1(row: Row) -> str:
    if row.top1 is None or row.top1_low is None or row.top1_high is None:
        return UNKNOWN
    return f"{row.top1 * 100:.2f} % ({row.top1_low * 100:.1f} to {row.top1_high * 100:.1f})"


def _difference(difference: AccuracyDifference | None) -> str:
    if difference is None:
        return "not compared"
    if sign_of_accuracy(difference) == 0:
        return _NO_DIFFERENCE
    p = f"p {difference.p_value:.2g}" if difference.p_value >= 0.001 else "p < 0.001"
    return f"{difference.mean * 100:+.2f} points ({p})"
