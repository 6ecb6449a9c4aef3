"""``audit --sweep`` and ``compare --across`` on the command line."""

import json

import pytest

from greenadapt.cli.plans import duration
from greenadapt.profile import Profile
from tests.factories import profile

TINY = ("cifar_resnet8", "--no-pretrained", "--num-classes", "10", "--in-chans", "1")
SHORT = ("--quick", "--trials", "2", "--trial-seconds", "0.05", "--limit", "64", "--meter", "none")
IMAGES = ("--data", "fashion-mnist-2000")


@pytest.mark.parametrize(
    "arguments",
    [
        ("m", "--sweep", "precision=fp32,bf16", "--sweep", "batch=1,8"),
        ("m", "--sweep", "precision=fp32,bf16", "batch=1,8"),
        ("--sweep", "batch=1,8", "precision=fp32,bf16", "m"),
        ("--sweep", "batch=1,8", "m", "precision=fp32,bf16"),
    ],
)
def test_settings_may_stand_anywhere_after_the_option(call, arguments):
    result = call("audit", *arguments, "--dry-run")
    assert result.exit_code == 0, result.output
    lines = [line.strip() for line in result.stdout.splitlines()]
    assert lines[1:] == ["m@fp32,b1", "m@fp32,b8", "m@bf16,b1", "m@bf16,b8"]
    assert "4 rivals" in lines[0]


def test_a_dry_run_opens_nothing_and_tells_the_time(call):
    result = call("audit", "no-such-model", "--sweep", "batch=1,8", "--trials", "10", "--dry-run", "--json")
    planned = json.loads(result.stdout)
    assert planned["rivals"] == ["no-such-model@b1", "no-such-model@b8"]
    # Two trials a block, ten counted blocks' worth of trials in five blocks, one block discarded.
    assert planned["trials_at_least"] == 2 * 2 * 6
    assert planned["trials_at_least"] * 5 <= planned["least_seconds"] <= planned["most_seconds"]
    assert planned["plan"]["trials"] == 10
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("m", "batch=1,8"), "Settings to vary follow --sweep"),
        (("m", "--sweep", "bach=1,8"), "Did you mean batch"),
        (("m", "--sweep", "batch=1,x"), "batch takes whole numbers"),
        (("m", "--sweep", "batch"), "not KEY=VALUE"),
        (("m", "--sweep", "batch=1", "batch=8"), "given twice"),
        (("m", "--sweep", "batch=1,8", "-b", "4"), "--batch-size and --sweep batch=... are both given"),
        (("m", "--sweep", "precision=bf16", "--precision", "fp16"), "--precision and --sweep"),
        (("--sweep", "batch=1,8"), "Missing argument"),
        (("m", "--sweep", "batch=" + ",".join(map(str, range(1, 40)))), "at most 32"),
        (("m", "--random-data", "--sweep", "batch=1,8", "--out", "p.json"), "need a folder"),
    ],
)
def test_what_cannot_be_swept_is_exit_2_before_anything_is_opened(call, arguments, words):
    result = call("audit", *arguments)
    assert result.exit_code == 2
    assert words in result.stderr
    assert result.stdout == ""


def test_a_folder_with_an_equals_sign_in_its_name_is_a_model(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lr=0.1").mkdir()
    assert "lr=0.1@b1" in call("audit", "lr=0.1", "--sweep", "batch=1,8", "--dry-run").stdout


def test_a_sweep_is_announced_run_compared_and_written(call, tmp_path):
    result = call(
        "audit", *TINY, *IMAGES, *SHORT, "--sweep", "precision=fp32,bf16", "batch=4,8",
        "--out", tmp_path / "out", "--page", tmp_path / "page.html",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert result.stderr.index("4 rivals") < result.stderr.index("loading")
    assert "Knee of cifar_resnet8 (fp32, eager, channels_last): " in result.stdout
    assert "t equal accuracy" in result.stdout
    files = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert files == [f"cifar_resnet8@{p},b{b}.json" for p in ("bf16", "fp32") for b in (4, 8)]
    page = (tmp_path / "page.html").read_text()
    assert "Knee of cifar_resnet8" in page
    assert "--sweep precision=fp32,bf16 --sweep batch=4,8" in page
    again = call(
        "compare",
        *(tmp_path / "out" / name for name in sorted(files, reverse=True)),
        "--across",
        "precision,batch",
    )
    assert again.exit_code == 0, again.output
    assert "Knee of cifar_resnet8" in again.stdout
    assert call("check", tmp_path / "out").exit_code == 0


def test_a_sweep_as_json_has_profiles_and_comparison(call):
    result = call("audit", *TINY, *IMAGES, *SHORT, "--sweep", "batch=4,8", "--json")
    content = json.loads(result.stdout)
    assert [Profile.model_validate(each).conditions.batch_size for each in content["profiles"]] == [4, 8]
    (knee,) = content["comparison"]["knees"]
    assert knee["batch"] in (None, 4, 8)
    assert (knee["batch"] is None) == ("not settled" in knee["sentence"])
    assert content["comparison"]["across"] == ["batch"]


def test_a_single_setting_is_a_plain_audit(call, tmp_path):
    result = call("audit", *TINY, *IMAGES, *SHORT, "--sweep", "precision=bf16", "--out", tmp_path / "p.json")
    assert result.exit_code == 0, result.output
    assert Profile.model_validate_json((tmp_path / "p.json").read_text()).conditions.precision == "bf16"


def test_compare_across_what_differs(call, tmp_path):
    for name, precision, seconds in (("a", "fp32", 1e-3), ("b", "bf16", 0.6e-3)):
        made = profile("net", seconds=seconds, conditions={"precision": precision})
        (tmp_path / f"{name}.json").write_text(made.to_json())
    files = (tmp_path / "a.json", tmp_path / "b.json")
    refused = call("compare", *files)
    assert refused.exit_code == 2
    assert "--across precision" in refused.stderr
    result = call("compare", *files, "--across", "precision", "--page", tmp_path / "page.html")
    assert result.exit_code == 0, result.output
    assert "net (bf16) beats net" in result.stdout
    assert "What other settings make of net" in (tmp_path / "page.html").read_text()
    assert call("compare", *files, "--across", "precision", "--fail-if", "energy > -50%").exit_code == 1
    assert "Did you mean" in call("compare", *files, "--across", "presision").stderr


def test_where_nothing_can_be_written_is_found_out_before_the_measurement(call):
    result = call("audit", *TINY, *IMAGES, *SHORT, "--out", "/proc/nowhere/p.json")
    assert result.exit_code == 2
    assert "Cannot write" in result.stderr
    assert "loading" not in result.stderr


def test_a_time_for_people():
    assert [duration(seconds) for seconds in (45, 119, 130, 3700, 9000)] == [
        "45 s",
        "119 s",
        "2 min",
        "62 min",
        "2 h 30 min",
    ]
