"""What comes of comparing across settings: the cheapest at equal accuracy, and the batch at the knee.

    joules
    per image  *
                 *
                   *....*....*....*    best, and 5 % above it
                   knee
               1   8   32   128  512   batch

The rule of the knee: the smallest batch whose cost per image is within 5 % of the cheapest batch's. Cost is
energy where a counter measured every batch, else time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from greenadapt.comparison.across import network_of, words
from greenadapt.comparison.verdicts import Versus, ratio_words, sign_of_accuracy, sign_of_ratio
from greenadapt.profile import Conditions, Profile
from greenadapt.units import with_prefix

if TYPE_CHECKING:
    from greenadapt.comparison.result import Row

KNEE = 0.05
"""How much dearer per image than the cheapest batch the batch at the knee may be."""

Cost = Literal["energy", "time"]
_UNITS = {"energy": "J", "time": "s"}


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


@dataclass(frozen=True)
class Knee:
    """The smallest batch that costs nearly as little per image as any.

    Attributes:
        network: The network.
        setting: What else its setting is, in words.
        cost: What cost is: joules or seconds per image.
        batch: The batch at the knee.
        per_image: Its cost.
        best_batch: The cheapest batch.
        best_per_image: Its cost.
        batches: All batches that were measured, smallest first.
        costs: What an image cost in each of them.
        sentence: All of it in words.
    """

    network: str
    setting: str
    cost: Cost
    batch: int
    per_image: float
    best_batch: int
    best_per_image: float
    batches: tuple[int, ...]
    costs: tuple[float, ...]
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


def knees(profiles: Sequence[Profile]) -> list[Knee]:
    """The batch at the knee of every network and setting that has two batch sizes or more.

    Args:
        profiles: In the order in which they are shown.
    """
    groups: dict[tuple[object, str], list[Profile]] = {}
    for profile in profiles:
        rest = profile.conditions.model_dump_json(exclude={"batch_size"})
        groups.setdefault((network_of(profile), rest), []).append(profile)
    found = []
    for several in groups.values():
        if len({profile.conditions.batch_size for profile in several}) > 1:
            found.append(_knee(several))
    return found


def _knee(profiles: Sequence[Profile]) -> Knee:
    by_energy = all(
        profile.method.kind == "measured" and profile.summary.joules_per_inference is not None
        for profile in profiles
    )
    costs: dict[int, float] = {}
    for profile in profiles:
        summary = profile.summary
        interval = summary.joules_per_inference if by_energy else summary.seconds_per_inference
        if interval is not None:
            costs[profile.conditions.batch_size] = interval.mean
    best = min(costs, key=lambda batch: costs[batch])
    batch = min(each for each, cost in costs.items() if cost <= (1 + KNEE) * costs[best])
    network, setting = network_of(profiles[0])[1], _setting(profiles[0].conditions)
    cost: Cost = "energy" if by_energy else "time"
    unit = _UNITS[cost]
    here, there = with_prefix(costs[batch], unit), with_prefix(costs[best], unit)
    near = f"within {KNEE * 100:g} % of the best ({there} at batch {best})"
    sentence = f"Knee of {network} ({setting}): batch {batch} at {here} per image, " + (
        "the cheapest tried" if batch == best else near
    )
    if batch == max(costs):
        sentence += "; it is the largest batch tried, so a larger one may be cheaper"
    return Knee(
        network=network,
        setting=setting,
        cost=cost,
        batch=batch,
        per_image=costs[batch],
        best_batch=best,
        best_per_image=costs[best],
        batches=tuple(sorted(costs)),
        costs=tuple(costs[each] for each in sorted(costs)),
        sentence=f"{sentence}.",
    )


def _setting(conditions: Conditions) -> str:
    return ", ".join(
        (
            words("precision", conditions.precision),
            words("compile", conditions.compile),
            words("format", conditions.memory_format),
        )
    )


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
