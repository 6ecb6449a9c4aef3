"""Draws docs/results/blockdrop-coverage.md from the rows of a sweep."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import timm

from tests.bench.zoo.checking import Row

WANTED = 0.95


def page(rows: Sequence[Row]) -> str:
    """The results as Markdown.

    Args:
        rows: One an architecture.
    """
    covered = [r for r in rows if r.why_not is None]
    by_values = sum(r.checked == "values" for r in covered)
    seconds = sorted(r.find_seconds for r in covered if r.find_seconds is not None)
    median, longest = (f"{seconds[k]:.2f}" for k in (len(seconds) // 2, -1)) if seconds else ("-", "-")
    return "\n".join(
        [
            "# What BlockDrop wraps",
            "",
            "Made by `make bench-zoo`; do not edit.",
            "",
            f"**{len(covered)} of {len(rows)}** architectures of timm {timm.__version__} "
            f"({len(covered) / len(rows):.1%}) wrap with at least one block that can be dropped: the bar of "
            f"{WANTED:.0%} is {'met' if len(covered) >= WANTED * len(rows) else '**NOT met**'}. "
            f"{by_values} of them, {by_values / len(rows):.1%} of all, were checked by values, on weights "
            "and norms drawn at random and one image of the smallest size that the network takes: with all "
            "blocks kept the logits equal the base's "
            'bit for bit; with half of them dropped (`policy="spread", keep=0.5`) they equal those of the '
            "base with the branches of these blocks forced to zero by other code than the package's, to "
            "1e-4 of the largest logit, where dropping them changes the logits by more than 1e-3, and no "
            "module of a dropped block is called but those on its "
            "shortcut. The others were wrapped and run on the meta device, where there are shapes and no "
            "numbers: that they wrap is seen, and that their logits are right is not; the reason stands "
            "beside them.",
            "",
            f"Finding the blocks takes {median} s of one CPU thread in the median, {longest} s at most. "
            "What was seen of each architecture: [blockdrop-coverage.jsonl](blockdrop-coverage.jsonl).",
            "",
            "| timm's file | architectures | covered | by values | blocks | droppable |",
            "| --- | ---: | ---: | ---: | ---: | ---: |",
            *_families(rows),
            "",
            "## Not covered",
            "",
            "| architecture | file | reason |",
            "| --- | --- | --- |",
            *(f"| {r.name} | {r.family} | {r.why_not} |" for r in rows if r.why_not is not None),
            "",
            "## Covered by structure only",
            "",
            "| architecture | file | reason |",
            "| --- | --- | --- |",
            *(f"| {r.name} | {r.family} | {r.why_structure} |" for r in covered if r.checked == "structure"),
            "",
        ]
    )


def _families(rows: Sequence[Row]) -> Iterator[str]:
    by_family: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_family[row.family].append(row)
    for family, members in sorted(by_family.items()):
        good = [r for r in members if r.why_not is None]
        values = sum(r.checked == "values" for r in good)
        blocks, droppable = sum(r.blocks for r in good), sum(r.droppable for r in good)
        yield f"| {family} | {len(members)} | {len(good)} | {values} | {blocks} | {droppable} |"
