"""``profiles``: names that carry the conditions, an index that follows, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from greenadapt.errors import ProfileError, StorageError
from greenadapt.profile import Method, Profile, Validity
from greenadapt.publishers.profiles import file_name, publisher
from tests.factories import ESTIMATED, MEASURED, profile

NAME = "cifar-resnet20--test-cpu--b32--fp32.json"


def made(**options: Any) -> Profile:
    """A profile that `greenadapt check` accepts: as many trials as its plan asked for."""
    return profile(options.pop("name", "cifar resnet20"), blocks=4, **options)


def finished(folder: Path, content: Profile | str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "profile.json").write_text(content if isinstance(content, str) else content.to_json())
    return folder


def index(home: Path) -> list[dict[str, Any]]:
    content = json.loads((home / "index.json").read_text())
    assert (content["format"], content["version"]) == ("greenadapt/profile-index", 1)
    entries: list[dict[str, Any]] = content["profiles"]
    return entries


def test_a_profile_is_copied_and_indexed(tmp_path: Path) -> None:
    original, home = made(), tmp_path / "profiles"
    where = publisher.publish(finished(tmp_path / "net", original), str(home), False)
    assert where == str(home / NAME)
    assert Path(where).read_text() == original.to_json()
    assert original.summary.joules_per_inference is not None
    assert original.quality is not None
    assert index(home) == [
        {
            "id": original.profile_id,
            "name": "cifar resnet20",
            "file": NAME,
            "device": "Test CPU",
            "kind": "measured",
            "joules_per_inference": original.summary.joules_per_inference.mean,
            "top1": original.quality.top1,
            "off_leaderboards": None,
        }
    ]
    assert sorted(path.name for path in home.iterdir()) == [NAME, "index.json"]


def test_without_a_target_it_goes_to_profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert publisher.publish(finished(tmp_path / "net", made()), "", False) == f"profiles/{NAME}"
    assert (tmp_path / "profiles" / NAME).is_file()


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    home = tmp_path / "profiles"
    assert publisher.publish(finished(tmp_path / "net", made()), str(home), True) == str(home / NAME)
    assert not home.exists()


def test_the_index_lists_all_and_is_the_same_whatever_the_order(tmp_path: Path) -> None:
    profiles = [made(name=name) for name in ("b", "a", "c")]
    for home, order in (("one", profiles), ("two", profiles[::-1])):
        for each in order:
            publisher.publish(finished(tmp_path / "net", each), str(tmp_path / home), False)
    assert [entry["name"] for entry in index(tmp_path / "one")] == ["a", "b", "c"]
    assert (tmp_path / "one" / "index.json").read_bytes() == (tmp_path / "two" / "index.json").read_bytes()


def test_unknown_figures_are_null(tmp_path: Path) -> None:
    nothing = Method(meter=None, kind=None, scope=None, estimator=None, why_not="No meter works here.")
    unknown = made(method=nothing, watts=None, correct=None)
    publisher.publish(finished(tmp_path / "net", unknown), str(tmp_path / "home"), False)
    entry = index(tmp_path / "home")[0]
    assert (entry["kind"], entry["joules_per_inference"], entry["top1"]) == (None, None, None)


def test_estimates_are_published_as_estimates(tmp_path: Path) -> None:
    publisher.publish(finished(tmp_path / "net", made(method=ESTIMATED)), str(tmp_path / "home"), False)
    assert index(tmp_path / "home")[0]["kind"] == "estimated"


@pytest.mark.parametrize(
    ("options", "why"),
    [({"weights": "random"}, "random weights"), ({"conditions": {"data": "random"}}, "random images")],
)
def test_random_weights_and_images_stay_off_leaderboards(tmp_path: Path, options: Any, why: str) -> None:
    publisher.publish(finished(tmp_path / "net", made(**options)), str(tmp_path / "home"), False)
    assert index(tmp_path / "home")[0]["off_leaderboards"] == why


def test_a_new_measurement_replaces_that_of_the_same_weights_and_conditions(tmp_path: Path) -> None:
    for run in ("run-1", "run-2"):
        publisher.publish(finished(tmp_path / "net", made(run_id=run)), str(tmp_path / "home"), False)
    assert [entry["file"] for entry in index(tmp_path / "home")] == [NAME]
    assert json.loads((tmp_path / "home" / NAME).read_text())["run_id"] == "run-2"


@pytest.mark.parametrize("difference", ["conditions", "weights"])
def test_what_the_name_does_not_tell_apart_is_kept_apart(tmp_path: Path, difference: str) -> None:
    one = made()
    if difference == "conditions":
        other = made(conditions={"compile": True})
    else:
        other = made(subject=one.subject.model_copy(update={"weights_sha256": "1" * 64}))
    assert file_name(one) == file_name(other) == NAME
    for _ in range(2):
        for each in (one, other):
            publisher.publish(finished(tmp_path / "net", each), str(tmp_path / "home"), False)
    suffixed = NAME.replace(".json", f"--{other.profile_id[:8]}.json")
    assert {entry["file"]: entry["id"] for entry in index(tmp_path / "home")} == {
        NAME: one.profile_id,
        suffixed: other.profile_id,
    }


def test_names_are_safe_file_names() -> None:
    strange = made(name="../ResNet 50/A1_in1k", conditions={"device": "NVIDIA H100 80GB HBM3 (PCIe)"})
    assert file_name(strange) == "resnet-50-a1_in1k--nvidia-h100-80gb-hbm3-pcie--b32--fp32.json"


def test_a_changed_digit_is_refused(tmp_path: Path) -> None:
    original = made()
    assert original.quality is not None
    better = original.model_copy(update={"quality": original.quality.model_copy(update={"top1": 0.99})})
    for changed in (better, better.sealed()):  # resealing does not help: the hits tell
        folder = finished(tmp_path / "net", changed)
        with pytest.raises(ProfileError, match="does not follow from its own readings") as raised:
            publisher.publish(folder, str(tmp_path / "home"), False)
        assert "top1" in raised.value.seen
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    "options",
    [
        {"method": MEASURED.model_copy(update={"meter": "replay"})},
        {"validity": Validity(status="invalid", reasons=["The readings are replayed from a recording."])},
    ],
)
def test_replayed_readings_are_refused(tmp_path: Path, options: Any) -> None:
    folder = finished(tmp_path / "net", made(**options))
    with pytest.raises(ProfileError, match="not fit to be published") as raised:
        publisher.publish(folder, str(tmp_path / "home"), False)
    assert "replayed from a recording" in raised.value.seen
    assert not (tmp_path / "home").exists()


def test_a_folder_without_a_profile_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no such folder"):
        publisher.publish(tmp_path / "nowhere", "", True)
    with pytest.raises(StorageError, match="greenadapt audit"):
        publisher.publish(tmp_path, "", True)


def test_a_truncated_profile_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProfileError):
        publisher.publish(finished(tmp_path / "net", made().to_json()[:-20]), str(tmp_path / "home"), False)


def test_a_broken_neighbour_stops_it_before_anything_is_written(tmp_path: Path) -> None:
    home = tmp_path / "home"
    publisher.publish(finished(tmp_path / "net", made()), str(home), False)
    (home / "broken.json").write_text("{")
    before = {path.name: path.read_bytes() for path in home.iterdir()}
    with pytest.raises(ProfileError, match=r"broken\.json"):
        publisher.publish(finished(tmp_path / "net", made(name="another")), str(home), False)
    assert {path.name: path.read_bytes() for path in home.iterdir()} == before


def test_a_target_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="Cannot write"):
        publisher.publish(finished(tmp_path / "net", made()), str(tmp_path / "file"), False)
