"""``greenadapt quickstart``: the main job on the embedded networks and images, in a minute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click

from greenadapt.cli import output
from greenadapt.cli.audit import hand_over, run_audit
from greenadapt.cli.data import open_data
from greenadapt.cli.options import json_option

if TYPE_CHECKING:
    from greenadapt.profile import Profile

_NEXT = """\
Next, on a model of your own (what can be measured here: greenadapt doctor):
  greenadapt wrap resnet50.a1_in1k -a blockdrop --out out/thin
  greenadapt finetune out/thin --data FOLDER --teacher base
  greenadapt audit resnet50.a1_in1k out/thin-finetuned --data FOLDER --out out/mine"""


@click.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("out/quickstart"),
    show_default=True,
    help="Folder for the profiles and the page.",
)
@click.option("--full", is_flag=True, help="A full plan instead of a quick one: about ten minutes.")
@click.option("--publish", "shelf", metavar="FOLDER", help="Also publish to a folder of profiles.")
@json_option
def quickstart(out: Path, full: bool, shelf: str | None, as_json: bool) -> None:
    """Compare the embedded networks, with a page: one minute.

    Audits a trained network, its two retrofits and two plain smaller networks, and compares them.
    Everything it needs ships with the package. A quick plan: 6 trials of half a second a network.
    """
    from greenadapt import models
    from greenadapt.embedded import DATA, MODELS, SOURCE
    from greenadapt.profile import Plan
    from greenadapt.storage import check_place

    check_place(out / "comparison.html")
    networks = {name: models.open_model(f"{SOURCE}:{name}") for name in MODELS}
    images = open_data(DATA, next(iter(networks.values())))
    # Five networks have to warm up within the minute; the discarded block does the rest.
    plan = Plan() if full else Plan.quick_look(warmup_seconds=1.0)
    output.say(
        f"A {'full' if full else 'quick'} plan: {plan.trials} trials of {plan.trial_seconds:g} s for each of "
        f"{len(networks)} networks, interleaved, on the {len(images):,} images of {DATA}."
    )
    profiles = run_audit(networks, images, plan, roles=dict(MODELS))
    hand_over(profiles, out=out, page=_page(out), as_json=as_json)
    if shelf is not None:
        _publish(networks, profiles, shelf)
    output.say(f"\n{_NEXT}")


def _publish(networks: Mapping[str, Any], profiles: Sequence[Profile], shelf: str) -> None:
    """Publishes each profile the way a user would: from a finished folder."""
    from greenadapt import models
    from greenadapt.publishing import publish

    with TemporaryDirectory() as folder:
        for (name, network), profile in zip(networks.items(), profiles, strict=True):
            finished = models.save(network, Path(folder) / name, profile=profile)
            output.say(f"Published: {publish(finished, to=f'profiles:{shelf}')}")


def _page(out: Path) -> Path | None:
    """Where the page goes; None, with a word on stderr, if the packages that draw it are not installed."""
    from greenadapt.errors import MissingExtraError
    from greenadapt.pages import check_installed

    try:
        check_installed()
    except MissingExtraError as error:
        output.say(str(error))
        return None
    return out / "comparison.html"
