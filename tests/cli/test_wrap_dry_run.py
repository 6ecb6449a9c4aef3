"""wrap --dry-run: what would change, and what it could save on this device."""

import json

import pytest

TINY = ("cifar_resnet8", "--no-pretrained", "--num-classes", "10", "--in-chans", "1")


def test_it_says_what_can_be_saved_and_when_the_policy_has_paid(call):
    result = call("wrap", *TINY, "-a", "blockdrop", "-b", "2", "--device", "cpu", "--dry-run")
    assert result.exit_code == 0, result.output
    assert "batch 2 of 1x32x32" in result.stdout
    assert "greenadapt_policy: cifar_resnet8" in result.stdout
    for words in ("time saved", "FLOPs saved", "In time ", "In FLOPs ", "add up to"):
        assert words in result.stdout
    assert "timing on cpu" in result.stderr


def test_json_has_the_same_numbers(call):
    result = call("wrap", *TINY, "-a", "blockdrop", "-o", "keep=0.4", "--dry-run", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)["dry_run"]
    assert [saving["keep"] for saving in found["savings"]] == [0.7, 0.5, 0.4, 0.3]
    parts = found["parts"]
    saved = sum(b["macs"] - b["shortcut_macs"] for b in parts["blocks"])
    third = next(s for s in found["savings"] if s["keep"] == 0.3)
    expected = (third["dropped"] * saved / len(parts["blocks"]) - parts["policy_macs"]) / parts["whole_macs"]
    assert third["flops"] == pytest.approx(expected)


def test_a_fixed_path_and_big_little_say_what_makes_sense_for_them(call):
    fixed = call("wrap", *TINY, "-a", "blockdrop", "-o", "policy=spread", "--dry-run")
    assert "there is no policy to pay" in fixed.stdout or "It will not pay here" in fixed.stdout
    network = ("resnet26", "--no-pretrained", "--num-classes", "10")
    little = call("wrap", *network, "-a", "biglittle", "--dry-run", "--json")
    assert little.exit_code == 0, little.output
    found = json.loads(little.stdout)["dry_run"]
    assert found["macs"] < found["base_macs"]
    assert found["pays"] == (found["seconds"] < found["base_seconds"])


def test_a_wrap_that_writes_does_not_time(call, tmp_path):
    result = call("wrap", *TINY, "-a", "blockdrop", "--out", tmp_path / "thin", "--json")
    assert result.exit_code == 0, result.output
    assert "dry_run" not in json.loads(result.stdout)
    assert "timing" not in result.stderr


def test_a_device_that_is_not_there_is_three_lines(call):
    result = call("wrap", *TINY, "-a", "blockdrop", "--dry-run", "--device", "cuda:99")
    assert result.exit_code == 2
    assert len(result.stderr.strip().splitlines()) == 3


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("policy_net=resnet10x", "Did you mean resnet10t"),
        ("policy_downscale=8", "policy_downscale=4 or less"),
    ],
)
def test_a_policy_that_cannot_be_is_three_lines(call, option, words):
    result = call("wrap", *TINY, "-a", "blockdrop", "-o", option, "--dry-run")
    assert result.exit_code == 2
    assert words in result.stderr
    assert len(result.stderr.strip().splitlines()) == 3
