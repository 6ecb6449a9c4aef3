"""wrap, finetune, audit, publish: the commands that work on models, on small ones with random weights."""

import json
import os
import signal
import subprocess
import sys

import pytest

from greenadapt.profile import Profile
from tests.cli.conftest import ROOT

TINY = ("cifar_resnet8", "--no-pretrained", "--num-classes", "10", "--in-chans", "1")
SHORT = ("--quick", "--trials", "2", "--trial-seconds", "0.05", "-b", "16")
SMALL = ("--limit", "64")


@pytest.fixture
def wrapped(call, tmp_path):
    """A saved retrofit."""
    result = call("wrap", *TINY, "-a", "blockdrop", "-o", "keep=0.5", "--out", tmp_path / "thin")
    assert result.exit_code == 0, result.output
    return tmp_path / "thin"


def test_wrap_saves_the_retrofit_and_says_what_changed(call, wrapped):
    from greenadapt import load, recipe_of

    recipe = recipe_of(load(wrapped))
    assert recipe.adapter == "blockdrop"
    assert recipe.options["keep"] == 0.5
    assert "model.safetensors" in {path.name for path in wrapped.iterdir()}


def test_wrap_dry_run_writes_nothing(call, tmp_path):
    result = call("wrap", *TINY, "-a", "blockdrop", "--dry-run", "--out", tmp_path / "thin", "--json")
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    assert content["saved"] is None
    assert content["blocks"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("kep=0.5", "Did you mean keep?"),
        ("keep=half", "keep=half cannot be read"),
        ("keep", "not KEY=VALUE"),
        ("keep=0", "keep"),
    ],
)
def test_a_wrong_option_is_exit_2(call, tmp_path, option, words):
    result = call("wrap", *TINY, "-a", "blockdrop", "-o", option, "--out", tmp_path / "thin")
    assert result.exit_code == 2
    assert words in result.stderr
    assert not (tmp_path / "thin").exists()


def test_an_option_given_twice_is_exit_2(call):
    result = call("wrap", *TINY, "-a", "blockdrop", "-o", "keep=0.5", "-o", "keep=0.6", "--dry-run")
    assert result.exit_code == 2
    assert "given twice" in result.stderr


def test_wrapping_over_a_saved_model_needs_overwrite(call, wrapped):
    again = ("wrap", *TINY, "-a", "blockdrop", "-o", "keep=0.5", "--out", wrapped)
    refused = call(*again)
    assert refused.exit_code == 2
    assert "--overwrite" in refused.stderr
    assert call(*again, "--overwrite").exit_code == 0


def test_a_policy_begins_where_a_saved_path_has_ended(call, tmp_path):
    import torch

    from greenadapt import load

    start = ("wrap", *TINY, "-a", "blockdrop")
    assert call(*start, "-o", "policy=spread", "--seed", "3", "--out", tmp_path / "fixed").exit_code == 0
    options = ("-o", "objective=counterfactual", "--begin-from", tmp_path / "fixed")
    result = call(*start, *options, "--out", tmp_path / "thin")
    assert result.exit_code == 0, result.output
    assert f"begins where {tmp_path / 'fixed'} has ended" in result.stderr
    images = torch.randn(4, 1, 28, 28)
    fixed, thin = load(tmp_path / "fixed").eval(), load(tmp_path / "thin").eval()
    torch.testing.assert_close(thin(images), fixed(images))
    assert thin.greenadapt_paths(images).tolist() == [fixed.greenadapt_path.tolist()] * 4
    refused = call(*start, "--begin-from", tmp_path / "fixed", "--out", tmp_path / "no")
    assert refused.exit_code == 2
    assert "begins with every block kept" in refused.stderr
    assert not (tmp_path / "no").exists()
    refused = call(
        "wrap",
        "cifar_resnet20",
        *TINY[1:],
        "-a",
        "biglittle",
        "--begin-from",
        tmp_path / "fixed",
        "--dry-run",
    )
    assert refused.exit_code == 2
    assert "cannot begin from another retrofit" in refused.stderr


def test_wrapping_twice_is_exit_2(call, wrapped, tmp_path):
    result = call("wrap", wrapped, "-a", "blockdrop", "--out", tmp_path / "twice")
    assert result.exit_code == 2
    assert "wrapped already" in result.stderr


def test_an_unknown_model_is_exit_2_with_a_hint(call):
    result = call("wrap", "resnt18", "-a", "blockdrop", "--dry-run")
    assert result.exit_code == 2
    assert "Did you mean resnet18" in result.stderr


def test_audit_of_one_model_writes_a_profile_that_check_accepts(call, tmp_path):
    out = tmp_path / "p.json"
    result = call(
        "audit", *TINY, "--data", "fashion-mnist-2000", *SMALL, *SHORT, "--out", out, "--place", "FRA"
    )
    assert result.exit_code == 0, result.output
    profile = Profile.model_validate_json(out.read_text())
    assert profile.subject.weights == "random"
    assert profile.quality is not None
    assert profile.carbon[0].place == "FRA"
    assert "time/image" in result.stdout
    assert call("check", out).exit_code == 0


def test_audit_of_several_is_one_run_with_a_table_and_a_page(call, wrapped, tmp_path):
    out = tmp_path / "out"
    result = call("audit", *TINY, wrapped, "--random-data", *SHORT, "--out", out, "--page", out / "page.html")
    assert result.exit_code == 0, result.output
    profiles = [
        Profile.model_validate_json((out / f"{name}.json").read_text()) for name in ("cifar_resnet8", "thin")
    ]
    assert len({profile.run_id for profile in profiles}) == 1
    assert "cifar_resnet8" in result.stdout
    assert "verdict against" in result.stdout
    assert (out / "page.html").exists()


def test_audit_strict_exits_1_unless_valid(call, tmp_path, monkeypatch):
    replay = tmp_path / "replay.json"
    replay.write_text(json.dumps([[0.0, 0.0], [1000.0, 5000.0]]))
    monkeypatch.setenv("GREENADAPT_REPLAY", str(replay))
    arguments = ("audit", *TINY, "--random-data", *SHORT, "--meter", "replay", "--json")
    strict = call(*arguments, "--strict")
    assert json.loads(strict.stdout)["validity"]["status"] == "invalid"
    assert strict.exit_code == 1
    assert call(*arguments).exit_code == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--data", "no-such-folder"), "no-such-folder"),
        (("--random-data", "--meter", "nvmll"), "Did you mean nvml"),
        (("--random-data", "--place", "Atlantis"), "Atlantis"),
        (("--random-data", "--device", "cuda:99"), "cuda:99"),
        (("--random-data", "--trial-seconds", "nan"), "--trial-seconds"),
    ],
)
def test_what_an_audit_cannot_do_is_exit_2_and_leaves_nothing(call, tmp_path, options, words):
    result = call("audit", *TINY, *SHORT, *options, "--out", tmp_path / "p.json")
    assert result.exit_code == 2
    assert words in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_found_out_before_the_measurement(call, tmp_path):
    (tmp_path / "file").write_text("in the way")
    result = call("audit", *TINY, "--random-data", *SHORT, "--out", tmp_path / "file" / "p.json")
    assert result.exit_code == 2
    assert "is no folder" in result.stderr
    assert "trials" not in result.stderr


def test_several_models_need_a_folder(call, wrapped, tmp_path):
    result = call("audit", *TINY, wrapped, "--random-data", *SHORT, "--out", tmp_path / "p.json")
    assert result.exit_code == 2
    assert "need a folder" in result.stderr


def test_images_that_do_not_fit_are_exit_2(call):
    result = call("audit", "cifar_resnet8", "--no-pretrained", "--data", "fashion-mnist-2000", *SMALL, *SHORT)
    assert result.exit_code == 2
    assert "channel" in result.stderr


def test_finetune_saves_a_trained_model_and_removes_its_checkpoint(call, wrapped, tmp_path):
    images = ("--data", "fashion-mnist-2000", "--split", "test", "--val", "fashion-mnist-2000")
    brief = ("--limit", "128", "--epochs", "1", "-b", "64", "--meter", "none")
    result = call("finetune", wrapped, *images, *brief, "--out", tmp_path / "tuned", "--json")
    assert result.exit_code == 0, result.output
    training = json.loads(result.stdout)
    assert training["epochs"] == 1
    assert training["val_top1"] is not None
    assert {path.name for path in tmp_path.iterdir()} == {"thin", "tuned"}
    assert "epoch 1/1" in result.stderr


def test_ctrl_c_keeps_the_last_epoch_and_resume_ends_as_if_nothing_had_happened(call, wrapped, tmp_path):
    images = ("--data", "fashion-mnist-2000", "--split", "test", "--limit", "128")
    settings = ("--epochs", "5", "-b", "64", "--meter", "none", "--json")
    command = ("finetune", wrapped, *images, *settings, "--out", tmp_path / "tuned")
    # One thread, as in this process: two would wait for each other on a busy machine, and round otherwise.
    process = subprocess.Popen(
        [sys.executable, "-m", "greenadapt", *map(str, command)],
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.stderr is not None
    assert any("epoch 2/5" in line for line in process.stderr)
    process.send_signal(signal.SIGINT)
    said = process.stderr.read()
    assert process.wait(timeout=30) == 130
    assert "--resume" in said
    assert "Traceback" not in said
    assert not (tmp_path / "tuned").exists()
    resumed = call(*command, "--resume")
    assert resumed.exit_code == 0, resumed.output
    assert "epoch 1/5" not in resumed.stderr
    whole = call(*command[:-1], tmp_path / "whole")
    curves = [[each["loss"] for each in json.loads(run.stdout)["curve"]] for run in (resumed, whole)]
    assert curves[0] == pytest.approx(curves[1], rel=1e-3)


def test_finetune_into_a_folder_with_something_else_is_refused_before_the_training(call, wrapped, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    result = call("finetune", wrapped, "--data", "fashion-mnist-2000", "--out", tmp_path / "mine")
    assert result.exit_code == 2
    assert "epoch" not in result.stderr
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"
