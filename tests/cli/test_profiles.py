"""show, compare and check: the commands that read profiles."""

import csv
import io
import json
import re

import pytest

from greenadapt.profile import Profile
from tests.factories import ESTIMATED, profile


def test_show_prints_the_figures_with_their_conditions(call, profiles):
    text = call("show", profiles / "thin.json").stdout
    assert "thin (timm:thin)" in text
    assert "Test CPU, 2 threads, batch 32" in text
    assert "measured" in text
    assert "discarded" not in text


def test_show_trials_prints_every_trial_and_marks_the_discarded(call, profiles):
    lines = call("show", profiles / "thin.json", "--trials").stdout.splitlines()
    assert sum("discarded" in line for line in lines) == 1
    assert (
        len(lines[lines.index(next(line for line in lines if line.strip().startswith("trial "))) + 2 :]) == 7
    )


def test_show_json_is_the_profile(call, profiles):
    read = Profile.model_validate_json(call("show", profiles / "thin.json", "--json").stdout)
    assert read == Profile.model_validate_json((profiles / "thin.json").read_text())


def test_show_writes_a_page_with_pictures_of_the_audits_images(call, tmp_path):
    import greenadapt
    from tests.pages.test_profile_page import of_embedded

    made = of_embedded(greenadapt.open_data("fashion-mnist-2000", limit=200))
    (tmp_path / "P.json").write_text(made.to_json())
    asked = ("show", tmp_path / "P.json", "--page", tmp_path / "P.html")
    assert call(*asked).exit_code == 0
    assert "<img" not in (tmp_path / "P.html").read_text()
    drawn = call(*asked, "--data", "fashion-mnist-2000", "--limit", "200")
    assert drawn.exit_code == 0
    assert (tmp_path / "P.html").read_text().count("<img") > 20
    other = call(*asked, "--data", "fashion-mnist-2000")
    assert other.exit_code == 2
    assert "--limit" in other.stderr
    assert call("show", tmp_path / "P.json", "--data", "fashion-mnist-2000").exit_code == 2


def test_a_saved_folder_stands_for_the_profile_in_it(call, tmp_path):
    (tmp_path / "profile.json").write_text(profile("inside").to_json())
    assert "inside" in call("show", tmp_path).stdout


def _compare(call, profiles, *options):
    return call("compare", *(profiles / f"{name}.json" for name in ("base", "thin", "small")), *options)


def test_compare_prints_a_table_and_verdicts_on_stdout_only(call, profiles):
    result = _compare(call, profiles)
    assert result.exit_code == 0
    assert "thin beats base" in result.stdout
    assert "thin is dearer but more accurate than small" in result.stdout
    assert result.stderr == ""


@pytest.mark.parametrize("option", [("--json",), ("--format", "json")])
def test_compare_as_json(call, profiles, option):
    content = json.loads(_compare(call, profiles, *option).stdout)
    assert [row["role"] for row in content["rows"]] == ["base", "retrofit", "rival"]


def test_compare_as_csv_and_markdown(call, profiles):
    rows = list(csv.DictReader(io.StringIO(_compare(call, profiles, "--format", "csv").stdout)))
    assert [row["name"] for row in rows] == ["base", "thin", "small"]
    assert "| ---: |" in _compare(call, profiles, "--format", "md").stdout


def test_fail_if_that_holds_is_exit_1_and_says_for_whom(call, profiles):
    result = _compare(call, profiles, "--fail-if", "energy > -40%", "--fail-if", "top1 < -20")
    assert result.exit_code == 1
    assert "thin: energy -30" in result.stderr
    assert "top1" not in result.stderr
    assert "thin beats base" in result.stdout
    assert _compare(call, profiles, "--fail-if", "energy > -10%").exit_code == 0


def test_fail_if_about_estimated_energy_is_exit_2(call, tmp_path):
    for name in ("one", "two"):
        (tmp_path / f"{name}.json").write_text(profile(name, method=ESTIMATED).to_json())
    result = call("compare", tmp_path / "one.json", tmp_path / "two.json", "--fail-if", "energy > -10%")
    assert result.exit_code == 2
    assert "constant power x time" in result.stderr
    assert result.stdout == ""


def test_differing_conditions_are_exit_2_and_named(call, profiles):
    (profiles / "other.json").write_text(profile("other", conditions={"threads": 8}).to_json())
    result = call("compare", profiles / "base.json", profiles / "other.json")
    assert result.exit_code == 2
    assert "threads: 2 and 8" in result.stderr


def test_compare_writes_a_page(call, profiles):
    result = _compare(call, profiles, "--page", profiles / "pages" / "page.html")
    assert result.exit_code == 0
    assert "<svg" in (profiles / "pages" / "page.html").read_text()
    assert "page.html" in result.stderr


def test_check_accepts_what_an_audit_writes(call, profiles):
    result = call("check", profiles)
    assert result.exit_code == 0, result.output
    assert [line.rsplit(": ")[1] for line in result.stdout.splitlines()] == ["ok"] * 3


def test_check_finds_a_changed_digit(call, profiles):
    path = profiles / "thin.json"
    content = json.loads(path.read_text())
    content["summary"]["seconds_per_inference"]["mean"] *= 0.9
    path.write_text(json.dumps(content))
    result = call("check", profiles, "--json")
    assert result.exit_code == 1
    by_name = {entry["path"].rsplit("/")[-1]: entry["differences"] for entry in json.loads(result.stdout)}
    assert by_name["base.json"] == []
    assert any("seconds_per_inference" in line for line in by_name["thin.json"])


def test_check_passes_by_json_that_is_no_profile(call, profiles):
    (profiles / "greenadapt.json").write_text('{"format": "greenadapt/recipe"}')
    assert call("check", profiles).exit_code == 0


def test_a_folder_without_profiles_is_an_error(call, tmp_path):
    result = call("check", tmp_path)
    assert result.exit_code == 2
    assert "no profile" in result.stderr


def _truncated(text):
    return text[: len(text) // 2]


def _newer(text):
    return re.sub(r'"schema_version": "[0-9.]+"', '"schema_version": "2.3"', text)


def _other_format(text):
    return text.replace("greenadapt/efficiency-profile", "greenadapt/recipe")


def _negative_time(text):
    content = json.loads(text)
    content["trials"][0]["seconds"] = -1
    return json.dumps(content)


def _not_a_number(text):
    content = json.loads(text)
    content["trials"][0]["joules"] = float("nan")
    return json.dumps(content)


@pytest.mark.parametrize("command", ["show", "check", "compare"])
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_truncated, "line"),
        (_newer, "newer greenadapt"),
        (_other_format, "not an efficiency profile"),
        (_negative_time, "trials.0.seconds"),
        (_not_a_number, "trials.0.joules"),
        (lambda text: "[1, 2]", "not an efficiency profile"),
        (lambda text: "", "not complete JSON"),
    ],
)
def test_a_file_that_is_no_profile_is_exit_2_with_three_lines(call, profiles, command, spoil, words):
    path = profiles / "thin.json"
    path.write_text(spoil(path.read_text()))
    result = call(command, path, *([profiles / "base.json"] if command == "compare" else []))
    assert result.exit_code == 2
    assert words in result.stderr
    assert len(result.stderr.strip().splitlines()) == 3
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def test_a_file_that_is_not_there_or_no_text(call, tmp_path):
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "missing.json", tmp_path / "binary.json", tmp_path):
        result = call("show", path)
        assert result.exit_code == 2
        assert len(result.stderr.strip().splitlines()) == 3
