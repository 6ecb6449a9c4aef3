"""Turns Google docstrings and signatures into Markdown, for `generate`.

section("greenadapt.audit", audit)     heading, signature, docstring
fields_of(Plan)                        what the attributes of a class mean, from the strings below them
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

_LINE = 100
_HEADER = re.compile(r"(Args|Attributes|Returns|Yields|Raises|Source):(.*)")
_STARS: dict[Any, str] = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
_LISTS = ("Args", "Attributes", "Raises")
_ENTRY = re.compile(r"(\*{0,2}\w[\w.]*): (.*)")


def section(title: str, thing: Any, level: int = 3) -> str:
    """Heading, signature and docstring of a function or class; of a class its public members as well."""
    parts = [f"{'#' * level} `{title}`"]
    if inspect.isclass(thing):
        parts += [body for body in (docstring(thing), _fields(thing)) if body]
        parts += [_member(name, member) for name, member in _members(thing)]
    else:
        parts += [f"```python\n{signature(title.rpartition('.')[2], thing)}\n```", docstring(thing)]
    return "\n\n".join(parts)


def signature(name: str, function: Callable[..., Any]) -> str:
    """A function's signature as it is written, one argument a line where it is long."""
    found = inspect.signature(function)
    arguments = [_argument(parameter) for parameter in found.parameters.values() if parameter.name != "self"]
    kinds = [each.kind for each in found.parameters.values() if each.name != "self"]
    first_keyword = next((i for i, kind in enumerate(kinds) if kind is inspect.Parameter.KEYWORD_ONLY), None)
    if first_keyword is not None and inspect.Parameter.VAR_POSITIONAL not in kinds:
        arguments.insert(first_keyword, "*")
    gives = "" if found.return_annotation is found.empty else f" -> {_type(found.return_annotation)}"
    line = f"{name}({', '.join(arguments)}){gives}"
    if len(line) <= _LINE:
        return line
    return "\n".join([f"{name}(", *(f"    {argument}," for argument in arguments), f"){gives}"])


def docstring(thing: Any) -> str:
    """A docstring as Markdown: paragraphs as they are, drawings in fences, sections as lists."""
    lines = inspect.cleandoc(thing.__doc__ or "").split("\n")
    parts: list[str] = []
    for header, body in _sections(lines):
        if header is None:
            parts += list(_paragraphs(body))
        elif header in _LISTS:
            parts.append("\n".join([f"**{header}:**", "", *_entries(body)]))
        else:
            parts.append(f"**{header}:** {' '.join(line.strip() for line in body if line.strip())}")
    return "\n\n".join(parts)


def fields_of(kind: type) -> dict[str, str]:
    """What the attributes of a class mean, by name, from the strings that stand below them."""
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(node, ast.ClassDef)
    found: dict[str, str] = {}
    for before, after in zip(node.body, node.body[1:], strict=False):
        if (
            isinstance(before, ast.AnnAssign)
            and isinstance(before.target, ast.Name)
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
            and isinstance(after.value.value, str)
        ):
            found[before.target.id] = " ".join(after.value.value.split())
    return found


def _fields(kind: type) -> str:
    if "Attributes:" in (kind.__doc__ or ""):
        return ""
    meanings = fields_of(kind)
    fields = getattr(kind, "model_fields", None)
    if fields is None:
        names = [name for name in vars(kind).get("__annotations__", {}) if not name.startswith("_")]
        types = {name: _type(kind.__annotations__[name]) for name in names}
    else:
        types = {name: _type(kind.__annotations__[name]) + _default(field) for name, field in fields.items()}
    lines = [
        f"- `{name}: {type_}`" + (f": {meanings[name]}" if name in meanings else "")
        for name, type_ in types.items()
    ]
    return "\n".join(lines)


def _default(field: Any) -> str:
    if field.is_required():
        return ""
    return f" = {field.default!r}" if field.default_factory is None else f" = {field.default_factory()!r}"


def _members(kind: type) -> Iterator[tuple[str, Any]]:
    for name, member in vars(kind).items():
        if name.startswith("_") and name != "__init__":
            continue
        inner = member.__func__ if isinstance(member, classmethod | staticmethod) else member
        if isinstance(inner, property) or (
            inspect.isfunction(inner) and inner.__doc__ and name != "__init__"
        ):
            yield name, inner


def _member(name: str, member: Any) -> str:
    if isinstance(member, property):
        gives = inspect.signature(member.fget).return_annotation if member.fget else ""
        head = f"**`{name}: {_type(gives)}`**"
    else:
        head = f"**`{' '.join(signature(name, member).split())}`**".replace("(cls, ", "(").replace(
            "(cls)", "()"
        )
    return f"{head}\n\n{docstring(member)}"


def _argument(parameter: inspect.Parameter) -> str:
    text = _STARS.get(parameter.kind, "") + parameter.name
    if parameter.annotation is not parameter.empty:
        text += f": {_type(parameter.annotation)}"
    if parameter.default is not parameter.empty:
        text += f" = {parameter.default!r}"
    return text


def _type(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else str(getattr(annotation, "__name__", annotation))


def _sections(lines: list[str]) -> Iterator[tuple[str | None, list[str]]]:
    header: str | None = None
    body: list[str] = []
    for line in lines:
        match = _HEADER.fullmatch(line)
        ends = match is not None or (header is not None and line and not line.startswith(" "))
        if ends:
            if any(body):
                yield header, body
            header, body = (match[1], [match[2]]) if match else (None, [line])
        else:
            body.append(line)
    if any(body):
        yield header, body


def _paragraphs(lines: list[str]) -> Iterator[str]:
    for block in re.split(r"\n\s*\n", "\n".join(lines).strip("\n")):
        drawn = "   " in block or "──" in block
        yield f"```text\n{textwrap.dedent(block)}\n```" if drawn else block


def _entries(lines: list[str]) -> Iterator[str]:
    entry: list[str] = []
    for line in textwrap.dedent("\n".join(lines[1:])).strip().split("\n"):
        match = _ENTRY.fullmatch(line)
        if match is not None:
            if entry:
                yield " ".join(entry)
            entry = [f"- `{match[1]}`: {match[2]}"]
        elif line.strip():
            entry.append(line.strip())
    yield " ".join(entry)
