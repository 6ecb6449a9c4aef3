"""The Big-Little benchmark's own arithmetic: which rows have a bar, what a run that was stopped keeps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.bench.biglittle import coverage, page, speed
from tests.bench.biglittle.__main__ import PUBLISHED

ROUNDS = [0.80, 0.82, 0.78]


def timed(retrofit: str = "bl_resnet50", batch: int = 1, mode: str = speed.EAGER) -> dict[str, Any]:
    about = {"base": "resnet50", "retrofit": retrofit, "batch": batch, "mode": mode, "saved": 0.25}
    return about | {"seconds": [0.10, 0.08], "ratios": ROUNDS}


def test_share_is_the_time_saved_over_the_work_saved() -> None:
    mean, low, high = speed.share(timed())
    assert mean == pytest.approx(0.8)
    assert low < mean < high


def test_bars_are_for_eager_and_frozen_networks_of_the_paper() -> None:
    rows = [timed(mode=mode) for mode in speed.MODES] + [timed("resnet50 converted")]
    found = speed.bars(rows)
    assert [line[0].split(", ")[-1] for line in found] == ["eager", "compiled"]
    assert {line[3] for line in found} == {"met"}
    assert speed.bars([timed("bl_resnet101")])[0][3] == "**NOT met**"


def test_a_network_that_is_not_frozen_stands_beside_the_bars() -> None:
    rows = [timed(mode=mode) for mode in speed.MODES]
    assert "`bl_resnet50` realises 0.80 at batch 1 that way" in speed.section(rows)
    assert "| `bl_resnet50` | not frozen | 1 | 100.0 | 80.0 |" in speed.section(rows)
    assert "it was not timed in this run" in speed.section(rows[:2])


def test_times_of_two_networks_are_taken_in_turns() -> None:
    calls: list[str] = []

    class Called(nn.Module):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            calls.append(self.name)
            return x

    found = speed.compared([Called("a"), Called("b")], 8, speed.EAGER, 2)
    assert "".join(calls[-8:]) == "abbaabba"
    assert len(found["ratios"]) == 2


def test_the_published_page_can_be_drawn_again() -> None:
    results = json.loads((PUBLISHED / "biglittle.json").read_text(encoding="utf-8"))
    drawn = page.drawn(results, PUBLISHED)
    assert "*not frozen* counts for no bar" in drawn
    assert len(page.lines(results)) == 1 + 8 + 4


@pytest.mark.parametrize("name", ["resnet18", "resnet10t", "regnetz_005"])
def test_norms_without_numbers_change_no_row(name: str) -> None:
    plain = coverage.row(name, "some")
    with coverage.plain_norms():
        assert coverage.row(name, "some") == plain
    assert torch.nn.functional.batch_norm.__name__ == "batch_norm"


def test_a_branch_that_gets_no_gradient_is_no_conversion(monkeypatch: pytest.MonkeyPatch) -> None:
    forward = coverage.Branches.forward
    monkeypatch.setattr(coverage.Branches, "forward", lambda self, x: forward(self, x).detach())
    assert str(coverage.row("resnet18", "resnet").why_not).startswith("gives layer1.0.big.")


def test_a_run_that_was_stopped_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def row(name: str, family: str) -> coverage.Row:
        made.append(name)
        return coverage.Row(name, family, 224, 1.5, 0.3)

    monkeypatch.setattr(coverage, "row", row)
    file = tmp_path / "kept" / "rows.jsonl"
    first = [coverage.Kept(file).row(name, "resnet") for name in ("a", "b")]
    again = coverage.Kept(file)
    assert [again.row(name, "resnet") for name in ("a", "b", "c")][:2] == first
    assert made == ["a", "b", "c"]
    monkeypatch.setattr(coverage, "_code", lambda: "changed since")
    coverage.Kept(file).row("a", "resnet")
    assert made == ["a", "b", "c", "a"]
