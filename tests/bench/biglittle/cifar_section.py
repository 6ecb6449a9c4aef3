"""The section on ResNet-56 and CIFAR-10: the table, whether the bar is met, which plain network is better."""

from __future__ import annotations

from typing import Any

from tests.bench.paired import better, difference, points, worse

RIVAL, _PUBLISHED = "rival", "resnet32"
"""The plain network of the same cost: trained on as the conversion was, and as it is published."""
_NAMES = {
    "converted": "ResNet-56 converted",
    "scratch": "the same network from random weights",
    RIVAL: "ResNet-32 trained on",
}
_TOLD_ALREADY = {("scratch", "converted"), (RIVAL, "converted"), (RIVAL, "scratch")}
_UNTRAINED = "**NOT MET**: the converted network has not been trained yet."
_GOAL_POINTS, _GOAL_MACS = 0.1, 0.5
"""What structured pruning reports of this network: about so many points lost at so much of the MACs.

Source: the README of Torch-Pruning, 93.53 to 93.46 % at a 2.11th of the MACs.
"""


def section(results: dict[str, Any]) -> str:
    """The figures as a section of Markdown.

    Args:
        results: The content of ``docs/results/biglittle-cifar.json``.
    """
    networks, told = results["networks"], results["recipe"]
    ordered = sorted(networks, key=lambda name: int(networks[name]["macs"]))
    arms = [name for name in _NAMES if name in networks]
    return "\n".join(
        [
            "## ResNet-56 on CIFAR-10",
            "",
            f"Converted with alpha {told['alpha']} and beta {told['beta']}, then {told['epochs']} epochs "
            f"with the base as teacher (batches of {told['batch_size']}, learning rate "
            f"{told['learning_rate']}, {_mixup(told)}{told['precision']}, seed {told['seed']}, one run). "
            f"{_other_arms(networks)} The other plain networks have their published weights. Top-1 on all "
            "10,000 test images; differences are paired, with McNemar's exact test.",
            "",
            "| network | MMACs | parameters | top-1 | epochs | seconds of training |",
            "| --- | ---: | ---: | ---: | ---: | ---: |",
            *(_row(name, networks[name]) for name in ordered),
            "",
            *(line for arm in arms for line in _compared(arm, networks)),
            *_verdict(networks, told),
            "",
        ]
    )


def bar(results: dict[str, Any]) -> str:
    """Whether the bar is met, and what of that is the conversion's, in a sentence or two.

    Args:
        results: As in `section`.
    """
    networks = results["networks"]
    if "converted" not in networks:
        return _UNTRAINED
    return f"{_bar(networks)} {_trained_alike(networks)}".rstrip()


def _other_arms(networks: dict[str, Any]) -> str:
    missing = [_title(name) for name in ("scratch", RIVAL) if name not in networks]
    untrained = f" Not trained yet: {', '.join(missing)}." * bool(missing)
    return (
        "With the same budget and the same teacher: the same network from random weights; and the plain "
        f"rival, ResNet-32, trained on from its published weights.{untrained}"
    )


def _mixup(told: dict[str, Any]) -> str:
    return f"mixup {told['mixup']:g}, " if told.get("mixup") else ""


def _row(name: str, network: dict[str, Any]) -> str:
    curve = network.get("curve")
    seconds = network.get("seconds")
    cells = [
        _title(name),
        f"{network['macs'] / 1e6:.1f}",
        f"{network['parameters']:,}",
        f"{network['quality']['top1']:.2%}",
        str(len(curve)) if curve is not None else "published",
        f"{seconds:,}" if seconds is not None else "-",
    ]
    return f"| {' | '.join(cells)} |"


def _title(name: str) -> str:
    return _NAMES.get(name, name.replace("resnet", "ResNet-"))


def _compared(arm: str, networks: dict[str, Any]) -> list[str]:
    lines = [f"{_title(arm)}, top-1 minus that of:", ""]
    for other in sorted(networks, key=lambda name: int(networks[name]["macs"])):
        if other != arm and (arm, other) not in _TOLD_ALREADY:
            found = difference(networks[arm]["quality"], networks[other]["quality"])
            lines.append(f"- {_title(other)}: {points(found)}")
    return [*lines, ""]


def _verdict(networks: dict[str, Any], told: dict[str, Any]) -> list[str]:
    if "converted" not in networks:
        return [_UNTRAINED]
    own = networks["converted"]
    done = len(own["curve"])
    cut_short = f" Its training stopped after {done} of {told['epochs']} epochs." * (done < told["epochs"])
    return [
        f"{_bar(networks)}{cut_short}",
        "",
        *([told_alike, ""] if (told_alike := _trained_alike(networks)) else []),
        _goal(networks, told["base"]),
        "",
        _plain_better(networks),
    ]


def _trained_alike(networks: dict[str, Any]) -> str:
    """What the conversion has ahead of the plain rival that was trained as it was."""
    if RIVAL not in networks:
        return ""
    own, rival = networks["converted"], networks[RIVAL]
    found = difference(own["quality"], rival["quality"])
    verdict = "is ahead of" if better(found) else "is behind" if worse(found) else "cannot be told apart from"
    gained = difference(rival["quality"], networks[_PUBLISHED]["quality"])
    advice = "" if better(found) else f" At {rival['macs'] / own['macs'] - 1:+.1%} of MACs, use that one."
    return (
        f"Trained alike, the conversion {verdict} the plain rival: {points(found)}. The training alone "
        f"brought that one {points(gained)}.{advice}"
    )


def _plain(networks: dict[str, Any]) -> list[str]:
    """Names of the plain networks, the cheapest first."""
    return sorted((n for n in networks if n not in _NAMES), key=lambda name: int(networks[name]["macs"]))


def _bar(networks: dict[str, Any]) -> str:
    own = networks["converted"]
    rivals = [name for name in _plain(networks) if networks[name]["macs"] >= own["macs"]]
    if not rivals:
        return "**NOT MET**: the converted network costs more than every plain one."
    found = difference(own["quality"], networks[rivals[0]]["quality"])
    bar = f"the bar is to beat {_title(rivals[0])}, the cheapest plain network that costs as much or more"
    return f"**{'met' if better(found) else 'NOT MET'}**: {bar}: {points(found)}."


def _goal(networks: dict[str, Any], base: str) -> str:
    own, whole = networks["converted"], networks[base]
    lost = (whole["quality"]["top1"] - own["quality"]["top1"]) * 100
    share = own["macs"] / whole["macs"]
    reached = round(lost, 9) <= _GOAL_POINTS and share <= _GOAL_MACS
    return (
        f"The goal, what structured pruning reports for the same network ({_GOAL_POINTS} points at half the "
        f"MACs), is {'met' if reached else 'NOT met'}: {-lost:+.2f} points at {share:.0%} of the MACs."
    )


def _plain_better(networks: dict[str, Any]) -> str:
    own = networks["converted"]
    ahead, level = [], []
    for name in _plain(networks):
        if networks[name]["macs"] > own["macs"]:
            continue
        found = difference(own["quality"], networks[name]["quality"])
        if worse(found):
            ahead.append(_title(name))
        elif not better(found):
            level.append(_title(name))
    if ahead:
        return f"A plain network that costs less is better: {', '.join(ahead)}. Use that one."
    if level:
        return f"A plain network that costs less is as good: {', '.join(level)}. Use that one."
    return "No plain network that costs as little is as good, with its published weights."
