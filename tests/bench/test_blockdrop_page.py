"""What the page of BlockDrop says of made-up figures: who is best at a cost, what is met, what is lacking."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from greenadapt.statistics import pack_hits
from tests.bench.blockdrop import __main__ as command
from tests.bench.blockdrop import cifar_section, execution, page
from tests.bench.blockdrop.cifar_rows import (
    ALIKE,
    ARMS,
    BEGUN,
    BEST_PATH,
    LEARNED,
    LONGER,
    ONE_PATH,
    minus,
    plain_of,
)

PLAIN = {20: (0.9173, 81.1), 32: (0.9263, 137.7), 44: (0.931, 194.3), 56: (0.9339, 251.0)}
RECIPE = {
    "epochs": 20,
    "learning_rate": 0.03,
    "weight_decay": 1e-4,
    "batch_size": 128,
    "precision": "bf16",
    "seed": 0,
    "images": 50_000,
}


def scored(name: str, top1: float, mflops: float, seed: int, **more: Any) -> dict[str, Any]:
    """A network that is right on the first images, and on fifty at random where it would not be."""
    hits = np.arange(10_000) < round(top1 * 10_000)
    turned = np.random.RandomState(seed).permutation(10_000)[:50]
    hits[turned] = ~hits[turned]
    found = {"images": 10_000, "hits": pack_hits(hits.tolist()), "fingerprint": "f"}
    return {"name": name, "top1": float(hits.mean()), **found, "mflops": mflops, **more}


def plain() -> list[dict[str, Any]]:
    return [scored(f"ResNet-{depth}", *PLAIN[depth], seed=depth) for depth in PLAIN]


def arm(name: str, top1: float, mflops: float = 133.5, **changes: Any) -> dict[str, Any]:
    learned = name in LEARNED
    more = {
        "options": {
            "keep": 0.515,
            "objective": "gumbel",
            "policy_net": "cifar_resnet8",
            "policy_downscale": 2,
        },
        "recipe": RECIPE,
        "curve": [{"loss": 0.25, "top1": 0.99, "val_top1": 0.925}] * 20,
        "seconds": 6000,
        "written_top1": top1,
        "policy_mflops": 6.1 if learned else 0.0,
        "blocks": 27,
        "kept": 13.9,
        "kept_sd": 1.2 if learned else 0.0,
        "paths": 40 if learned else 1,
        "commonest": 0.25 if learned else 1.0,
    }
    return scored(name, top1, mflops, seed=len(name), **{**more, **changes})


@pytest.mark.parametrize(
    ("top1", "mflops", "met", "goal"),
    [
        (0.94, 133.5, True, "| reached |"),
        (0.94, 138.0, False, "| reached |"),
        (0.94, 150.0, False, "| not reached |"),
        (0.927, 133.5, False, "| not reached |"),
        (0.915, 133.5, False, "| not reached |"),
    ],
)
def test_the_bar_needs_both_a_lead_and_the_budget(top1, mflops, met, goal):
    rows = [*plain(), arm("blockdrop", top1, mflops)]
    assert cifar_section.bars(rows) == [met]
    text = cifar_section.drawn(rows)
    assert ("| MET |" in text, "| **NOT MET** |" in text) == (met, not met)
    assert goal in text


@pytest.mark.parametrize("short", [{"recipe": {**RECIPE, "images": 1024}}, {"images": 9_999}])
def test_a_short_training_meets_no_bar(short):
    own = arm("blockdrop", 0.95, **short)
    assert cifar_section.bars([*plain(), own]) == [False]


@pytest.mark.parametrize(
    ("learned", "fixed", "best", "told"),
    [
        (
            0.940,
            0.930,
            "BlockDrop (learned policy)",
            "is better than the best fixed path (fixed path (spread-k))",
        ),
        (0.930, 0.940, "fixed path (spread-k)", "A fixed path is better than the learned policy"),
        (0.932, 0.931, "BlockDrop (learned policy)", "is not told apart from the best fixed path"),
    ],
)
def test_the_verdict_names_the_best_and_holds_the_policy_to_the_best_fixed_path(learned, fixed, best, told):
    rows = [*plain(), arm("blockdrop", learned), arm("spread", fixed), arm("first", 0.90)]
    text = cifar_section.verdict(rows)
    assert f"the most accurate network here is **{best}**" in text
    assert told in text
    assert ("use that." in text.lower() or "use the fixed path." in text.lower()) == (learned - fixed < 0.005)


def test_the_verdict_admits_that_a_plain_network_is_best():
    text = cifar_section.verdict([*plain(), arm("blockdrop", 0.91), arm("spread", 0.90)])
    assert "the most accurate network here is **ResNet-32**" in text
    assert "ahead of every other one" in text
    dearer = cifar_section.verdict([*plain(), arm("blockdrop", 0.95, mflops=140.0)])
    assert "**ResNet-32**" in dearer


def test_networks_that_are_not_told_apart_are_named():
    text = cifar_section.verdict([*plain(), arm("blockdrop", 0.9265), arm("spread", 0.9263)])
    level = text.split("not told apart from it: ")[1].split(".")[0]
    assert set(level.split(", ")) == {"ResNet-32", "fixed path (spread-k)"}


def test_a_policy_that_always_decides_alike_is_called_a_fixed_path():
    text = cifar_section.verdict([*plain(), arm("blockdrop", 0.93, paths=1)])
    assert "takes one path for every image" in text
    assert "6.1 MFLOPs decide nothing" in text
    alone = scored(ONE_PATH, 0.92, 127.4, seed=9, policy_mflops=0.0, blocks=27, kept=14, paths=1)
    text = cifar_section.drawn([*plain(), arm("blockdrop", 0.93), alone])
    assert "25% of the images take one path" in text
    assert "| its commonest path for every image (no policy) |" in text


def test_every_arm_has_its_row_trained_or_not():
    rows = [*plain(), arm("blockdrop", 0.93), arm("sensitivity", 0.92)]
    text = cifar_section.drawn(rows)
    for name, title in ARMS.items():
        lacking = name not in ("blockdrop", "sensitivity")
        assert (f"| {title} | not trained yet |" in text) == lacking
    assert f"Not trained yet: {ARMS[BEGUN]}, fixed path (spread-k), fixed path (random-k), " in text
    assert "| 133.5 | 4.6% | 13.9 ± 1.2 of 27 | 40 | 20 | 6,000 | +" in text
    assert "| BlockDrop (learned policy) | fixed path (from sensitivity) | +" in text
    assert text.count("| BlockDrop (learned policy) | ResNet-") == 4


def test_two_attempts_at_the_bar_count_twice():
    rows = [*plain(), arm(BEGUN, 0.9294)]
    lead = minus(rows[-1], rows[1])
    assert 0.025 < lead.p_value < 0.05
    assert cifar_section.bars(rows) == [True]
    assert cifar_section.bars([*rows, arm("blockdrop", 0.92)]) == [False]


def test_the_plain_rival_trained_alike_is_a_rival_and_no_fixed_path():
    alike = {**arm(ALIKE, 0.935, 137.7), "kept": None}
    rows = [*plain(), arm("blockdrop", 0.93), arm("spread", 0.92), {k: v for k, v in alike.items() if v}]
    text = cifar_section.drawn(rows)
    assert "the most accurate network here is **ResNet-32, trained alike**" in text
    assert "to the plain ResNet-32 that was trained alike: worse than it" in text
    assert "the best fixed path (fixed path (spread-k))" in text
    assert [row["name"] for row in plain_of(rows)] == [f"ResNet-{depth}" for depth in PLAIN]


@pytest.mark.parametrize(
    ("alike", "said"),
    [
        (0.90, "trained alike: better than it, too."),
        (0.94, "what leads is the training. The plain network needs no policy: here BlockDrop does not pay."),
    ],
)
def test_whether_the_learned_policy_beats_the_plain_rival_trained_alike_is_said(alike, said):
    rows = [*plain(), arm("blockdrop", 0.94), arm(ALIKE, alike, 137.7)]
    assert said in cifar_section.drawn(rows)


def test_no_arm_at_all_is_no_met_bar():
    text = cifar_section.drawn(plain())
    assert cifar_section.bars(plain()) == [False]
    assert text.count("not trained yet") == len(ARMS) + 1
    assert "The learned policy has not been trained yet." in text


def test_arms_that_were_not_trained_alike_are_said_to_be():
    longer = arm("spread", 0.92, recipe={**RECIPE, "epochs": 40})
    text = cifar_section.drawn([*plain(), arm("blockdrop", 0.93), longer])
    assert "**The arms were not trained alike and do not compare.**" in text
    assert "40 epochs, stopped after 20, over" in text
    alike = cifar_section.drawn([*plain(), arm("blockdrop", 0.93), arm("spread", 0.92)])
    assert "not trained alike" not in alike
    assert "BlockDrop (learned policy), fixed path (spread-k): 20 epochs over 50,000" in alike


def test_arms_that_go_on_from_a_fixed_path_tell_both_trainings_and_carry_the_bar():
    short = {**RECIPE, "epochs": 10, "learning_rate": 0.01}
    curve = arm("spread", 0.9)["curve"][:10]
    begun = arm(BEGUN, 0.94, recipe=short, curve=curve, seconds=3000)
    control = arm(LONGER, 0.93, recipe=short, curve=curve, seconds=1500)
    alone = scored(ONE_PATH, 0.92, 127.4, seed=9, policy_mflops=0.0, blocks=27, kept=14, paths=1)
    rows = [*plain(), arm("blockdrop", 0.92), arm(BEST_PATH, 0.93), begun, control, alone]
    assert cifar_section.bars(rows) == [True]
    assert cifar_section.bars(rows[:-3]) == [False]
    text = cifar_section.drawn(rows)
    bar = next(line for line in text.splitlines() if line.startswith("| bar: ") and ARMS[BEGUN] in line)
    assert bar.endswith("| MET |")
    assert "; p x 2 attempts = " in bar
    assert "was decided when all of them had been seen" in text
    assert "was decided when" not in cifar_section.drawn(rows[:-3])
    assert "| 20 + 10 | 6,000 + 3,000 |" in text
    assert f"After that, {ARMS[BEGUN]}, {ARMS[LONGER]}: 10 epochs over 50,000" in text
    assert "not trained alike" not in text
    lines = text.splitlines()
    where = next(i for i, line in enumerate(lines) if line.startswith(f"| {ARMS[BEGUN]} | "))
    assert "commonest path for every image" in lines[where + 1]
    assert f"| {ARMS[BEGUN]} | {ARMS[LONGER]} | +" in text


def file_of(rows: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {
        "quick": False,
        "created": "2024-01-01T00:00:00+00:00",
        "seconds": 90.0,
        "load_before": 0.1,
        "machine": {"processor": "A", "threads": 1},
        "torch": "2",
        "timm": "1",
        **more,
        "rows": rows,
    }


def published(folder, top1: float) -> None:
    row = {"name": "time", "condition": "", "bar": "<= 1", "shown": "1", "n": 1, "note": ""}
    rows = [{**row, "met": True}, {**row, "met": None}]
    (folder / execution.FILE).write_text(json.dumps(file_of(rows, seed=7)))
    (folder / "blockdrop-cifar").mkdir()
    trained = [{"name": "blockdrop", "seconds": 6000, "threads": 1, "processor": None}]
    rows = [*plain(), arm("blockdrop", top1)]
    (folder / cifar_section.FILE).write_text(json.dumps(file_of(rows, trainings=trained)))


def test_the_command_draws_all_sections_and_its_exit_code_is_that_of_all_bars(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "PUBLISHED", tmp_path)
    monkeypatch.setattr(page, "SECTIONS", ("execution", "cifar_section"))
    published(tmp_path, 0.935)
    assert command.main(["--draw"]) == 0
    text = (tmp_path / "blockdrop.md").read_text()
    assert text.count("1 of 1 bars are met.") == 2
    assert "seed 7." in text
    assert "blockdrop 100.0 minutes on a machine that is not on record, 1 thread" in text
    (tmp_path / cifar_section.FILE).write_text(json.dumps(file_of([*plain(), arm("blockdrop", 0.92)])))
    assert command.main(["--draw"]) == 1
    (tmp_path / cifar_section.FILE).unlink()
    assert command.main(["--draw"]) == 1
    text = (tmp_path / "blockdrop.md").read_text()
    assert f"## {cifar_section.TITLE}\n\nNot measured yet: `{cifar_section.COMMAND}`." in text


def test_the_published_page_is_what_its_files_say():
    published = command.PUBLISHED / "blockdrop.md"
    assert published.read_text(encoding="utf-8") == page.drawn(command.PUBLISHED)
