"""Regenerates every generated page: ``make docs``, or ``python docs/generate.py``.

    README.md                            the table between its markers     <- profiles/
    docs/how-to/train-the-embedded-…     the table between its markers     <- greenadapt/embedded/, profiles/
    docs/reference/cli.md                the help pages                    <- greenadapt.cli
    docs/reference/api.md                the public names                  <- their docstrings
    docs/reference/hooks.md              hooks, and what they give         <- greenadapt.hookspecs, interfaces
    docs/reference/profile.schema.json   JSON Schema of a profile          <- greenadapt.profile

A test compares what `pages` gives with the files, so that none of them is ever typed.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from docstrings import docstring, fields_of, section, signature

import greenadapt
from greenadapt import Profile
from greenadapt.profile_files import read_profile

ROOT = Path(__file__).resolve().parent.parent
PROFILES = ROOT / "profiles"
MARKER = re.compile(r"(<!-- table:\w+ -->\n).*?(<!-- /table:\w+ -->)", re.DOTALL)
EMPTY = "*No profile has been published yet: `make bench` audits the embedded networks and fills this table.*"
_ROLES = ("base", "retrofit", "rival")
_PARTS = (
    "adapters.blockdrop.adapter.BlockDrop",
    "adapters.blockdrop.beginning.begin_from",
    "adapters.blockdrop.fixed.find_best_path",
    "adapters.blockdrop.fixed.BestPath",
    "adapters.blockdrop.payback.payback",
    "adapters.blockdrop.payback.Payback",
    "adapters.blockdrop.static.static_path",
    "adapters.blockdrop.static.Router",
    "adapters.side_by_side.side_by_side",
    "adapters.side_by_side.SideBySide",
)
_PARTS_HEAD = """\
What a network that BlockDrop wraps has beside its own, and what can be done with it; `side_by_side` times any
two networks, such as a base and its Big-Little conversion. `wrap`, `finetune` and `audit` do without them."""
_API_HEAD = """\
Generated from the docstrings by `make docs`. Energy is in joules, mass in grams, time in seconds; what is
unknown is `None`. Names are imported on first use: `import greenadapt` imports no torch."""


def pages(root: Path = ROOT) -> dict[Path, str]:
    """Every generated page as it ought to be, by path.

    Args:
        root: The repository, for the text around the README's table.
    """
    readme = root / "README.md"
    training = root / "docs" / "how-to" / "train-the-embedded-models.md"
    reference = root / "docs" / "reference"
    return {
        readme: with_table(readme.read_text(encoding="utf-8"), table(root / "profiles")),
        training: with_table(training.read_text(encoding="utf-8"), trained_table(root / "profiles")),
        reference / "cli.md": cli_page(),
        reference / "api.md": api_page(),
        reference / "hooks.md": hooks_page(),
        reference / "profile.schema.json": json.dumps(profile_schema(), indent=2, ensure_ascii=False) + "\n",
    }


def with_table(page: str, text: str) -> str:
    """A page with another table between its markers."""
    return MARKER.sub(lambda found: f"{found[1]}{text}\n{found[2]}", page)


def table(folder: Path) -> str:
    """The published profiles in Markdown: one table per interleaved run, measured ones first."""
    runs: dict[str, list[Profile]] = {}
    for file in sorted(folder.glob("*.json")):
        if file.name != "index.json":
            profile = Profile.model_validate_json(file.read_text(encoding="utf-8"))
            runs.setdefault(profile.run_id, []).append(profile)
    tables = [
        greenadapt.compare(*sorted(run, key=_place)).to_markdown().strip()
        for run in sorted(runs.values(), key=_rank)
        if len(run) > 1
    ]
    return "\n\n".join(tables) or EMPTY


def trained_table(folder: Path) -> str:
    """The embedded networks: what their trainings came to, and what an image costs."""
    import greenadapt.embedded as embedded
    from greenadapt.storage import read_recipe
    from greenadapt.tables import Column, markdown_table

    macs = {
        profile.subject.name: profile.subject.macs_per_image
        for profile in (read_profile(file) for file in sorted(folder.glob("*--*.json")))
        if profile.subject.weights_sha256 == _embedded_sha256(profile.subject.name)
    }
    base = macs.get(next(iter(embedded.MODELS)))
    rows = []
    for name, role in embedded.MODELS.items():
        training = read_recipe(ROOT / "greenadapt" / "embedded" / name).training[-1]
        flops = f"{2 * macs[name] / 1e6:.1f} M" if macs.get(name) else "not audited"
        share = f"{macs[name] / base:.1%}" if base and macs.get(name) else ""
        seconds = f"{training.seconds:,.0f} s"
        rows.append([name, role, str(training.epochs), f"{training.val_top1:.2%}", flops, share, seconds])
    titles = ("network", "role", "epochs", "top-1", "FLOPs/image", "of the base's", "training")
    return markdown_table(
        [Column(title, "left" if title in ("network", "role") else "right") for title in titles], rows
    )


def _embedded_sha256(name: str) -> str | None:
    from greenadapt.storage import is_model_folder, read_tensors, weights_sha256

    folder = ROOT / "greenadapt" / "embedded" / name
    return weights_sha256(read_tensors(folder)) if is_model_folder(folder) else None


def _rank(run: list[Profile]) -> tuple[bool, str, str]:
    return run[0].method.kind != "measured", run[0].conditions.device, run[0].created


def _place(profile: Profile) -> tuple[int, float]:
    subject = profile.subject
    return _ROLES.index(subject.role or "rival"), -(subject.macs_per_image or 0.0)


def cli_page() -> str:
    """The help pages of all commands."""
    from greenadapt.cli.reference import reference

    return reference()


def api_page() -> str:
    """Public names, the types that they return, the errors, and what authors of plugins use."""
    from greenadapt import errors, testing

    public = {name: getattr(greenadapt, name) for name in greenadapt.__all__ if name != "__version__"}
    verbs = {name: thing for name, thing in public.items() if inspect.isfunction(thing)}
    classes = {name: thing for name, thing in public.items() if inspect.isclass(thing)}
    results = _returned(verbs.values(), known=set(classes.values()))
    tests = {
        name: thing
        for name, thing in vars(testing).items()
        if _is_own(thing, testing) and not name.startswith("_")
    }
    return (
        "\n\n".join(
            [
                "# The Python API",
                _API_HEAD,
                "## Functions",
                *(section(f"greenadapt.{name}", verbs[name]) for name in sorted(verbs)),
                "## What they take and return",
                *(section(f"greenadapt.{name}", classes[name]) for name in sorted(classes)),
                *(section(kind.__name__, kind) for kind in results),
                "## Parts of the retrofits",
                _PARTS_HEAD,
                *(section(f"greenadapt.{name}", resolve_name(f"greenadapt.{name}")) for name in _PARTS),
                "## Errors",
                docstring(errors),
                "## For authors of plugins",
                "`greenadapt.hookimpl` marks a function as an implementation of a [hook](hooks.md).",
                docstring(testing),
                *(section(f"greenadapt.testing.{name}", thing) for name, thing in sorted(tests.items())),
            ]
        )
        + "\n"
    )


def _returned(functions: Any, known: set[type]) -> list[type]:
    """The package's own classes that stand in return annotations, each once, in alphabetical order."""
    found: dict[str, type] = {}
    for function in functions:
        for word in re.findall(r"\w+", str(inspect.signature(function).return_annotation)):
            kind = inspect.unwrap(function).__globals__.get(word)
            if inspect.isclass(kind) and kind.__module__.startswith("greenadapt.") and kind not in known:
                found[kind.__name__] = kind
    return [found[name] for name in sorted(found)]


def _is_own(thing: Any, module: Any) -> bool:
    return inspect.isfunction(thing) and thing.__module__ == module.__name__


def hooks_page() -> str:
    """Every hook with its signature, then the types that hooks give and take."""
    from greenadapt import hookspecs, interfaces

    own = [
        kind
        for kind in vars(interfaces).values()
        if inspect.isclass(kind) and kind.__module__ == interfaces.__name__
    ]
    return (
        "\n\n".join(
            [
                "# Hooks",
                "Generated by `make docs`; [write a plugin](../how-to/write-a-plugin.md) shows their use.",
                docstring(hookspecs),
                "## The hooks",
                *(_hook(name, function) for name, function in hooks().items()),
                "## What hooks give and take: `greenadapt.interfaces`",
                docstring(interfaces),
                *(section(kind.__name__, kind) for kind in own),
                f"### `AuditResult`\n\n`{interfaces.AuditResult}`".replace("greenadapt.profile.", ""),
            ]
        )
        + "\n"
    )


def hooks() -> dict[str, Any]:
    """The hooks by name, in the order in which they are written."""
    from greenadapt import hookspecs

    return {name: thing for name, thing in vars(hookspecs).items() if hasattr(thing, "greenadapt_spec")}


def _hook(name: str, function: Any) -> str:
    first = (
        "\n\nThe first answer that is not `None` counts." if function.greenadapt_spec["firstresult"] else ""
    )
    return f"### `{name}`\n\n```python\n{signature(name, function)}\n```\n\n{docstring(function)}{first}"


def profile_schema() -> dict[str, Any]:
    """JSON Schema of an efficiency profile, with what each field means."""
    from greenadapt import profile, recipe

    schema = Profile.model_json_schema(mode="serialization")
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
    kinds = {
        name: kind
        for module in (recipe, profile)
        for name, kind in vars(module).items()
        if inspect.isclass(kind)
    }
    for name, part in [("Profile", schema), *schema["$defs"].items()]:
        for field, meaning in fields_of(kinds[name]).items():
            part["properties"][field]["description"] = meaning
    return schema


def changed(root: Path = ROOT) -> Iterator[tuple[Path, str]]:
    """The pages that are not as they ought to be, with the text that they ought to have."""
    for path, text in pages(root).items():
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            yield path, text


def main() -> None:
    """Writes the pages that changed, and says which."""
    for path, text in list(changed()):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        sys.stdout.write(f"{path.relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()
