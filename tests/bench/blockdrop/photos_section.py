"""The section on ImageNet weights and photos: what every row saves, what it costs, and whether it pays.

A row pays if it does both, by the same 95 % intervals as are printed:

    accuracy    the paired difference from the base stays above minus two points
    time        the ratio to the base stays below 1, the policy's network included

The rule was written before the measurement, and its two points are those of the section on conversions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from greenadapt.tables import Column, markdown_table
from tests.bench.blockdrop.timing import interval, ratio
from tests.bench.paired import better, difference, points, worse

Row = Mapping[str, Any]

FILE = "blockdrop-photos.json"
TITLE = "ImageNet weights: EfficientNet-Lite0 on photos"
COMMAND = "python -m tests.bench.blockdrop.photos"
TOLERATED = 0.02
"""A loss that a row may cost and still pay: two points, at the lower end of the interval."""
_HEADS = ("network", "dropped", "FLOPs saved", "time saved", "realised", "top-1", "against base", "verdict")


def drawn(rows: Sequence[Row]) -> str:
    """The section.

    Args:
        rows: As `tests.bench.blockdrop.photos` writes them; those still lacking are left out.
    """
    base, arms = rows[0], [row for row in rows if "kind" in row]
    table = [
        ["base", f"0 of {len(base['blocks'])}", "", "", "", f"{base['quality']['top1']:.1%}", "", ""],
        *(_cells(row, base) for row in arms),
    ]
    parts = [
        f"## {TITLE}",
        _told(rows),
        markdown_table([Column(head, "left") for head in _HEADS], table),
        _bullets(_trainings(arms)),
        _bullets(_policy(row, base) for row in rows if row["name"].startswith("policy")),
        _verdict(arms, base) + _lacking(arms),
    ]
    return "\n\n".join(part for part in parts if part)


def bars(rows: Sequence[Row]) -> list[bool]:
    """None: what does not pay is reported, and fails nothing.

    Args:
        rows: As in `drawn`.
    """
    return []


def pays(row: Row, base: Row) -> bool:
    """Whether a row keeps the base's accuracy and saves time; see the module for the rule.

    Args:
        row: Of an arm.
        base: The row of the base.
    """
    return not _failed(row, base)


def _failed(row: Row, base: Row) -> list[str]:
    """Which halves of the rule a row does not meet."""
    met = {
        "accuracy": difference(row["quality"], base["quality"]).low > -TOLERATED,
        "time": _time(row)[2] < 1,
    }
    return [half for half, kept in met.items() if not kept]


def _judged(row: Row, base: Row) -> str:
    """What a row's cell says: 500 photos may neither show that it pays nor that it does not."""
    failed = _failed(row, base)
    lost = {
        "accuracy": difference(row["quality"], base["quality"]).high <= -TOLERATED,
        "time": _time(row)[1] >= 1,
    }
    if not failed:
        return "pays"
    surely = any(lost[half] for half in failed)
    return f"**{'does not pay' if surely else 'not shown to pay'}**: {' and '.join(failed)}"


def _time(row: Row) -> tuple[float, float, float]:
    """Ratio of processor time to the base's, with its interval."""
    found = {"plain": [a for a, _ in row["rounds"]], "ours": [b for _, b in row["rounds"]]}
    return ratio(found, "ours"), *interval(found, "ours")


def _cells(row: Row, base: Row) -> list[str]:
    time, low, high = _time(row)
    flops = row["macs"] / base["macs"]
    return [
        _title(row),
        f"{row['dropped']:.4g} of {len(base['blocks'])}",
        f"{1 - flops:.1%}",
        f"{1 - time:.1%} ({1 - high:.1%} to {1 - low:.1%})",
        f"{(1 - time) / (1 - flops):.2f}" if flops < 1 else "nothing saved",
        f"{row['quality']['top1']:.1%}",
        points(difference(row["quality"], base["quality"])),
        _judged(row, base),
    ]


def _title(row: Row) -> str:
    kind = "learned policy" if row["kind"] == "learned" else "fixed path"
    return f"{kind}, distilled" if row["trained"] else kind


def _told(rows: Sequence[Row]) -> str:
    base = rows[0]
    trained = next((row for row in rows if row.get("curve")), None)
    epochs = "" if trained is None else f" for {len(trained['curve'])} epochs"
    order = ", ".join(base["blocks"][block] for block in base["dropped_in_order"])
    return (
        f"Of {base['residual']} residual blocks {len(base['blocks'])} have an identity shortcut and can be "
        f"dropped. The order in which they go from the best fixed path was found on photos without their "
        f"labels, and nothing trained for it: {order}. What is distilled learns{epochs} from what the base "
        f"says of 500 photos, not from their labels, and its norms keep their statistics. Top-1 is that of "
        f"{base['quality']['images']} others; {base['classes_not_trained_on']} of their {base['classes']} "
        f"classes have no photo among those 500. "
        f"The photos are easier than ImageNet's validation set: "
        f"compare with the base's row. FLOPs are 2 x multiply-adds, the policy's included; time is one "
        f"thread's processor time for one image, base and retrofit side by side. A row pays if its accuracy "
        f"stays within {TOLERATED * 100:.0f} points of the base's and its time below the base's, each by its "
        f"95 % interval. It does not pay if an interval lies beyond the bound, and is not shown to pay if "
        f"one reaches across it."
    )


def _trainings(arms: Sequence[Row]) -> list[str]:
    """What training added to the same path, and the policy to the fixed paths that were trained alike."""
    lines = []
    for row in (row for row in arms if row["trained"]):
        others = [
            other
            for other in arms
            if other["kind"] == "fixed"
            and round(other["dropped"]) == round(row["dropped"])
            and other is not row
            and (row["kind"] == "learned" or not other["trained"])
        ]
        for other in others:
            found = difference(row["quality"], other["quality"])
            word = "better" if better(found) else "worse" if worse(found) else "no measurable difference"
            against = f"{_title(other)}, {other['dropped']:.4g} dropped"
            lines.append(
                f"{_title(row)}, {row['dropped']:.4g} dropped, against {against}: {points(found)}: {word}"
            )
    learned = (row for row in arms if row["kind"] == "learned")
    return [
        *lines,
        *(f"the learned policy takes {row['paths']} path(s) over the held-out photos" for row in learned),
    ]


def _policy(row: Row, base: Row) -> str:
    blocks, needed = len(base["blocks"]), row["dearest_to_pay"]
    time, low, high = _time(row)
    said = (
        f"it will not pay: it costs more than {blocks - 1} of {blocks} blocks can save"
        if needed is None
        else f"in FLOPs it has paid once it drops {needed} of the dearest of {blocks} blocks"
    )
    return (
        f"{row['name']}: {2 * row['macs'] / 1e6:.0f} of {2 * base['macs'] / 1e6:.0f} MFLOPs, "
        f"{row['macs'] / base['macs']:.1%}, and {time:.1%} of the time ({low:.1%} to {high:.1%}); before any "
        f"training, `wrap --dry-run` says: {said}"
    )


def _verdict(arms: Sequence[Row], base: Row) -> str:
    good = [row for row in arms if pays(row, base)]
    names = "; ".join(f"{_title(row)} with {row['dropped']:.4g} dropped" for row in good)
    told = f"{len(good)} of {len(arms)} rows pay{': ' + names if names else ''}."
    caution = " Each row is judged by itself: its interval is not corrected for the number of rows."
    return told + caution * bool(good)


def _lacking(arms: Sequence[Row]) -> str:
    there = {row["kind"] for row in arms if row["trained"]}
    names = {"fixed": "the distilled path", "learned": "the learned policy"}
    lacking = [name for kind, name in names.items() if kind not in there]
    return f" Not measured yet: {' and '.join(lacking)}; `{COMMAND}` goes on." if lacking else ""


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}." for line in lines)
