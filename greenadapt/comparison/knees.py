"""The batch at the knee: the smallest that costs nearly as little per image as any.

    joules
    per image  *
                 *
                   *....*....*....*    best, and 5 % above it
                   knee
               1   8   32   128  512   batch

Means alone do not make a knee. Each batch is held against the one of the lowest mean by the ratio of their
costs with its 95 % interval, paired block by block where both ran interleaved:

    interval of the ratio       |----|    .                 shown to be near: it ends below 1.05
                                   |------.---|             open
                                          .  |----|         shown to be dear: it begins above 1.05
                                         1.05

The knee is the smallest batch shown to be near, if every smaller one is shown to be dear. Where a smaller one
is open it may be the knee as well; then the knee is not settled, and all that it may be are named. An invalid
audit settles nothing. Cost is energy where counters of one kind measured every batch, else time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from greenadapt.comparison.across import network_of, words
from greenadapt.comparison.findings import Cost
from greenadapt.profile import Conditions, Interval, Profile
from greenadapt.statistics import Quantity
from greenadapt.units import with_prefix

KNEE = 0.05
"""How much dearer per image than the cheapest batch the batch at the knee may be."""

Ratio = Callable[[Profile, Profile, Quantity], "Interval | None"]
_UNITS = {"energy": "J", "time": "s"}


@dataclass(frozen=True)
class Knee:
    """The smallest batch that costs nearly as little per image as any; see the module's docstring.

    Attributes:
        network: The network.
        setting: What else its setting is, in words.
        cost: What cost is: joules or seconds per image.
        batch: The batch at the knee; None where it is not settled.
        per_image: Its cost; None where it is not settled.
        candidates: The batches that may be the knee, smallest first; one where it is settled, none where an
            audit is invalid.
        best_batch: The batch of the lowest mean.
        best_per_image: Its cost.
        batches: All batches that were measured, smallest first.
        costs: What an image cost in each of them.
        sentence: All of it in words.
    """

    network: str
    setting: str
    cost: Cost
    batch: int | None
    per_image: float | None
    candidates: tuple[int, ...]
    best_batch: int
    best_per_image: float
    batches: tuple[int, ...]
    costs: tuple[float, ...]
    sentence: str


def knees(profiles: Sequence[Profile], ratio: Ratio) -> list[Knee]:
    """The batch at the knee of every network and setting that has two batch sizes or more.

    Args:
        profiles: In the order in which they are shown.
        ratio: Gives "joules" or "seconds" per inference of one profile over another's; None where that cannot
            be told.
    """
    groups: dict[tuple[object, str], dict[int, Profile]] = {}
    for profile in profiles:
        rest = profile.conditions.model_dump_json(exclude={"batch_size"})
        group = groups.setdefault((network_of(profile), rest), {})
        group[profile.conditions.batch_size] = profile
    return [_knee(by_batch, ratio) for by_batch in groups.values() if len(by_batch) > 1]


def _knee(by_batch: dict[int, Profile], ratio: Ratio) -> Knee:
    cost = _cost_of(list(by_batch.values()))
    costs = {batch: _per_image(by_batch[batch], cost) for batch in sorted(by_batch)}
    best = min(costs, key=lambda batch: costs[batch])
    invalid = [each.subject.name for each in by_batch.values() if each.validity.status == "invalid"]
    candidates = () if invalid else _candidates(by_batch, best, cost, ratio)
    batch = candidates[0] if len(candidates) == 1 else None
    first = by_batch[best]
    network, setting = network_of(first)[1], _setting(first.conditions)
    told = _settled(batch, costs, best, cost) if batch else _open(candidates, invalid, costs, best, cost)
    return Knee(
        network=network,
        setting=setting,
        cost=cost,
        batch=batch,
        per_image=costs[batch] if batch else None,
        candidates=candidates,
        best_batch=best,
        best_per_image=costs[best],
        batches=tuple(costs),
        costs=tuple(costs.values()),
        sentence=f"Knee of {network} ({setting}): {told}.",
    )


def _cost_of(profiles: Sequence[Profile]) -> Cost:
    """Energy only where counters of one kind measured every batch."""
    measured = all(
        each.method.kind == "measured" and each.summary.joules_per_inference is not None for each in profiles
    )
    return "energy" if measured and len({each.method.scope for each in profiles}) == 1 else "time"


def _per_image(profile: Profile, cost: Cost) -> float:
    joules = profile.summary.joules_per_inference
    if cost == "energy" and joules is not None:
        return joules.mean
    return profile.summary.seconds_per_inference.mean


def _candidates(by_batch: dict[int, Profile], best: int, cost: Cost, ratio: Ratio) -> tuple[int, ...]:
    """The batches not shown to be dear, up to the smallest that is shown to be near."""
    quantity: Quantity = "joules" if cost == "energy" else "seconds"
    found: list[int] = []
    for batch in sorted(by_batch):
        if batch == best:
            return (*found, batch)
        interval = ratio(by_batch[batch], by_batch[best], quantity)
        if interval is None or interval.low <= 1 + KNEE:
            found.append(batch)
        if interval is not None and interval.high <= 1 + KNEE:
            break
    return tuple(found)


def _settled(batch: int, costs: dict[int, float], best: int, cost: Cost) -> str:
    here, there = (with_prefix(costs[each], _UNITS[cost]) for each in (batch, best))
    near = f"within {KNEE * 100:g} % of the best ({there} at batch {best})"
    told = f"batch {batch} at {here} per image, {'the cheapest tried' if batch == best else near}"
    more = "; it is the largest batch tried, so a larger one may be cheaper"
    return told + (more if batch == max(costs) else "")


def _open(
    candidates: Sequence[int], invalid: Sequence[str], costs: dict[int, float], best: int, cost: Cost
) -> str:
    if invalid:
        names = ", ".join(invalid)
        which = f"audit of {names} is" if len(invalid) == 1 else f"audits of {names} are"
        return f"not settled, as the {which} invalid"
    *others, last = (str(batch) for batch in candidates)
    return (
        f"not settled; batch {', '.join(others)} or {last}, by the intervals. The lowest mean is "
        f"{with_prefix(costs[best], _UNITS[cost])} per image at batch {best}"
    )


def _setting(conditions: Conditions) -> str:
    return ", ".join(
        (
            words("precision", conditions.precision),
            words("compile", conditions.compile),
            words("format", conditions.memory_format),
        )
    )
