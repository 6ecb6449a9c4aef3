"""Whether a server answers, found out within seconds.

The libraries that fetch weights retry with growing pauses (huggingface_hub 2.4 spends 46 s on one network)
or wait without end (torch.hub). Asking first makes "you are offline" a matter of seconds.
"""

from __future__ import annotations

import http.client
import ssl
import threading
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from greenadapt.errors import ModelError

ANSWER_SECONDS = 5.0


def why_unreachable(url: str, seconds: float = ANSWER_SECONDS) -> str | None:
    """Asks the server of an address for a sign of life, through the proxy if the environment names one.

    Args:
        url: Any address on the server.
        seconds: How long to wait for an answer, name look-up included.

    Returns:
        None if the server answers, whatever it says; else one sentence.
    """
    parts = urlsplit(url)
    answers: list[str | None] = []
    # Looking up a name knows no time limit, hence a thread that may be left behind.
    asking = threading.Thread(
        target=lambda: answers.append(_why_silent(f"{parts.scheme}://{parts.netloc}/", seconds)), daemon=True
    )
    asking.start()
    asking.join(seconds)
    reason = answers[0] if answers else f"no answer within {seconds:g} s"
    return f"{parts.hostname} cannot be reached: {reason}." if reason else None


def torch_cache_file(url: str) -> Path:
    """Where torch.hub keeps a file of weights once it has been downloaded."""
    import torch

    return Path(torch.hub.get_dir()) / "checkpoints" / Path(urlsplit(url).path).name


def check_downloadable(url: str, network: str) -> None:
    """Makes sure, within seconds, that torch.hub can get a file of weights.

    Args:
        url: Address of the file.
        network: Which network it belongs to.

    Raises:
        ModelError: The file is not in torch's cache and its server does not answer.
    """
    kept = torch_cache_file(url)
    reason = None if kept.is_file() else why_unreachable(url)
    if reason is not None:
        raise offline_error(network, f"{reason} {kept.parent} does not hold them either.")


def offline_error(network: str, seen: str) -> ModelError:
    """The error of weights that cannot be had for want of a network.

    Args:
        network: Which network the weights belong to.
        seen: Sentences that say what was tried.
    """
    return ModelError(
        f"The weights of {network} cannot be downloaded.",
        seen,
        "Try again with a network, or open an architecture without weights: --no-pretrained.",
    )


def _why_silent(url: str, seconds: float) -> str | None:
    request = urllib.request.Request(url, method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=seconds):
            return None
    except (urllib.error.HTTPError, http.client.HTTPException, ssl.SSLError):
        return None
    except urllib.error.URLError as error:
        # A certificate that Python does not know may well be known to the library that downloads.
        return None if isinstance(error.reason, ssl.SSLError) else _words(error.reason)
    except OSError as error:
        return _words(error)


def _words(reason: object) -> str:
    if isinstance(reason, OSError) and reason.strerror:
        return reason.strerror.rstrip(".").lower()
    return str(reason).rstrip(".") or type(reason).__name__
