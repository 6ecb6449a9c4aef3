"""The tables of the section on CIFAR-10: every network, every two arms, how each training ended."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from greenadapt.tables import Column, markdown_table
from tests.bench.blockdrop.cifar_rows import (
    ARMS,
    BEST_PATH,
    CONTINUED,
    LEARNED,
    ONE_PATH,
    RIVAL,
    Network,
    learned_of,
    minus,
    named,
    plain_of,
    quality_of,
    rival_of,
    title,
)
from tests.bench.paired import points

_WATCHED = """\
The last epoch of each training; the first thousand test images were watched meanwhile."""


def networks(rows: Sequence[Network]) -> str:
    """Every network: accuracy, cost, training, lead over the plain rival."""
    heads = ("top-1, % (interval)", "MFLOPs", "of them the policy", "blocks kept", "paths")
    columns = [
        Column("network", "left"),
        *(Column(head) for head in (*heads, "epochs", "seconds of training")),
        Column(f"minus ResNet-{RIVAL}, points", "left"),
    ]
    arms = [named(rows)[name] for name in ARMS if name in named(rows)]
    own, alone = learned_of(rows), named(rows).get(ONE_PATH)
    if own is not None and alone is not None:
        arms.insert(arms.index(own) + 1, alone)
    lines = [_cells(row, rows) for row in (*plain_of(rows), *arms)]
    lines += [[ARMS[name], "not trained yet", *[""] * 7] for name in ARMS if name not in named(rows)]
    return markdown_table(columns, lines)


def _cells(row: Network, rows: Sequence[Network]) -> list[str]:
    scored, rival = quality_of(row), rival_of(rows)
    spread = f" ± {row['kept_sd']:.1f}" if row.get("kept_sd") else ""
    return [
        title(row),
        f"{100 * row['top1']:.2f} ({100 * scored['top1_low']:.2f} to {100 * scored['top1_high']:.2f})",
        f"{row['mflops']:.1f}",
        f"{row['policy_mflops'] / row['mflops']:.1%}" if row.get("policy_mflops") else "",
        f"{row['kept']:.1f}{spread} of {row['blocks']}" if "kept" in row else "",
        str(row.get("paths", "")),
        *_training(row, rows),
        "" if row is rival else points(minus(row, rival)),
    ]


def _training(row: Network, rows: Sequence[Network]) -> tuple[str, str]:
    """Epochs and seconds, those of the arm that it went on from first."""
    if "curve" not in row:
        return ("" if row["name"] == ONE_PATH else "published", "")
    before = [named(rows)[BEST_PATH]] if row["name"] in CONTINUED and BEST_PATH in named(rows) else []
    done = [*before, row]
    return " + ".join(str(len(it["curve"])) for it in done), " + ".join(f"{it['seconds']:,}" for it in done)


def pairs(rows: Sequence[Network]) -> str:
    """The learned policies against the plain networks, and every two arms against each other."""
    arms = [named(rows)[name] for name in ARMS if name in named(rows)]
    against = [(arm, other) for arm in arms if arm["name"] in LEARNED for other in plain_of(rows)]
    against += list(itertools.combinations(arms, 2))
    if not against:
        return ""
    lines = []
    for one, other in against:
        found = minus(one, other)
        lines.append([title(one), title(other), points(found), f"{found.won:,}", f"{found.lost:,}"])
    heads = ("network", "minus", "points (interval)")
    columns = [
        *(Column(head, "left") for head in heads),
        Column("right where the other is wrong"),
        Column("wrong where it is right"),
    ]
    return markdown_table(columns, lines)


def curves(rows: Sequence[Network]) -> str:
    """The last epoch of every training."""
    trained = [row for row in rows if row.get("curve")]
    if not trained:
        return ""
    heads = ("loss", "top-1 in training, %", "blocks kept in training", "top-1 watched, %")
    columns = [Column("arm", "left"), *(Column(head) for head in (*heads, "top-1 written at its end, %"))]
    lines = []
    for row in trained:
        last = row["curve"][-1]
        lines.append(
            [
                title(row),
                f"{last['loss']:.3f}",
                f"{100 * last['top1']:.2f}",
                f"{last['kept']:.2f}" if "kept" in last else "",
                f"{100 * last['val_top1']:.2f}",
                f"{100 * row['written_top1']:.2f}",
            ]
        )
    return f"{_WATCHED}\n\n{markdown_table(columns, lines)}"
