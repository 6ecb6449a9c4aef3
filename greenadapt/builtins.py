"""What ships with greenadapt, offered through the hooks like any plugin's."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from greenadapt.hookspecs import hookimpl
from greenadapt.interfaces import Provider

if TYPE_CHECKING:
    from greenadapt.interfaces import AuditRequest, AuditResult


@hookimpl
def greenadapt_model_sources() -> list[Provider]:
    """timm, the Hub, folders and checkpoints on this disk, and the networks shipped with the package."""
    return [
        Provider("timm", "timm's networks, by name and pretrained tag", "greenadapt.sources.timm:source"),
        Provider("local-dir", "folders on this disk", "greenadapt.sources.folder:source"),
        Provider("hf-hub", "models on the Hugging Face Hub", "greenadapt.sources.hub:source"),
        Provider("embedded", "small trained networks in this package", "greenadapt.sources.embedded:source"),
        Provider("ibm", "the Big-Little authors' checkpoints", "greenadapt.sources.ibm:source"),
    ]


@hookimpl
def greenadapt_adapters() -> list[Provider]:
    """BlockDrop and Big-Little Net."""
    return [
        Provider(
            "blockdrop",
            "runs fewer blocks on easy images",
            "greenadapt.adapters.blockdrop.adapter:adapter",
        ),
        Provider(
            "biglittle",
            "splits stages into two branches",
            "greenadapt.adapters.biglittle.adapter:adapter",
        ),
    ]


@hookimpl
def greenadapt_meters() -> list[Provider]:
    """Counters first, the estimate after them."""
    return [
        Provider("nvml", "the energy counter of an NVIDIA GPU", "greenadapt.meters.nvml:factory"),
        Provider("rapl", "the energy counter of the processor package", "greenadapt.meters.rapl:factory"),
        Provider(
            "codecarbon", "CodeCarbon's estimate, whole machine", "greenadapt.meters.codecarbon:factory"
        ),
        Provider("replay", "readings recorded earlier, for tests", "greenadapt.meters.replay:factory"),
    ]


@hookimpl
def greenadapt_publishers() -> list[Provider]:
    """A folder of profiles, and the Hub."""
    return [
        Provider("profiles", "a folder of profiles, indexed", "greenadapt.publishers.profiles:publisher"),
        Provider("hf-hub", "a model on the Hugging Face Hub", "greenadapt.publishers.hub:publisher"),
    ]


@hookimpl(trylast=True)
def greenadapt_run_audit(request: AuditRequest) -> AuditResult:
    """Runs the audit; a plugin's wrapper goes around it."""
    # By name, as every provider is: the audit is built on plugins, not plugins on the audit.
    result: AuditResult = importlib.import_module("greenadapt.auditing").run_audit(request)
    return result
