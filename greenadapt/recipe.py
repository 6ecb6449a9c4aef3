"""What was done to a model: base + adapter + options + training, as versioned JSON.

A recipe is enough to rebuild the network without its weights; `greenadapt.storage` keeps it beside
them as ``greenadapt.json``.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from greenadapt.errors import RecipeError

RECIPE_VERSION = 2
Weights = Literal["pretrained", "trained", "random", "unknown"]


class Base(BaseModel):
    """The network that was there before: enough to build it again, without its weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = "timm"
    """Prefix of the model source, as in ``timm:resnet50``."""
    name: str
    """The source's own name for the network, with the pretrained tag if it has one."""
    model_args: dict[str, Any] = Field(default_factory=dict)
    """Keyword arguments for the source, such as ``num_classes`` and ``in_chans``."""
    weights: Weights = "pretrained"
    """Where the weights come from: a publisher, a training recorded here, or nowhere; "unknown" of an engine
    that is only called."""

    @property
    def reference(self) -> str:
        """The base as the command line spells it, such as ``timm:resnet50.a1_in1k``."""
        return f"{self.source}:{self.name}"


class Training(BaseModel):
    """One run of `finetune`: what was asked for and what came out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str
    images: int
    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    optimizer: str
    seed: int
    precision: str = "fp32"
    mixup: float = 0.0
    """Alpha of the Beta distribution by which images were mixed; 0 mixed none."""
    teacher_share: float | None = None
    """Share of the loss that the teacher's logits had; None without a teacher, and where it is not known."""
    freeze_norms: bool = False
    """Whether batch norms kept their statistics."""
    adapter: str | None = None
    """The adapter that the network carried; None for a plain network, and in recipes of greenadapt 0.1."""
    input_shape: tuple[int, int, int] | None = None
    """Channels, height and width of the images; None in recipes of greenadapt 0.1."""
    objective: str
    """Name of the loss, such as "cross-entropy", "blockdrop" or "distillation"."""
    teacher: str | None = None
    seconds: float
    joules: float | None = None
    """Energy of the run; None where nothing could measure or estimate it."""
    energy_kind: Literal["measured", "estimated"] | None = None
    val_top1: float | None = None
    """Fraction of validation images classified correctly after the last epoch."""
    curve: list[dict[str, float]] = Field(default_factory=list)
    """One entry per epoch: means over the epoch of whatever the objective reports."""


class Recipe(BaseModel):
    """Base, adapter, options and trainings of one saved model.

    `adapter` is None for a plain network that was only trained.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["greenadapt/recipe"] = "greenadapt/recipe"
    version: int = RECIPE_VERSION
    greenadapt_version: str = ""
    base: Base
    adapter: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    training: list[Training] = Field(default_factory=list)
    data_mean: list[float] | None = None
    data_std: list[float] | None = None

    def to_json(self) -> str:
        """The recipe as indented JSON text, ending in a newline."""
        return self.model_dump_json(indent=2) + "\n"


def parse_recipe(text: str, where: str) -> Recipe:
    """Reads a recipe.

    Args:
        text: JSON text.
        where: What to call it in an error, usually the file's path.

    Raises:
        RecipeError: The text is no recipe, or it was written by a newer version.
    """
    try:
        return Recipe.model_validate_json(_checked_version(text, where))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the top level"
        raise RecipeError(
            f"{where} is not a greenadapt recipe.",
            f"At {place}: {first['msg']}.",
            "Save the model again with greenadapt.save.",
        ) from error


def _checked_version(text: str, where: str) -> str:
    # Before validation proper: a newer recipe may well have fields that this version forbids.
    class Header(BaseModel):
        version: int = RECIPE_VERSION
        greenadapt_version: str = ""

    header = Header.model_validate_json(text)
    if header.version > RECIPE_VERSION:
        raise RecipeError(
            f"{where} was written by a newer greenadapt.",
            f"It is recipe version {header.version} (greenadapt {header.greenadapt_version or 'unknown'}); "
            f"this greenadapt reads up to version {RECIPE_VERSION}.",
            "Run: pip install --upgrade greenadapt",
        )
    return text
