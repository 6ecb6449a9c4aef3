"""What goes wrong on the command line, and what it exits with."""

import signal
import subprocess
import sys
import time

import click
import pytest

from greenadapt.cli import cli
from greenadapt.cli.group import SHIPPED, Commands
from greenadapt.errors import DataError
from tests.cli.conftest import ROOT


def _add(name, function):
    cli.add_command(click.Command(name, callback=function))


@pytest.fixture
def failing(monkeypatch):
    """Commands that fail, there for one test."""
    cli.list_commands(click.Context(cli))
    monkeypatch.setattr(cli, "commands", dict(cli.commands))

    def raise_ours():
        raise DataError("It happened.", "This was seen.", "Do that.")

    def raise_unexpected():
        raise ZeroDivisionError("by zero")

    def interrupt():
        raise KeyboardInterrupt

    _add("ours", raise_ours)
    _add("unexpected", raise_unexpected)
    _add("interrupted", interrupt)


@pytest.mark.usefixtures("failing")
def test_an_error_is_three_lines_on_stderr_and_exit_2(call):
    result = call("ours")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "It happened.\nThis was seen.\nDo that.\n"


@pytest.mark.usefixtures("failing")
def test_a_traceback_is_shown_only_when_asked_for(call):
    assert "Traceback" in call("-vv", "ours").stderr
    assert "Traceback" not in call("-v", "ours").stderr


def test_the_verbosity_may_stand_after_the_command(call, tmp_path):
    assert "Traceback" in call("show", tmp_path / "missing.json", "-vv").stderr


@pytest.mark.usefixtures("failing")
def test_an_error_nobody_foresaw_is_exit_2_and_says_how_to_report_it(call):
    result = call("unexpected")
    assert result.exit_code == 2
    assert "ZeroDivisionError: by zero" in result.stderr
    assert "-vv" in result.stderr
    assert "Traceback" not in result.stderr
    assert "Traceback" in call("-vv", "unexpected").stderr


@pytest.mark.usefixtures("failing")
def test_ctrl_c_is_exit_130(call):
    assert call("interrupted").exit_code == 130


def test_ctrl_c_in_a_real_process_is_exit_130(tmp_path):
    program = (
        "import sys, time, click; from greenadapt.cli import cli, main\n"
        "@cli.command()\n"
        "def wait():\n    print('ready', flush=True); time.sleep(30)\n"
        "sys.argv = ['greenadapt', 'wait']; main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    started = time.monotonic()
    _, stderr = process.communicate(timeout=20)
    assert process.returncode == 130
    assert time.monotonic() - started < 10
    assert "Traceback" not in stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("no-such-command",),
        ("compare", "only-one.json"),
        ("audit", "resnet18", "--trials", "1"),
        ("audit", "resnet18", "--precision", "fp8"),
        ("audit", "resnet18", "--data", "x", "--random-data"),
        ("audit", "resnet18", "--random-data", "--size", "96"),
        ("wrap", "resnet18", "-a", "blockdrop"),
        ("finetune", "resnet18"),
        ("show",),
    ],
    ids=" ".join,
)
def test_a_wrong_call_is_exit_2(call, arguments):
    result = call(*arguments)
    assert result.exit_code == 2
    assert "Usage:" in result.stderr
    assert result.stdout == ""


def test_a_misspelt_command_gets_a_suggestion(call):
    assert "audit" in call("adit").stderr


def test_version(call):
    from greenadapt import __version__

    assert call("--version").stdout == f"greenadapt {__version__}\n"


def test_a_plugin_adds_a_command_but_cannot_take_the_name_of_one(monkeypatch):
    """The group asks the plugins of this process; here they are a registry with one plugin."""
    from importlib import metadata

    from click.testing import CliRunner

    from greenadapt import hookimpl, plugins

    class Plugin:
        @hookimpl
        def greenadapt_commands(self, cli):
            cli.add_command(click.Command("mine", callback=lambda: click.echo("mine ran")))
            cli.add_command(click.Command("audit", callback=lambda: click.echo("stolen")))

    registry = plugins.load(entry_points=False, extra=[Plugin()])
    entry = metadata.EntryPoint("mine", "mine", "greenadapt")
    monkeypatch.setattr(metadata, "entry_points", lambda group: metadata.EntryPoints([entry]))
    monkeypatch.setattr(plugins, "registry", lambda: registry)
    group = Commands(name="greenadapt")
    assert CliRunner().invoke(group, ["mine"]).stdout == "mine ran\n"
    assert "mine" in CliRunner().invoke(group, ["--help"]).stdout
    assert "stolen" not in CliRunner().invoke(group, ["audit", "--help"]).stdout
    assert any("`greenadapt audit`" in str(problem) for problem in registry.problems)
    assert list(group.commands)[: len(SHIPPED)] == list(SHIPPED)
