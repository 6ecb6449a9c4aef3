"""The section on CIFAR-10: every network, its cost and accuracy, who beats whom, and whether the bar is met.

    rows    plain networks ── RIVAL sets the cost ──┐
            arms: learned policy, fixed paths ──────┴── paired differences ── bar, goal, verdict

All of it is computed from what each network got right, image by image.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from greenadapt.tables import Column, markdown_table
from tests.bench.blockdrop.cifar_rows import (
    ARMS,
    BEST_PATH,
    CONTINUED,
    LEARNED,
    ONE_PATH,
    RIVAL,
    SEEN,
    Network,
    fixed_of,
    is_whole,
    learned_of,
    minus,
    minus_unseen,
    named,
    plain_of,
    quality_of,
    rival_of,
    title,
)
from tests.bench.paired import better, points, worse

FILE = "blockdrop-cifar/comparison.json"
TITLE = "Accuracy against cost: ResNet-56 on CIFAR-10"
COMMAND = "python -m tests.bench.blockdrop.cifar evaluate"
_TRAIN = "python -m tests.bench.blockdrop.cifar train --arm NAME"
_GOAL_TOP1, _GOAL_MFLOPS = 0.931, 138.0
_TEXT = """\
BlockDrop wraps ResNet-56 so that it spends no more than a plain ResNet-32, the policy's network included.
The arms differ in how they choose blocks and in nothing else. Every arm begins with the published weights of
ResNet-56 and learns from that network, too; the plain networks have their published weights and no teacher.
So a lead over a plain network is that of the whole retrofit, its training included; a plain ResNet-32 gains
from such a training, too, [and how much](biglittle.md) is measured beside Big-Little, at a learning rate of
0.05: hold a lead against that before it is put down to dropping blocks. What deciding image by image is worth
is the lead over the fixed paths. FLOPs are 2 x multiply-adds of convolutions and linear layers, the mean over
the images. Intervals are at 95 %; p is McNemar's exact test on the same images, not corrected for the number
of comparisons. Which fixed path is best is read off these very images, which favours it. Seconds of training
are no comparison: other work ran beside it, and an arm uses the teacher's answers that an arm before it
left.

Two arms go on from the trained fixed path of the arm from sensitivity: one learns a policy from there, and
one, its control, keeps the path for as many epochs more. They were added after the policy that is learned
from the start had missed the bar."""
_WATCHED = """\
The last epoch of each training; the first thousand test images were watched meanwhile."""


def drawn(rows: Sequence[Network]) -> str:
    """The section.

    Args:
        rows: As `tests.bench.blockdrop.cifar.evaluate` writes them.
    """
    parts = [
        f"## {TITLE}",
        _TEXT,
        _recipes(rows),
        _networks(rows),
        _bars(rows),
        verdict(rows),
        _pairs(rows),
        _curves(rows),
    ]
    return "\n\n".join(part for part in parts if part)


def bars(rows: Sequence[Network]) -> list[bool]:
    """Whether the one bar is met: a better learned policy than the plain rival, for no more FLOPs.

    Args:
        rows: As in `drawn`.
    """
    own = learned_of(rows)
    if own is None or not is_whole(own):
        return [False]
    rival = rival_of(rows)
    return [own["mflops"] <= rival["mflops"] and better(minus(own, rival))]


def verdict(rows: Sequence[Network]) -> str:
    """Which network is best at the rival's cost, and whether the learned policy earns its own.

    Args:
        rows: As in `drawn`.
    """
    limit = rival_of(rows)["mflops"]
    entered = [row for row in rows if row["mflops"] <= limit and row["name"] != ONE_PATH]
    best = max(entered, key=lambda row: float(row["top1"]))
    level = [row for row in entered if row is not best and not better(minus(best, row))]
    told = (
        f"At no more than the {limit:.1f} MFLOPs of ResNet-{RIVAL} the most accurate network here is "
        f"**{title(best)}**, {best['top1']:.2%} at {best['mflops']:.1f} MFLOPs"
    )
    if level:
        told += f"; not told apart from it: {', '.join(title(row) for row in level)}."
    else:
        told += ", ahead of every other one."
    return " ".join([told, *_learned(rows)])


def _learned(rows: Sequence[Network]) -> Iterator[str]:
    """What the learned policy is worth: against the best fixed path, and against its own commonest path."""
    own, alone, fixed = learned_of(rows), named(rows).get(ONE_PATH), fixed_of(rows)
    if own is None:
        yield "The learned policy has not been trained yet."
        return
    if own["paths"] == 1:
        yield (
            "The learned policy takes one path for every image: it has become a fixed path itself, and its "
            f"network's {own['policy_mflops']:.1f} MFLOPs decide nothing."
        )
    if fixed:
        yield _against_fixed(own, max(fixed, key=lambda row: float(row["top1"])))
    else:
        yield "No fixed path has been trained yet, so that nothing tells what learning the policy was worth."
    unseen = minus_unseen(own, rival_of(rows))
    if unseen is not None:
        yield (
            f"On the {own['images'] - SEEN:,} test images that chose no recipe, the learned policy is "
            f"{points(unseen)} from ResNet-{RIVAL}."
        )
    if alone is not None:
        yield (
            f"With every image on the path that {own['commonest']:.0%} of them take, the same weights have "
            f"{alone['top1']:.2%}; deciding image by image brings {points(minus(own, alone))}."
        )


def _against_fixed(own: Network, best: Network) -> str:
    found = minus(own, best)
    told = f"{points(found)}, at {own['mflops']:.1f} and {best['mflops']:.1f} MFLOPs"
    if better(found):
        return f"The learned policy is better than the best fixed path ({title(best)}): {told}."
    if worse(found):
        return (
            f"A fixed path is better than the learned policy ({title(best)}; learned less fixed: {told}). "
            "Use the fixed path."
        )
    return (
        f"The learned policy is not told apart from the best fixed path ({title(best)}): {told}. The fixed "
        "path is one static network and needs no policy: use that."
    )


def _recipes(rows: Sequence[Network]) -> str:
    lacking = [ARMS[name] for name in ARMS if name not in named(rows)]
    lines = [f"Not trained yet: {', '.join(lacking)}. To train one: `{_TRAIN}`."] if lacking else []
    trained = [row for row in rows if "recipe" in row]
    begun = [row for row in trained if row["name"] not in CONTINUED]
    for arms, then in ((begun, ""), ([row for row in trained if row not in begun], "After that, ")):
        alike: dict[str, list[str]] = {}
        for row in arms:
            alike.setdefault(_recipe(row), []).append(title(row))
        if len(alike) > 1:
            lines.append("**The arms were not trained alike and do not compare.**")
        lines += [f"{then}{', '.join(names)}: {recipe}" for recipe, names in alike.items()]
    for own in (named(rows)[name] for name in LEARNED if name in named(rows)):
        told = own["options"]
        lines.append(
            f"{title(own)}: a {told['policy_net']} on images {told['policy_downscale']} times "
            f"smaller, trained with the objective {told['objective']!r} for keep = {told['keep']}."
        )
    return "\n\n".join(lines)


def _recipe(row: Network) -> str:
    told, done = row["recipe"], len(row["curve"])
    cut_short = f", stopped after {done}," if done < told["epochs"] else ""
    return (
        f"{told['epochs']} epochs{cut_short} over {told['images']:,} training images, "
        f"batches of {told['batch_size']}, learning rate {told['learning_rate']}, "
        f"weight decay {told['weight_decay']}, {told['precision']}, mixup {told.get('mixup', 0.0)}, "
        f"seed {told['seed']}, one run, ResNet-56 as teacher."
    )


def _networks(rows: Sequence[Network]) -> str:
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


def _bars(rows: Sequence[Network]) -> str:
    rival, own = rival_of(rows), learned_of(rows)
    met = bars(rows)[0]
    if own is None:
        found, reached, at = "not trained yet", False, "not trained yet"
    else:
        dearer = own["mflops"] - rival["mflops"]
        at = f"{own['top1']:.2%} at {own['mflops']:.1f} MFLOPs"
        found = f"{points(minus(own, rival))}; {abs(dearer):.1f} MFLOPs {'more' if dearer > 0 else 'less'}"
        found += "" if is_whole(own) else "; not on all images, so that it does not count"
        reached = is_whole(own) and own["top1"] >= _GOAL_TOP1 and own["mflops"] <= _GOAL_MFLOPS
    bar = f"more accurate than plain ResNet-{RIVAL} at no more than its FLOPs, policy included, paired test"
    goal = f"{_GOAL_TOP1:.1%} at {_GOAL_MFLOPS:.0f} MFLOPs"
    lines = [
        [f"bar: {bar}", found, "MET" if met else "**NOT MET**"],
        [f"goal: {goal}", at, "reached" if reached else "not reached"],
    ]
    of = "of the learned policy" if own is None else f"of {title(own)}"
    return markdown_table([Column(head, "left") for head in (of, "found", "")], lines)


def _pairs(rows: Sequence[Network]) -> str:
    """The learned policy against everything else, and every two fixed paths against each other."""
    arms = [named(rows)[name] for name in ARMS if name in named(rows)]
    pairs = [(arm, other) for arm in arms if arm["name"] in LEARNED for other in plain_of(rows)]
    pairs += list(itertools.combinations(arms, 2))
    if not pairs:
        return ""
    lines = []
    for one, other in pairs:
        found = minus(one, other)
        lines.append([title(one), title(other), points(found), f"{found.won:,}", f"{found.lost:,}"])
    heads = ("network", "minus", "points (interval)")
    columns = [
        *(Column(head, "left") for head in heads),
        Column("right where the other is wrong"),
        Column("wrong where it is right"),
    ]
    return markdown_table(columns, lines)


def _curves(rows: Sequence[Network]) -> str:
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
