"""The main job on what ships with the package, with a plan that is shorter still."""

import json

import pytest

from greenadapt.embedded import MODELS
from greenadapt.profile import Plan, Profile


@pytest.fixture
def hasty(monkeypatch):
    """Two trials of a twentieth of a second: enough to see everything work, too short for a verdict."""
    plan = Plan.quick_look(trials=2, trial_seconds=0.05, warmup_seconds=0.1, idle_seconds=0.0)
    monkeypatch.setattr(Plan, "quick_look", lambda **wishes: plan)


@pytest.mark.usefixtures("hasty")
def test_quickstart_writes_profiles_page_and_table(call, tmp_path):
    result = call("quickstart", "--out", tmp_path / "out", "--publish", tmp_path / "shelf")
    assert result.exit_code == 0, result.output
    files = {path.name for path in (tmp_path / "out").iterdir()}
    assert files == {*(f"{name}.json" for name in MODELS), "comparison.html"}
    profiles = [
        Profile.model_validate_json((tmp_path / "out" / f"{name}.json").read_text()) for name in MODELS
    ]
    assert len({profile.run_id for profile in profiles}) == 1
    assert all(profile.quality.top1 > 0.85 for profile in profiles)
    assert all(name in result.stdout for name in MODELS)
    assert "greenadapt wrap" in result.stderr
    assert call("check", tmp_path / "out", tmp_path / "shelf").exit_code == 0
    index = json.loads((tmp_path / "shelf" / "index.json").read_text())
    assert {entry["name"] for entry in index["profiles"]} == set(MODELS)


def test_the_base_stands_first_and_every_role_is_there():
    assert next(iter(MODELS.values())) == "base"
    assert set(MODELS.values()) == {"base", "retrofit", "rival"}
