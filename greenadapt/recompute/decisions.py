"""What a profile says of an adaptive network's decisions, computed again.

record, hits ────────────> everything but names and costs
trials of a path ────────> its seconds and joules per image
without a record           whether counts, shares and means fit each other
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from greenadapt.errors import ProfileError
from greenadapt.profile import Execution, Profile
from greenadapt.recompute.lines import RELATIVE, broken, compared, line
from greenadapt.statistics import execution_of, path_cost, unpack_hits, unpack_labels, unpack_table
from greenadapt.statistics.decisions import MOST_RECORDED, most_recorded

_WITHOUT_DETAIL = ("1.0", "1.1")
_NAMES = {"block_names"}
_OF_RECORD = {"blocks", "images", "record"}


def execution_differences(profile: Profile) -> Iterator[str]:
    """A line for each figure of the decisions that does not follow from the record.

    Args:
        profile: Any profile; one without an execution gives nothing.
    """
    execution = profile.execution
    if execution is None:
        return
    yield from _paths(execution)
    if execution.images is None:
        if profile.schema_version not in _WITHOUT_DETAIL:
            yield broken("execution.images", "nothing", f"there in schema {profile.schema_version}")
        return
    if execution.block_names and len(execution.block_names) != execution.blocks:
        yield line("number of execution.block_names", len(execution.block_names), execution.blocks)
    yield from _from_record(profile, execution)
    yield from _costs(profile, execution)


def _paths(execution: Execution) -> Iterator[str]:
    shares = execution.path_shares
    for path in shares:
        if len(path) != execution.blocks or set(path) - {"0", "1"}:
            yield f"execution.path_shares has {path!r}, which is no path of {execution.blocks} blocks"
    if len(shares) > execution.paths:
        yield line("execution.paths", execution.paths, f"at least {len(shares)}")
    if not 0 <= execution.blocks_kept_mean <= execution.blocks:
        yield line("execution.blocks_kept_mean", execution.blocks_kept_mean, f"0 to {execution.blocks}")
    total = math.fsum(shares.values())
    if total > 1 + RELATIVE:
        yield line("the sum of execution.path_shares", total, "at most 1")
    # Where there is a record the mean is computed from that, and would be told twice.
    if len(shares) == execution.paths and shares and execution.record is None:
        kept = math.fsum(path.count("1") * share for path, share in shares.items())
        again = {"path_shares.sum": 1.0, "blocks_kept_mean": kept}
        stored = {"path_shares.sum": total, "blocks_kept_mean": execution.blocks_kept_mean}
        yield from compared("execution", stored, again)


def _from_record(profile: Profile, execution: Execution) -> Iterator[str]:
    record, images = execution.record, execution.images
    quality = profile.quality
    if images is None:
        return
    if quality is not None and images != quality.images:
        yield line("execution.images", images, f"{quality.images}, as many as quality.images")
        return
    if record is None:
        if most_recorded(images, execution.blocks) <= MOST_RECORDED:
            yield broken("execution.record", "nothing", f"there for {images} images")
        yield from _consistent(execution, images)
        return
    import numpy as np

    try:
        table = unpack_table(record.paths, images, execution.blocks)
        labels = None if record.labels is None else unpack_labels(record.labels, images)
        hits = None if quality is None else np.array(unpack_hits(quality.hits, images))
    except ProfileError as error:
        yield f"execution.record: {error.seen}"
        return
    again = execution_of(table, labels, hits)
    leave = _NAMES | _OF_RECORD
    stored, anew = (_tree(each.model_dump(exclude=leave)) for each in (execution, again))
    yield from _compared("execution", stored, anew)


def _consistent(execution: Execution, images: int) -> Iterator[str]:
    """Without a record: what any two of the counts must have in common."""
    counts = execution.histogram
    stored = {
        "histogram.sum": sum(counts),
        "histogram.mean": sum(kept * count for kept, count in enumerate(counts)) / images,
        "block_shares.sum": math.fsum(execution.block_shares),
    }
    mean = execution.blocks_kept_mean
    again = {"histogram.sum": images, "histogram.mean": mean, "block_shares.sum": mean}
    yield from compared("execution", stored, again)
    for number, taken in enumerate(execution.commonest):
        top1 = None if taken.correct is None else taken.correct / taken.images
        share = taken.images / images
        anew = {"share": share, "top1": top1}
        yield from compared(f"execution.commonest.{number}", taken.model_dump(), anew)
        if not math.isclose(execution.path_shares.get(taken.path, -1.0), share, rel_tol=RELATIVE):
            yield line(f"execution.path_shares.{taken.path}", execution.path_shares.get(taken.path), share)
    if execution.classes and len(execution.classes) == execution.classes_seen:
        held = {
            "images": sum(each.images for each in execution.classes),
            "blocks": math.fsum(each.images * each.blocks_kept_mean for each in execution.classes) / images,
        }
        yield from compared("execution.classes", held, {"images": images, "blocks": mean})


def _costs(profile: Profile, execution: Execution) -> Iterator[str]:
    size = profile.conditions.batch_size
    for number, taken in enumerate(execution.commonest):
        cost, where = taken.cost, f"execution.commonest.{number}.cost"
        if cost is None:
            continue
        for place, trial in enumerate(cost.trials):
            if trial.inferences != trial.calls * size:
                yield line(f"{where}.trials.{place}.inferences", trial.inferences, trial.calls * size)
            if trial.joules is not None and trial.joules <= 0:
                yield broken(f"{where}.trials.{place}.joules", trial.joules, "above 0, or nothing")
        again = path_cost(cost.trials, cost.why_not)
        leave = {"trials", "why_not"}
        yield from compared(where, cost.model_dump(exclude=leave), again.model_dump(exclude=leave))
        if cost.kind is not None and profile.method.kind == "estimated":
            yield broken(f"{where}.kind", cost.kind, "nothing, as method.kind is estimated")
        if cost.joules_per_inference is None and not cost.why_not:
            yield broken(f"{where}.why_not", "nothing", "there where there are no joules")


def _tree(content: Any) -> Any:
    """The same with dictionaries for lists, and without names and costs, which no record gives."""
    if isinstance(content, list):
        return {str(number): _tree(each) for number, each in enumerate(content)}
    if isinstance(content, dict):
        return {name: _tree(each) for name, each in content.items() if name not in ("name", "cost")}
    return content


def _compared(where: str, stored: Mapping[str, Any], again: Mapping[str, Any]) -> Iterator[str]:
    """As `compared`, but entries may be missing on either side."""
    for name in {**again, **stored}:
        old, new = stored.get(name), again.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _compared(f"{where}.{name}", old, new)
        elif isinstance(old, dict) or isinstance(new, dict):
            yield line(f"{where}.{name}", _shown(old), _shown(new))
        else:
            yield from compared(where, {name: old}, {name: new})


def _shown(value: Any) -> str:
    return "nothing" if value is None else f"an entry of {len(value)} fields"
