"""The plugin loader: what ships, looking up, choosing, and the hooks that are no providers."""

import sys
import threading
from types import SimpleNamespace

import click
import pytest

from greenadapt import hookimpl, plugins
from greenadapt.errors import ModelError, OptionError
from tests.fake_plugins import Install, install, installed, offers_x, only_problem, plugin, provider, run

__all__ = ["install"]  # a fixture

PROVIDERS = {
    "adapter": {"blockdrop", "biglittle"},
    "meter": {"nvml", "rapl", "codecarbon", "replay"},
    "model_source": {"timm", "local-dir", "hf-hub", "embedded", "ibm"},
    "publisher": {"profiles", "hf-hub"},
}

# What ships.


def test_builtins_come_through_the_hooks() -> None:
    registry = plugins.load(entry_points=False)
    assert registry.problems == []
    assert [record.label for record in registry.plugins] == ["'builtins' (greenadapt 0.1.0)"]
    for kind, names in PROVIDERS.items():
        assert set(registry.providers(kind)) == names  # type: ignore[arg-type]
    assert "greenadapt_run_audit" in registry.plugins[0].hooks


def test_meters_come_measuring_ones_first() -> None:
    names = list(plugins.load(entry_points=False).providers("meter"))
    assert names.index("nvml") < names.index("rapl") < names.index("codecarbon")


def test_every_target_that_ships_exists() -> None:
    registry = plugins.load(entry_points=False)
    for kind in PROVIDERS:
        for offered in registry.providers(kind).values():  # type: ignore[arg-type]
            assert offered.load() is not None, offered.target
    assert plugins.adapter("blockdrop") is registry.find("adapter", "blockdrop")


def test_nothing_is_there_without_builtins() -> None:
    registry = plugins.load(builtins=False, entry_points=False)
    assert registry.plugins == []
    assert registry.providers("adapter") == {}


def test_listing_imports_nothing_heavy() -> None:
    script = (
        "import sys\nfrom greenadapt import plugins\n"
        "for offered in (plugins.adapters, plugins.meters, plugins.model_sources, plugins.publishers):\n"
        "    assert offered()\n"
        "heavy = {'torch', 'timm', 'scipy', 'codecarbon', 'pynvml', 'huggingface_hub', 'numpy'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    assert run(script).stdout.strip() == "[]"


# Looking up.


def test_find_imports_the_object() -> None:
    import json

    registry = plugins.load(builtins=False, entry_points=False, extra=[plugin(greenadapt_adapters=offers_x)])
    assert registry.find("adapter", "x") is json.dumps


@pytest.mark.parametrize(
    ("kind", "typed", "meant", "error"),
    [
        ("adapter", "blockdrp", "blockdrop", OptionError),
        ("meter", "nvlm", "nvml", OptionError),
        ("model_source", "tim", "timm", ModelError),
        ("publisher", "profile", "profiles", OptionError),
    ],
)
def test_an_unknown_name_is_an_error_with_what_is_there(
    kind: str, typed: str, meant: str, error: type[Exception]
) -> None:
    with pytest.raises(error) as raised:
        plugins.load(entry_points=False).find(kind, typed)  # type: ignore[arg-type]
    assert str(raised.value).splitlines()[-1].startswith("Did you mean " + meant)
    for name in PROVIDERS[kind]:
        assert name in raised.value.seen  # type: ignore[attr-defined]


def test_lookups_by_name_share_one_registry() -> None:
    assert plugins.registry() is plugins.registry()
    assert plugins.adapters() == plugins.registry().providers("adapter")
    assert plugins.model_source("embedded") is plugins.find("model_source", "embedded")
    assert plugins.meter("nvml") is plugins.find("meter", "nvml")
    assert plugins.publisher("profiles") is plugins.find("publisher", "profiles")
    assert plugins.hook() is plugins.registry().manager.hook


def test_threads_get_the_same_registry() -> None:
    script = (
        "import threading\nfrom greenadapt import plugins\n"
        "start, got = threading.Barrier(8), []\n"
        "def ask():\n    start.wait()\n    got.append(plugins.registry())\n"
        "threads = [threading.Thread(target=ask) for _ in range(8)]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]\n"
        "print(len(got), len(set(map(id, got))))\n"
    )
    assert run(script).stdout.split() == ["8", "1"]


# Choosing plugins.


def test_an_empty_selection_loads_none_of_the_installed(install: Install) -> None:
    install("greenadapt-one", provider("one"))
    registry = installed(selection="")
    assert [(record.name, record.status) for record in registry.plugins] == [("one", "disabled")]
    assert registry.providers("adapter") == {}
    assert registry.problems == []
    assert "greenadapt_one" not in sys.modules


def test_a_selection_loads_those(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abc":
        install(f"greenadapt-{name}", provider(f"from-{name}"))
    monkeypatch.setenv("GREENADAPT_PLUGINS", " a, c ")
    registry = installed()
    assert set(registry.providers("adapter")) == {"from-a", "from-c"}
    assert {record.name: record.status for record in registry.plugins}["b"] == "disabled"
    assert registry.problems == []


def test_an_unset_selection_loads_all(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("greenadapt-one", provider("one"))
    monkeypatch.delenv("GREENADAPT_PLUGINS", raising=False)
    record = installed().plugins[0]
    assert (record.distribution, record.version, record.hooks, record.status, record.problem) == (
        "greenadapt-one",
        "1.0",
        ("greenadapt_adapters",),
        "active",
        None,
    )


def test_an_unknown_name_in_the_selection_is_reported(install: Install) -> None:
    install("greenadapt-wattmeter", provider("watts", "greenadapt_meters"))
    registry = installed(selection="watmeter")
    problem = only_problem(registry)
    assert "'watmeter'" in problem.happened
    assert "wattmeter" in problem.seen
    assert problem.todo == "Did you mean wattmeter?"
    assert registry.providers("meter") == {}


# The hooks that are no providers.


def test_a_plugin_wraps_the_audit_that_ships(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    auditing = SimpleNamespace(run_audit=lambda request: calls.append(request) or ["profile"])
    monkeypatch.setitem(sys.modules, "greenadapt.auditing", auditing)  # type: ignore[arg-type]

    @hookimpl(wrapper=True)
    def greenadapt_run_audit(request):  # type: ignore[no-untyped-def]
        calls.append("clocks locked")
        result = yield
        calls.append("clocks freed")
        return result

    made = plugin(greenadapt_run_audit=greenadapt_run_audit)
    registry = plugins.load(entry_points=False, extra=[made])
    assert registry.problems == []
    assert registry.hook.greenadapt_run_audit(request="request") == ["profile"]
    assert calls == ["clocks locked", "request", "clocks freed"]


def test_a_plugin_adds_commands_and_takes_no_name_that_is_taken() -> None:
    shipped, added = click.Command("audit"), click.Command("weigh")

    @hookimpl
    def greenadapt_commands(cli: click.Group) -> None:
        cli.add_command(added)
        cli.add_command(click.Command("audit"))

    @hookimpl(specname="greenadapt_commands")
    def fails(cli: click.Group) -> None:
        raise RuntimeError("no commands")

    cli = click.Group(commands={"audit": shipped})
    registry = plugins.load(
        builtins=False,
        entry_points=False,
        extra=[plugin(greenadapt_commands=greenadapt_commands), plugin(__name__="other", fails=fails)],
    )
    registry.add_commands(cli)
    assert cli.commands == {"audit": shipped, "weigh": added}
    assert sorted(problem.seen for problem in registry.problems) == [
        "RuntimeError: no commands",
        "`greenadapt audit` was there before, and stays what it was.",
    ]


def test_a_slow_first_plugin_holds_back_no_second_registry() -> None:
    """`load` keeps nothing in common between registries."""
    results: list[plugins.Registry] = []
    threads = [
        threading.Thread(target=lambda: results.append(plugins.load(entry_points=False))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(registry.manager) for registry in results}) == 4
