"""What an adaptive network decides, as the profile's page shows it.

histogram        how many images run 0, 1, ... all blocks
blocks           a bar a block: the share of the images that run it
classes          blocks kept on average; of many classes those at either end
paths            the commonest: blocks as dots, share, accuracy, time and energy where they were measured
contact sheet    the easiest and the hardest images, as pictures where the data are at hand

Everything is bounded; what is left out is summed up in a line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from greenadapt.pages.drawing import NARROW, PALETTE, load_altair, svg_of
from greenadapt.statistics import wilson
from greenadapt.units import with_prefix

if TYPE_CHECKING:
    from greenadapt.profile import ClassDecisions, Execution, SeenImage, TakenPath

SHOWN_CLASSES, SHOWN_PATHS = 20, 12
_HALF = 460
_UNKNOWN = "–"


def decisions_content(run: Execution, pictures: Mapping[int, str] | None = None) -> dict[str, Any]:
    """What the template shows of decisions.

    Args:
        run: The decisions of a profile, of any schema.
        pictures: ``data:`` URIs by the index of the image; the others are named without a picture.
    """
    several, blocks = run.paths > 1, _blocks(run)
    classes = run.classes if several else []
    taken = [_path(each) for each in run.commonest[:SHOWN_PATHS]] or list(_old_paths(run))
    return {
        "sentence": _sentence(run),
        "histograms": _histograms(run) if several and run.histogram else {},
        "blocks": blocks,
        "longest_name": max((len(block["name"]) for block in blocks), default=0),
        "classes": [_class(each, run.blocks) for each in _ends(classes)],
        "classes_between": _between(classes),
        "paths": taken if several else [],
        "paths_left": _left(run, len(taken)) if several else "",
        "path_notes": list(_notes(run)) if several else [],
        "timed": any(each.cost is not None and each.cost.trials for each in run.commonest),
        "metered": any(
            each.cost is not None and each.cost.joules_per_inference is not None for each in run.commonest
        ),
        "sheets": list(_sheets(run, pictures or {})),
        "pictured": bool(pictures),
    }


def histogram_svg(run: Execution, width: int) -> str:
    """How many images run 0, 1, ... all blocks.

    Args:
        run: Decisions with a histogram.
        width: Of the plot, in pixels.

    Raises:
        MissingExtraError: The extra "pages" is not installed.
    """
    alt = load_altair()
    values = [{"kept": kept, "images": images} for kept, images in enumerate(run.histogram)]
    every = max(1, -(-run.blocks // 15))
    x = alt.X(
        "kept:O",
        title="blocks run",
        axis=alt.Axis(values=list(range(0, run.blocks + 1, every)), labelAngle=0),
    )
    y = alt.Y("images:Q", title="images", axis=alt.Axis(tickCount=4))
    bars = alt.Chart(alt.Data(values=values)).mark_bar(color=PALETTE["retrofit"]).encode(x=x, y=y)
    return svg_of(bars.properties(width=width, height=200))


def _sentence(run: Execution) -> str:
    of = f"of the {run.blocks} blocks" if run.blocks > 1 else "of one block"
    whom = f" over {run.images:,} images" if run.images is not None else ""
    if run.paths == 1:
        return f"Every image runs the same {run.blocks_kept_mean:g} {of}."
    return (
        f"An image runs {run.blocks_kept_mean:.2f} {of} on average{whom}, on {run.paths:,} different paths."
    )


def _histograms(run: Execution) -> dict[str, str]:
    return {"wide": histogram_svg(run, _HALF), "narrow": histogram_svg(run, NARROW - 40)}


def _blocks(run: Execution) -> list[dict[str, str]]:
    names = run.block_names or [f"block {number}" for number in range(len(run.block_shares))]
    return [
        {"name": name, "share": f"{share * 100:.1f} %", "width": f"{share * 100:.2f}%"}
        for name, share in zip(names, run.block_shares, strict=False)
    ]


def _ends(classes: list[ClassDecisions]) -> list[ClassDecisions]:
    """By blocks kept; of many those at either end."""
    ordered = sorted(classes, key=lambda each: (each.blocks_kept_mean, each.label))
    if len(ordered) <= SHOWN_CLASSES:
        return ordered
    return [*ordered[: SHOWN_CLASSES // 2], *ordered[-(SHOWN_CLASSES // 2) :]]


def _between(classes: list[ClassDecisions]) -> str:
    """What stands for the classes that are left out; empty where none is."""
    left = len(classes) - SHOWN_CLASSES
    if left <= 0:
        return ""
    means = sorted(each.blocks_kept_mean for each in classes)[SHOWN_CLASSES // 2 : -(SHOWN_CLASSES // 2)]
    return f"{left:,} classes in between run from {means[0]:.2f} to {means[-1]:.2f} blocks."


def _class(each: ClassDecisions, blocks: int) -> dict[str, str]:
    low, high = wilson(round(each.top1 * each.images), each.images)
    return {
        "name": each.name or f"class {each.label}",
        "images": f"{each.images:,}",
        "kept": f"{each.blocks_kept_mean:.2f}",
        "width": f"{each.blocks_kept_mean / max(1, blocks) * 100:.2f}%",
        "top1": f"{each.top1 * 100:.1f} %",
        "top1_ends": f"{low * 100:.1f} to {high * 100:.1f}",
    }


def _path(taken: TakenPath) -> dict[str, Any]:
    low, high = wilson(taken.correct or 0, taken.images)
    cost = taken.cost
    seconds = cost.seconds_per_inference if cost is not None else None
    joules = cost.joules_per_inference if cost is not None else None
    known = taken.top1 is not None
    return {
        "digits": taken.path,
        "kept": taken.path.count("1"),
        "images": f"{taken.images:,}",
        "share": _percent(taken.share),
        "top1": f"{(taken.top1 or 0) * 100:.1f} %" if known else _UNKNOWN,
        "top1_ends": f"{low * 100:.1f} to {high * 100:.1f}" if known else "",
        "seconds": with_prefix(seconds, "s") if seconds is not None else _UNKNOWN,
        "joules": with_prefix(joules, "J") if joules is not None else _UNKNOWN,
    }


def _old_paths(run: Execution) -> Iterator[dict[str, Any]]:
    """Of profiles before schema 1.2, which have shares alone."""
    shares = sorted(run.path_shares.items(), key=lambda each: -each[1])
    for path, share in shares[:SHOWN_PATHS]:
        yield {
            **dict.fromkeys(("images", "top1", "seconds", "joules"), _UNKNOWN),
            "digits": path,
            "kept": path.count("1"),
            "share": _percent(share),
            "top1_ends": "",
        }


def _percent(share: float) -> str:
    """A share, of which a path of thousands has very little."""
    return f"{share * 100:.1f} %" if share >= 0.01 else f"{share * 100:.2g} %"


def _left(run: Execution, shown: int) -> str:
    left = run.paths - shown
    if left <= 0:
        return ""
    rest = 1 - sum(sorted(run.path_shares.values(), reverse=True)[:shown])
    what = "1 further path is" if left == 1 else f"{left:,} further paths are"
    return f"{what} taken by the other {_percent(rest)} of the images."


def _notes(run: Execution) -> Iterator[str]:
    """How the paths were timed, and what is unknown of them; each reason once."""
    costs = [each.cost for each in run.commonest if each.cost is not None]
    if any(cost.trials for cost in costs):
        yield (
            "Time and energy of a path are from short trials without an interval, on batches of its images "
            "alone, the policy included; other batches mix paths."
        )
    for reason in dict.fromkeys(cost.why_not for cost in costs if cost.why_not):
        which = [cost for cost in costs if cost.why_not == reason]
        what = "Energy" if all(cost.trials for cost in which) else "Time and energy"
        yield f"{what} of {len(which)} {'path' if len(which) == 1 else 'paths'} unknown: {reason}"


def _sheets(run: Execution, pictures: Mapping[int, str]) -> Iterator[dict[str, Any]]:
    names = {each.label: each.name for each in run.classes if each.name}
    for title, images in (("Easy: the fewest blocks", run.easiest), ("Hard: the most blocks", run.hardest)):
        if images:
            yield {"title": title, "images": [_seen(each, names, pictures) for each in images]}


def _seen(each: SeenImage, names: Mapping[int, str], pictures: Mapping[int, str]) -> dict[str, Any]:
    label = "" if each.label is None else names.get(each.label, f"class {each.label}")
    return {
        "index": each.index,
        "label": label,
        "kept": each.blocks_kept,
        "tone": {True: "good", False: "bad", None: "even"}[each.correct],
        "verdict": {True: "right", False: "wrong", None: ""}[each.correct],
        "picture": pictures.get(each.index),
    }
