"""The section on CIFAR-10: every network, its cost and accuracy, who beats whom, and whether the bar is met.

    rows    plain networks ── RIVAL sets the cost ──┐
            arms: learned policy, fixed paths ──────┴── paired differences ── bar, goal, verdict

All of it is computed from what each network got right, image by image.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from greenadapt.tables import Column, markdown_table
from tests.bench.blockdrop.cifar_rows import (
    ALIKE,
    ARMS,
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
    rival_of,
    title,
)
from tests.bench.blockdrop.cifar_tables import curves, networks, pairs
from tests.bench.paired import LEVEL, better, points, worse

FILE = "blockdrop-cifar/comparison.json"
TITLE = "Accuracy against cost: ResNet-56 on CIFAR-10"
COMMAND = "python -m tests.bench.blockdrop.cifar evaluate"
_TRAIN = "python -m tests.bench.blockdrop.cifar train --arm NAME"
_GOAL_TOP1, _GOAL_MFLOPS = 0.931, 138.0
_TEXT = """\
BlockDrop wraps ResNet-56 so that it spends no more than a plain ResNet-32, the policy's network included.
Every arm begins with the published weights of ResNet-56 and learns from that network, too, over the same
images: the arms of 30 epochs alike, and the two that go on from one of them for 10 more, alike too. Where one
of those stands beside an arm of 30 epochs, it was trained for longer. The plain networks have their published
weights and no teacher. So a lead over one of those is that of the whole retrofit, its training included: a
plain ResNet-32 gains from such a training, too, and "trained alike" says how much. What deciding image by
image is worth is the lead over the fixed paths. FLOPs are 2 x multiply-adds of convolutions and linear
layers, the mean over the images. Intervals are at 95 %, and p is McNemar's exact test on the same images:
both tell of other images, not of another training, and each arm was trained once; p is not corrected for the
number of comparisons, except at the bar, and it is p that verdicts go by. Which fixed path is best is read
off these very images, which favours it. The budget is epochs, so many that an arm takes less than two hours
of two cores where the recipe was chosen; the seconds tell where a slower machine took longer. Seconds of
training, each arm's on one core, are no comparison: not all machines were the same (one without bf16 units
takes three times as long), other work ran beside it, an arm uses the teacher's answers that an arm before it
left, and a policy's steps cost more than a path's.

Two arms go on from the trained fixed path of the arm from sensitivity: one learns a policy from there, and
one, its control, keeps the path for as many epochs more. The policy that is learned from the start was the
first attempt at the bar; it missed it on these images, and that is why the second was made. So p counts twice
there."""


def drawn(rows: Sequence[Network]) -> str:
    """The section.

    Args:
        rows: As `tests.bench.blockdrop.cifar.evaluate` writes them.
    """
    parts = [
        f"## {TITLE}",
        _TEXT,
        _recipes(rows),
        networks(rows),
        _bars(rows),
        verdict(rows),
        pairs(rows),
        curves(rows),
    ]
    return "\n\n".join(part for part in parts if part)


def bars(rows: Sequence[Network]) -> list[bool]:
    """Whether the one bar is met: a better learned policy than the plain rival, for no more FLOPs.

    Args:
        rows: As in `drawn`.
    """
    return [any(_meets(row, rows) for row in _attempts(rows))]


def _attempts(rows: Sequence[Network]) -> list[Network]:
    return [named(rows)[name] for name in reversed(LEARNED) if name in named(rows)]


def _meets(own: Network, rows: Sequence[Network]) -> bool:
    rival = rival_of(rows)
    if not is_whole(own) or own["mflops"] > rival["mflops"]:
        return False
    lead = minus(own, rival)
    return lead.mean > 0 and lead.p_value * len(_attempts(rows)) < LEVEL


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
    alike = named(rows).get(ALIKE)
    if alike is not None:
        yield _against_alike(own, alike, rival_of(rows))
    unseen = minus_unseen(own, rival_of(rows))
    if unseen is not None:
        yield (
            f"Recipes were chosen on the first {SEEN:,} test images; on the {own['images'] - SEEN:,} others "
            f"the learned policy is {points(unseen)} from ResNet-{RIVAL}."
        )
        if own["name"] in CONTINUED:
            yield "That it goes on from a fixed path was decided when all of them had been seen."
    if alone is not None:
        yield (
            f"Under the learned policy {own['commonest']:.0%} of the images take one path; with all on it, "
            f"its network has {alone['top1']:.2%}; deciding image by image brings "
            f"{points(minus(own, alone))}."
        )


def _against_alike(own: Network, alike: Network, published: Network) -> str:
    rival = f"the plain ResNet-{RIVAL} that was trained alike"
    told = f"The learned policy is {points(minus(own, alike))} to {rival}"
    if better(minus(own, alike)):
        return f"{told}: better than it, too."
    if worse(minus(own, alike)):
        return f"**{told}: worse than it. Train that one, and wrap nothing.**"
    if better(minus(own, published)):
        lead = points(minus(alike, published))
        told += f", and that one is {lead} to the published one: what leads is the training"
    return f"**{told}. The plain network needs no policy: here BlockDrop does not pay.**"


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
    later = [row for row in trained if row["name"] in CONTINUED]
    for arms, then in (([row for row in trained if row not in later], ""), (later, "After that, ")):
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


def _bars(rows: Sequence[Network]) -> str:
    rival, attempts = rival_of(rows), _attempts(rows)
    bar = f"bar: more accurate than plain ResNet-{RIVAL}, at no more FLOPs, policy included, by a paired test"
    goal = f"goal: {_GOAL_TOP1:.1%} at {_GOAL_MFLOPS:.0f} MFLOPs"
    lines = [] if attempts else [[bar, "", "not trained yet", "**NOT MET**"]]
    for own in attempts:
        dearer, lead = own["mflops"] - rival["mflops"], minus(own, rival)
        found = f"{points(lead)}; {abs(dearer):.1f} MFLOPs {'more' if dearer > 0 else 'less'}"
        if len(attempts) > 1:
            found += f"; p x {len(attempts)} attempts = {min(1.0, lead.p_value * len(attempts)):.2g}"
        found += "" if is_whole(own) else "; not on all images, so that it does not count"
        lines.append([bar, title(own), found, "MET" if _meets(own, rows) else "**NOT MET**"])
    for own in attempts:
        reached = is_whole(own) and own["top1"] >= _GOAL_TOP1 and own["mflops"] <= _GOAL_MFLOPS
        at = f"{own['top1']:.2%} at {own['mflops']:.1f} MFLOPs"
        lines.append([goal, title(own), at, "reached" if reached else "not reached"])
    return markdown_table([Column(head, "left") for head in ("figure", "policy", "found", "")], lines)
