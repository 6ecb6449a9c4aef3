"""``greenadapt convert-checkpoint``: a published checkpoint of the Big-Little authors as a saved model."""

from __future__ import annotations

from pathlib import Path

import click

from greenadapt.cli import output
from greenadapt.cli.options import json_option


@click.command("convert-checkpoint")
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder to save the network in.")
@click.option("--overwrite", is_flag=True, help="Replace a saved model that is in the folder already.")
@json_option
def convert_checkpoint(checkpoint: Path, out: Path, overwrite: bool, as_json: bool) -> None:
    """Save a published Big-Little checkpoint as safetensors.

    CHECKPOINT is a file such as ImageNet-bLResNet-50-a2-b4.pth.tar, from https://github.com/IBM/BigLittleNet.
    No code in it is run. Which network it is, is told from its tensors.
    """
    from greenadapt import models, storage

    storage.check_writable(out, overwrite)
    model = models.open_model(f"ibm:{checkpoint}")
    base = models.recipe_of(model).base
    saved = models.save(model, out, overwrite=overwrite)
    parameters = sum(p.numel() for p in model.parameters())
    if as_json:
        content = {"model": base.reference, "model_args": base.model_args, "parameters": parameters}
        output.result_json({**content, "saved": str(saved)})
        return
    arguments = ", ".join(f"{name}={value}" for name, value in base.model_args.items())
    output.result(f"{base.name}, {arguments}: {parameters:,} parameters")
    output.say(f"Saved in {saved}. Next: greenadapt audit {saved}")
