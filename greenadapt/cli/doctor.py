"""``greenadapt doctor``: what can be measured here, and how to get what cannot."""

from __future__ import annotations

from textwrap import fill
from typing import Any

import click

from greenadapt.cli import output
from greenadapt.cli.options import json_option
from greenadapt.tables import Column

_EXTRAS = {"train": ("accelerate",), "pages": ("altair", "vl_convert", "jinja2")}


@click.command()
@json_option
def doctor(as_json: bool) -> None:
    """Say what can be measured here, and how to get what cannot."""
    report = _report()
    if as_json:
        output.result_json(report)
        return
    output.result("\n".join(_lines(report)))
    output.result("")
    columns = [Column(title, "left") for title in ("meter", "device", "works", "why not, and the way out")]
    rows = [
        [each["name"], each["device"], "no" if each["why_not"] else "yes", fill(each["why_not"] or "", 72)]
        for each in report["meters"]
    ]
    output.result_table(columns, rows)
    for problem in report["problems"]:
        output.result(f"\n{problem}")


def _report() -> dict[str, Any]:
    from greenadapt import machine, plugins
    from greenadapt.plugins.registry import Registry

    device = machine.resolve_device("auto")
    registry: Registry = plugins.registry()
    meters = [
        _meter(name, each) for name in registry.providers("meter") for each in dict.fromkeys((device, "cpu"))
    ]
    here = machine.describe_machine()
    return {
        "device": device,
        "device_name": machine.device_name(device),
        "machine": here.model_dump(mode="json"),
        "extras": {extra: _installed(modules) for extra, modules in _EXTRAS.items()},
        "meters": meters,
        "energy": _energy(meters, device),
        "problems": [*_shadowing(), *(str(problem) for problem in registry.problems)],
    }


def _lines(report: dict[str, Any]) -> list[str]:
    here = report["machine"]
    versions = [f"{name} {here[name]}" for name in ("python", "torch", "timm", "codecarbon")]
    extras = [f"{extra} {'yes' if there else 'no'}" for extra, there in report["extras"].items()]
    return [
        f"greenadapt  {here['greenadapt']}, {', '.join(versions)}",
        f"machine     {here['cpu']}, {here['cores']} cores, {here['os']}",
        f"device      {report['device']} ({report['device_name']})",
        f"extras      {', '.join(extras)}   (pip install 'greenadapt[all]' brings all)",
        f"energy      {report['energy']}",
    ]


def _meter(name: str, device: str) -> dict[str, Any]:
    from greenadapt import plugins
    from greenadapt.errors import GreenadaptError

    try:
        why_not = plugins.meter(name).why_not(device)
    except GreenadaptError as error:
        why_not = str(error)
    return {"name": name, "device": device, "why_not": why_not}


def _energy(meters: list[dict[str, Any]], device: str) -> str:
    """What an audit on this device would say about joules."""
    from greenadapt.auditing.instruments import open_instrument

    instrument = open_instrument("auto", device)
    try:
        info = instrument.info
    finally:
        instrument.close()
    if info is None:
        return f"unknown: {instrument.why_not}"
    if info.kind == "estimated":
        return f"estimated: constant power x time ({info.name}); comparisons give a verdict on latency alone"
    return f"measured ({info.name}, {info.scope})"


def _installed(modules: tuple[str, ...]) -> bool:
    from importlib.util import find_spec

    return all(find_spec(module) is not None for module in modules)


def _shadowing() -> list[str]:
    """Whether an old package called pynvml hides NVIDIA's module of that name."""
    from greenadapt.machine import installed_version

    version = installed_version("pynvml")
    if version is None or int(version.partition(".")[0]) >= 12:
        return []
    return [
        f"The package pynvml {version} hides NVIDIA's module of the same name.\n"
        "greenadapt needs the module that nvidia-ml-py brings.\n"
        "Run: pip uninstall pynvml && pip install --force-reinstall nvidia-ml-py"
    ]
