"""From a template and its content to a page that needs nothing else."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any

from greenadapt.pages import check_installed


def rendered(template: str, content: Mapping[str, Any]) -> str:
    """Fills in a template of this package.

    Args:
        template: Its file name.
        content: Every name that it uses.

    Raises:
        MissingExtraError: The extra "pages" is not installed.
    """
    check_installed()
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("greenadapt.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["typeset"] = typeset
    return environment.get_template(template).render(content)


def download(name: str, kind: str, text: str) -> dict[str, str]:
    """A file to download that is inside the page.

    Args:
        name: What it is saved as.
        kind: Its media type.
        text: What is in it.
    """
    return {"name": name, "href": f"data:{kind};base64,{base64.b64encode(text.encode()).decode()}"}


def typeset(text: str) -> str:
    """Minus signs for hyphens before digits; numbers are kept together with what belongs to them."""
    text = re.sub(r"(?<![\w-])-(?=\d)", "−", text)
    return re.sub(r"(?<=\d) (?=%)|(?<=\bp) (?=[=<])|(?<=[=<]) (?=\d)", "\N{NO-BREAK SPACE}", text)
