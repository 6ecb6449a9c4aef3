"""A sweep of timm that is cut short has seen the smallest network of every file."""

from __future__ import annotations

import json

from tests.bench.zoo.__main__ import small_first


def test_every_file_comes_before_any_comes_twice(tmp_path):
    counted = tmp_path / "parameters.json"
    counted.write_text(json.dumps({"a-big": 9, "a-small": 2, "b-small": 5, "b-big": 7}), encoding="utf-8")
    names = [("a-big", "a"), ("a-small", "a"), ("b-small", "b"), ("b-big", "b")]
    assert [name for name, _ in small_first(names, counted)] == ["a-small", "b-small", "b-big", "a-big"]


def test_parameters_are_counted_once_and_kept(tmp_path):
    counted = tmp_path / "parameters.json"
    names = [("test_vit2", "vision_transformer"), ("test_vit", "vision_transformer")]
    assert [name for name, _ in small_first(names, counted)] == ["test_vit", "test_vit2"]
    assert set(json.loads(counted.read_text(encoding="utf-8"))) == {"test_vit", "test_vit2"}
