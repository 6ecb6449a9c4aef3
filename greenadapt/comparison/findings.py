"""What comes of comparing across settings: the cheapest at equal accuracy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from greenadapt.comparison.verdicts import Versus, ratio_words, sign_of_accuracy, sign_of_ratio

if TYPE_CHECKING:
    from greenadapt.comparison.result import Row

Cost = Literal["energy", "time"]


@dataclass(frozen=True)
class Cheapest:
    """What costs least among those that are not measurably less accurate than the base.

    Attributes:
        name: Which row.
        cost: What cost is.
        accuracy_known: Whether accuracies were compared; if not, the cheapest of all is named.
        alike: Rows that show no measurable difference in cost from it.
        sentence: All of it in words.
    """

    name: str
    cost: Cost
    accuracy_known: bool
    alike: tuple[str, ...]
    sentence: str


def cheapest(
    rows: Sequence[Row], versus: Sequence[Versus], pair: Callable[[str, str], Versus]
) -> Cheapest | None:
    """Finds what costs least at equal accuracy.

    Args:
        rows: The base first.
        versus: Pairs, each of the others with the base among them.
        pair: Holds one row against another, by name.

    Returns:
        None if no audit is usable.
    """
    base = rows[0].name
    against_base = {each.network: each for each in versus if each.other == base}
    known = all(each.accuracy is not None for each in against_base.values())
    running = [row for row in rows if row.validity != "invalid"]
    if known:
        running = [row for row in running if row.name == base or _as_accurate(against_base[row.name])]
    if not running:
        return None
    by_energy = all(row.energy_kind == "measured" for row in running)
    best = min(running, key=lambda row: _cost(row, by_energy))
    pairs = [pair(row.name, best.name) for row in running if row is not best]
    ratios = {each.network: (each.energy if by_energy else None) or each.latency for each in pairs}
    alike = tuple(name for name, ratio in ratios.items() if sign_of_ratio(ratio) == 0)
    return Cheapest(
        name=best.name,
        cost="energy" if by_energy else "time",
        accuracy_known=known,
        alike=alike,
        sentence=_words(base, best.name, against_base.get(best.name), alike, known, by_energy),
    )


def _words(
    base: str, best: str, pair: Versus | None, alike: Sequence[str], known: bool, by_energy: bool
) -> str:
    head = "At equal accuracy" if known else "Accuracies were not compared; of all,"
    others = [name for name in alike if name != base]
    if pair is None:
        return f"{head} nothing is cheaper than {base}{_alike_words(others)}."
    if base in alike:
        return f"{head} nothing is measurably cheaper than {base}; the lowest mean is that of {best}."
    ratio = (pair.energy if by_energy else None) or pair.latency
    what = "energy per image" if ratio is pair.energy else "time per image"
    return f"{head} {best} is the cheapest: {ratio_words(ratio, what)} than {base}{_alike_words(others)}."


def _as_accurate(pair: Versus) -> bool:
    return pair.accuracy is not None and sign_of_accuracy(pair.accuracy) >= 0


def _cost(row: Row, by_energy: bool) -> float:
    if by_energy and row.joules_per_inference is not None:
        return row.joules_per_inference.mean
    return row.seconds_per_inference.mean


def _alike_words(alike: Sequence[str]) -> str:
    if not alike:
        return ""
    named = ", ".join(alike[:3]) + (f" and {len(alike) - 3} more" if len(alike) > 3 else "")
    return f"; no measurable difference from {named}"
