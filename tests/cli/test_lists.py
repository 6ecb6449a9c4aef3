import json

import pytest


def test_every_kind_of_provider_is_listed(call):
    names = {
        kind: [each["name"] for each in json.loads(call(kind, "list", "--json").stdout)]
        for kind in ("adapters", "meters")
    }
    assert {"blockdrop", "biglittle"} <= set(names["adapters"])
    assert names["meters"][:3] == ["nvml", "rapl", "codecarbon"]


def test_a_table_has_a_line_per_adapter(call):
    lines = call("adapters", "list").stdout.splitlines()
    assert [line.split()[0] for line in lines[2:]] == ["blockdrop", "biglittle"]


def test_the_options_of_an_adapter_are_listed_with_their_defaults(call):
    options = json.loads(call("adapters", "list", "--adapter", "blockdrop", "--json").stdout)
    assert any(option["name"] == "keep" for option in options)
    assert "keep" in call("adapters", "list", "--adapter", "blockdrop").stdout


@pytest.mark.parametrize("adapter", ["blockdrop", "biglittle"])
def test_every_option_says_what_it_means(call, adapter):
    options = json.loads(call("adapters", "list", "--adapter", adapter, "--json").stdout)
    assert all(option["meaning"].endswith(".") for option in options)
    assert options[-1]["meaning"].split()[0] in call("adapters", "list", "--adapter", adapter).stdout


def test_an_unknown_adapter_is_an_error_with_a_hint(call):
    result = call("adapters", "list", "--adapter", "blokdrop")
    assert result.exit_code == 2
    assert "Did you mean blockdrop?" in result.stderr


def test_plugins_are_listed_with_their_hooks(call):
    record = json.loads(call("plugins", "list", "--json").stdout)[0]
    assert record["name"] == "builtins"
    assert "greenadapt_meters" in record["hooks"]
    assert "run_audit" in call("plugins", "list").stdout


def test_models_are_listed_with_the_prefix_that_opens_them(call):
    names = json.loads(call("models", "list", "cifar_resnet2*", "--source", "timm", "--json").stdout)
    assert names == ["timm:cifar_resnet20"]


def test_a_pattern_that_matches_no_model_is_an_error(call):
    result = call("models", "list", "no_such_net*", "--source", "timm")
    assert result.exit_code == 2
    assert "No network matches 'no_such_net*'." in result.stderr
    assert result.stdout == ""
