"""README.md of a saved model: what it is, how to load it, what it costs, how it was trained.

Plain Python, so that `greenadapt.save` works without the extra "pages".
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from greenadapt.comparison.table import conditions_line
from greenadapt.profile import Profile
from greenadapt.profile_text import profile_facts
from greenadapt.recipe import Recipe, Training
from greenadapt.tables import Column, markdown_table
from greenadapt.units import with_prefix

_SHOWN_EPOCHS = 8


def model_card(recipe: Recipe, profile: Profile | None) -> str:
    """The card of a saved model.

    Args:
        recipe: What was done to the model.
        profile: What an audit found, if there was one.

    Returns:
        Markdown with the front matter that the Hugging Face Hub reads.
    """
    parts = [_front_matter(recipe, profile), f"# {_title(recipe, profile)}", _what_it_is(recipe)]
    parts += ["## Load it", _loading(recipe, profile)]
    parts += ["## What an inference costs", *_costs(profile)]
    if recipe.training:
        parts += ["## How it was trained", *(_training(run) for run in recipe.training)]
    notes = list(_notes(recipe, profile))
    if notes:
        parts += ["## Before you rely on it", "\n".join(f"- {note}" for note in notes)]
    return "\n\n".join(parts) + "\n"


def _title(recipe: Recipe, profile: Profile | None) -> str:
    if profile is not None:
        return profile.subject.name
    return recipe.base.name + (f" with {recipe.adapter}" if recipe.adapter else "")


def _front_matter(recipe: Recipe, profile: Profile | None) -> str:
    tags = ["image-classification", "energy-efficiency", *([recipe.adapter] if recipe.adapter else [])]
    lines = ["---", "library_name: greenadapt", "pipeline_tag: image-classification", "tags:"]
    lines += [f"- {tag}" for tag in tags]
    base = _base_on_the_hub(recipe)
    if base is not None:
        lines.append(f"base_model: {json.dumps(base)}")
    if profile is not None and profile.quality is not None:
        quality = profile.quality
        # A quoted JSON string is a quoted YAML string, whatever a name contains.
        lines += [
            "model-index:",
            f"- name: {json.dumps(_title(recipe, profile))}",
            "  results:",
            "  - task:",
            "      type: image-classification",
            "    dataset:",
            f"      type: {json.dumps(quality.dataset)}",
            f"      name: {json.dumps(quality.dataset)}",
            "    metrics:",
            "    - type: accuracy",
            f"      value: {quality.top1:.6g}",
        ]
    return "\n".join([*lines, "---"])


def _base_on_the_hub(recipe: Recipe) -> str | None:
    """The base's repository on the Hub, if its weights came from there."""
    if recipe.base.weights != "pretrained":
        return None
    if recipe.base.source == "timm" and "." in recipe.base.name:
        return f"timm/{recipe.base.name}"
    return recipe.base.name if recipe.base.source == "hf-hub" else None


def _what_it_is(recipe: Recipe) -> str:
    base = f"`{recipe.base.reference}`"
    if recipe.adapter is None:
        return f"{base}, a plain network."
    options = ", ".join(f"{name}={value!r}" for name, value in recipe.options.items())
    with_options = f" (`{options}`)" if options else ""
    return f"{base}, retrofitted with `{recipe.adapter}`{with_options} to spend less per inference."


def _loading(recipe: Recipe, profile: Profile | None) -> str:
    shape = ", ".join(str(side) for side in profile.conditions.input_shape) if profile else "C, H, W"
    code = [
        "```python",
        "import greenadapt",
        'model = greenadapt.load("path/to/this/folder")',
        f"logits = model(images)  # float32, [B, {shape}]",
        "```",
    ]
    text = "\n".join(code)
    if recipe.data_mean and recipe.data_std:
        text += f"\n\nImages in [0, 1] are normalised with mean {recipe.data_mean} and std {recipe.data_std}."
    return text


def _costs(profile: Profile | None) -> Iterator[str]:
    if profile is None:
        yield "Not audited yet: `greenadapt audit path/to/this/folder --data IMAGES` measures it."
        return
    yield f"On {conditions_line(profile.conditions)}:"
    columns = [Column("what", "left"), Column("value", "left")]
    yield markdown_table(
        columns, [[name, text.replace("\n", "<br>")] for name, text in profile_facts(profile)]
    )
    yield "The readings are in `profile.json`; `greenadapt check path/to/this/folder` recomputes the figures."


def _training(run: Training) -> str:
    teacher = f", taught by `{run.teacher}`" if run.teacher else ""
    spent = "unknown" if run.joules is None else f"{with_prefix(run.joules, 'J')} ({run.energy_kind})"
    settings = (
        f"batch {run.batch_size}, {run.optimizer}, learning rate {run.learning_rate:g}, "
        f"weight decay {run.weight_decay:g}, seed {run.seed}"
    )
    text = (
        f"{run.objective}{teacher}: {run.epochs} epochs of {run.images:,} images of {run.dataset}, "
        f"{settings}. It took {run.seconds:,.0f} s; energy: {spent}."
    )
    return f"{text}\n\n{_curve(run)}" if run.curve else text


def _curve(run: Training) -> str:
    """Some epochs, evenly spaced, the first and the last among them."""
    names = list(dict.fromkeys(name for epoch in run.curve for name in epoch))
    last = len(run.curve) - 1
    steps = min(last, _SHOWN_EPOCHS - 1)
    shown = sorted({round(last * step / steps) for step in range(steps + 1)}) if steps else [0]
    columns = [Column("epoch"), *(Column(name.replace("_", " ")) for name in names)]
    rows = [[str(epoch + 1), *(_value(name, run.curve[epoch]) for name in names)] for epoch in shown]
    return markdown_table(columns, rows)


def _value(name: str, epoch: dict[str, float]) -> str:
    if name not in epoch:
        return ""
    return f"{epoch[name] * 100:.2f} %" if name.endswith("top1") else f"{epoch[name]:.4g}"


def _notes(recipe: Recipe, profile: Profile | None) -> Iterator[str]:
    if recipe.adapter is not None:
        yield "Without greenadapt installed it does not load, rather than load as the full-cost network."
        if not recipe.training:
            yield "It was not trained after the retrofit: expect it to be less accurate than its base."
    if recipe.base.weights == "random":
        yield "Its weights are random."
    if profile is None:
        return
    if profile.method.kind == "estimated":
        yield "Its energy is estimated as constant power x time; nothing measured it."
    if profile.validity.status != "valid":
        yield f"The audit is {profile.validity.status}."
    yield from profile.validity.reasons
    if profile.quality is None:
        yield "Its accuracy was not measured."
