"""The page of what BlockDrop wraps: whether the bar is met, and that it can be drawn from its rows alone."""

from __future__ import annotations

import json
from dataclasses import asdict

from tests.bench.zoo.__main__ import main
from tests.bench.zoo.checking import Row
from tests.bench.zoo.page import page


def rows(covered: int, others: int) -> list[Row]:
    good = [Row(f"good{n}", "resnet", 8, 7, "values", 224) for n in range(covered)]
    return [*good, *(Row(f"bad{n}", "vgg", why_not="it adds nothing") for n in range(others))]


def test_the_page_says_whether_the_bar_is_met():
    assert "**19 of 20**" in page(rows(19, 1))
    assert "the bar of 95% is met" in page(rows(19, 1))
    text = page(rows(18, 2))
    assert "the bar of 95% is **NOT met**" in text
    assert "| bad1 | vgg | it adds nothing |" in text
    assert "| resnet | 18 | 18 | 18 | 144 | 126 |" in text


def test_the_page_is_drawn_again_from_the_rows_beside_it(tmp_path, capsys):
    known = [Row("resnet18", "resnet", 8, 8, "values", 64), Row("vgg11", "vgg", why_not="it adds nothing")]
    file = tmp_path / "coverage.jsonl"
    file.write_text("".join(json.dumps(asdict(row)) + "\n" for row in known))
    asked = ["--draw", "--work", str(tmp_path / "work"), "--out", str(tmp_path / "coverage.md")]
    assert main(asked) == 1
    assert capsys.readouterr().out.startswith("1 of 2 are covered")
    assert "| vgg11 | vgg | it adds nothing |" in (tmp_path / "coverage.md").read_text()
    assert [json.loads(line)["name"] for line in file.read_text().splitlines()] == ["resnet18", "vgg11"]
