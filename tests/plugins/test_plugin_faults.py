"""What a plugin can do wrong, which stock pluggy keeps to itself: reported, and the others work on."""

from pathlib import Path
from types import ModuleType

import pluggy
import pytest

from greenadapt import hookimpl, plugins
from greenadapt.errors import OptionError, PluginError
from greenadapt.interfaces import Provider
from greenadapt.plugins.rules import hook_arguments
from tests.fake_plugins import Install, install, installed, offers_x, only_problem, plugin, provider, run

__all__ = ["install"]  # a fixture

SHIPPED = {"blockdrop", "biglittle"}


@pytest.mark.parametrize("marked", [True, False])
def test_a_misspelt_hook_is_reported(marked: bool) -> None:
    def greenadapt_adaptors() -> list[Provider]:
        return []

    function = hookimpl(greenadapt_adaptors) if marked else greenadapt_adaptors
    registry = plugins.load(
        builtins=False,
        entry_points=False,
        extra=[plugin(greenadapt_adaptors=function, greenadapt_adapters=offers_x)],
    )
    problem = only_problem(registry)
    assert "'made'" in problem.happened
    assert "greenadapt_adaptors" in problem.seen
    assert "Did you mean greenadapt_adapters" in problem.todo
    assert registry.plugins[0].problem == str(problem)
    assert set(registry.providers("adapter")) == {"x"}, "its other hooks still work"


def test_any_marked_function_is_a_hook() -> None:
    @hookimpl
    def adapters() -> list[Provider]:
        return []

    made = plugin(adapters=adapters, greenadapt_adapters=offers_x)
    problem = only_problem(plugins.load(builtins=False, entry_points=False, extra=[made]))
    assert "Did you mean greenadapt_adapters" in problem.todo


def test_a_plugin_for_a_newer_host_may_say_so() -> None:
    @hookimpl(optionalhook=True)
    def greenadapt_of_next_year() -> None: ...

    made = plugin(greenadapt_of_next_year=greenadapt_of_next_year, greenadapt_adapters=offers_x)
    assert plugins.load(builtins=False, entry_points=False, extra=[made]).problems == []


def test_a_hook_by_another_name_counts() -> None:
    @hookimpl(specname="greenadapt_adapters")
    def my_adapters() -> list[Provider]:
        return [Provider("mine", "a test", "json:dumps")]

    made = plugin(my_adapters=my_adapters)
    registry = plugins.load(builtins=False, entry_points=False, extra=[made])
    assert registry.problems == []
    assert registry.plugins[0].hooks == ("greenadapt_adapters",)
    assert set(registry.providers("adapter")) == {"mine"}


def test_a_hook_by_another_name_is_asked_once_among_others() -> None:
    @hookimpl(specname="greenadapt_adapters")
    def my_adapters() -> list[Provider]:
        return [Provider("mine", "a test", "json:dumps")]

    extra = [plugin(my_adapters=my_adapters), plugin(__name__="other", greenadapt_adapters=offers_x)]
    registry = plugins.load(builtins=False, entry_points=False, extra=extra)
    assert registry.problems == []
    assert set(registry.providers("adapter")) == {"mine", "x"}


def test_a_forgotten_marker_is_reported() -> None:
    def greenadapt_adapters() -> list[Provider]:
        return []

    made = plugin(greenadapt_adapters=greenadapt_adapters)
    problem = only_problem(plugins.load(builtins=False, entry_points=False, extra=[made]))
    assert "@greenadapt.hookimpl" in problem.todo


def test_a_default_on_an_argument_is_reported() -> None:
    @hookimpl
    def greenadapt_run_audit(request: object = None) -> None: ...

    made = plugin(greenadapt_run_audit=greenadapt_run_audit)
    problem = only_problem(plugins.load(builtins=False, entry_points=False, extra=[made]))
    assert "request" in problem.seen
    assert "greenadapt_run_audit(request)" in problem.todo


def test_an_argument_that_the_hook_does_not_pass_fails_that_plugin_alone() -> None:
    @hookimpl
    def greenadapt_run_audit(plan: object) -> None: ...

    broken = plugin(greenadapt_run_audit=greenadapt_run_audit)
    registry = plugins.load(entry_points=False, extra=[broken])
    assert "plan" in only_problem(registry).seen
    assert [record.status for record in registry.plugins] == ["active", "failed"]
    assert set(registry.providers("adapter")) == SHIPPED


def test_a_plugin_without_hooks_is_reported() -> None:
    problem = only_problem(plugins.load(builtins=False, entry_points=False, extra=[ModuleType("empty")]))
    for hook in hook_arguments():
        assert hook in problem.todo


def test_two_distributions_with_one_entry_point_name_are_reported(install: Install) -> None:
    install("greenadapt-one", provider("from-one"), name="same")
    install("greenadapt-two", provider("from-two"), name="same")
    registry = installed()
    problem = only_problem(registry)
    assert "'same'" in problem.happened
    assert "greenadapt-one" in problem.seen
    assert "greenadapt-two" in problem.seen
    assert set(registry.providers("adapter")) == {"from-one", "from-two"}
    assert [record.problem for record in registry.plugins] == [str(problem)] * 2


def test_two_providers_of_one_name_are_an_error_that_names_both(install: Install) -> None:
    install("greenadapt-one", provider("shared"))
    install("greenadapt-two", provider("shared"), version="2.1")
    registry = installed()
    with pytest.raises(PluginError) as raised:
        registry.providers("adapter")
    assert "'shared'" in raised.value.happened
    assert "'one' (greenadapt-one 1.0)" in raised.value.seen
    assert "'two' (greenadapt-two 2.1)" in raised.value.seen
    with pytest.raises(PluginError):
        registry.find("adapter", "shared")
    assert str(only_problem(registry)) == str(raised.value)


def test_a_clash_with_what_ships_leaves_other_names_alone(install: Install) -> None:
    install("greenadapt-evil", provider("profiles", "greenadapt_publishers"))
    registry = plugins.load()
    with pytest.raises(PluginError, match=r"greenadapt-evil 1\.0.*greenadapt 0\.1\.0"):
        registry.find("publisher", "profiles")
    assert registry.find("publisher", "hf-hub") is not None
    assert "nvml" in registry.providers("meter")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import no_such_module_at_all", "no_such_module_at_all"),
        ("def broken(:", "SyntaxError"),
        ("raise RuntimeError('not today')", "RuntimeError: not today"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("from greenadapt import plugins\nplugins.load.nothing", "AttributeError"),
    ],
)
def test_a_plugin_that_fails_to_import_fails_alone(install: Install, source: str, reason: str) -> None:
    install("greenadapt-broken", source)
    install("greenadapt-sound", provider("sound"))
    registry = installed()
    problem = only_problem(registry)
    assert "'broken' (greenadapt-broken 1.0)" in problem.happened
    assert reason in problem.seen
    assert problem.__cause__ is not None, "kept for tracebacks"
    assert {record.name: record.status for record in registry.plugins} == {
        "sound": "active",
        "broken": "failed",
    }
    assert set(registry.providers("adapter")) == {"sound"}
    with pytest.raises(OptionError, match="failed to load: broken"):
        registry.find("adapter", "of-the-broken-one")


def test_a_plugin_may_not_ask_for_plugins_while_it_is_loaded(install: Install, tmp_path: Path) -> None:
    install("greenadapt-eager", "from greenadapt import plugins\nplugins.registry()\n")
    script = "from greenadapt import plugins\nprint(plugins.registry().problems[0])"
    printed = run(script, tmp_path).stdout
    assert "'eager'" in printed
    assert "while it was being loaded" in printed


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("raise ValueError('no answer')", "ValueError: no answer"),
        ("return None", "returned None"),
        ("return 'blockdrop'", "a str"),
        ("return ['blockdrop']", "a str"),
        ("return [Provider('Two Words', '', 'json:dumps')]", "'Two Words'"),
    ],
)
def test_a_bad_answer_loses_nothing_of_the_others(install: Install, body: str, reason: str) -> None:
    head = "from greenadapt import hookimpl\nfrom greenadapt.interfaces import Provider\n"
    install("greenadapt-bad", f"{head}@hookimpl\ndef greenadapt_adapters():\n    {body}\n")
    install("greenadapt-before", provider("before"), name="a")
    install("greenadapt-after", provider("after"), name="z")
    registry = installed()
    assert reason in only_problem(registry).seen
    assert list(registry.providers("adapter")) == ["before", "after"], "in the order of their names"


def test_a_good_provider_survives_its_bad_neighbour() -> None:
    @hookimpl
    def greenadapt_adapters() -> list[object]:
        return [42, Provider("good", "a test", "json:dumps")]

    made = plugin(greenadapt_adapters=greenadapt_adapters)
    registry = plugins.load(builtins=False, entry_points=False, extra=[made])
    assert "a int" in only_problem(registry).seen
    assert set(registry.providers("adapter")) == {"good"}


def test_a_wrapper_around_providers_is_reported() -> None:
    @hookimpl(wrapper=True)
    def greenadapt_adapters():  # type: ignore[no-untyped-def]
        yield
        return []

    made = plugin(greenadapt_adapters=greenadapt_adapters)
    registry = plugins.load(entry_points=False, extra=[made])
    assert "greenadapt_run_audit" in only_problem(registry).todo
    assert set(registry.providers("adapter")) == SHIPPED


def test_a_plugin_object_that_resists_looking_fails_alone() -> None:
    class Unhashable:
        __hash__ = None  # type: ignore[assignment]
        greenadapt_adapters = staticmethod(offers_x)

    registry = plugins.load(entry_points=False, extra=[Unhashable()])
    assert registry.plugins[-1].status == "failed"
    assert "Unhashable" in only_problem(registry).happened
    assert set(registry.providers("adapter")) == SHIPPED


def test_properties_of_a_plugin_do_notrun() -> None:
    ran = []

    class Lazy:
        greenadapt_adapters = staticmethod(offers_x)

        @property
        def weights(self) -> None:
            ran.append("read")

    registry = plugins.load(builtins=False, entry_points=False, extra=[Lazy()])
    assert set(registry.providers("adapter")) == {"x"}
    if pluggy.__version__ >= "1.7":  # earlier ones read every attribute themselves
        assert ran == []
