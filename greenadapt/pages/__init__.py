"""What greenadapt draws: pages in HTML, and the card of a saved model.

comparison           one page per comparison, self-contained: works from a file, without a network
profile              one page per profile, likewise; decisions: what an adaptive network does with each image
thumbnails           pictures of images, to stand in a page
tradeoff, drift      its charts: cost against accuracy, and every trial
drawing, labels      what the charts share, and where the names of points go
rendering            from a template to a page
card                 README.md of a saved folder, in plain Python
"""

from __future__ import annotations

from importlib.util import find_spec

from greenadapt.errors import MissingExtraError

EXTRA = "pages"


def check_installed() -> None:
    """Makes sure that pages can be drawn, before a long measurement rather than after it.

    Raises:
        MissingExtraError: The packages of the extra "pages" are not installed.
    """
    if any(find_spec(module) is None for module in ("altair", "vl_convert", "jinja2")):
        raise MissingExtraError("A page", EXTRA)
