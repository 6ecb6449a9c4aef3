"""The paper's depths: 101 and 152 layers with other numbers of blocks than a ResNet's.

Source: the authors' published networks, https://github.com/IBM/BigLittleNet.
"""

from __future__ import annotations

import copy
from typing import Any

from torch import nn

from greenadapt.errors import OptionError

_PAPER = {
    (3, 4, 6, 3): (3, 4, 6, 3),
    (3, 4, 23, 3): (4, 8, 18, 3),
    (3, 8, 36, 3): (5, 12, 30, 3),
}


def use_paper_depth(model: Any) -> None:
    """Drops or doubles blocks of a ResNet, in place, evenly over each stage; its first and last blocks stay.

    Args:
        model: A network that Big-Little fits.

    Raises:
        OptionError: The paper has no network of its depth.
    """
    names = ("layer1", "layer2", "layer3", "layer4")
    if not all(isinstance(getattr(model, name, None), nn.Sequential) for name in names):
        raise _unknown(f"{type(model).__name__} is no ResNet of four stages")
    has = tuple(len(getattr(model, name)) for name in names)
    if has not in _PAPER:
        raise _unknown(f"This network has {list(has)} blocks")
    for name, wanted in zip(names, _PAPER[has], strict=True):
        setattr(model, name, nn.Sequential(*resized(list(getattr(model, name)), wanted)))


def resized(blocks: list[nn.Module], wanted: int) -> list[nn.Module]:
    """A chain of another length; what is dropped or doubled is spread over the blocks between first and last.

    Args:
        blocks: Three or more.
        wanted: Three or more.
    """
    inner = blocks[1:-1]
    chosen = [inner[(i * len(inner)) // (wanted - 2)] for i in range(wanted - 2)]
    seen: set[int] = set()
    made = []
    for block in chosen:
        made.append(copy.deepcopy(block) if id(block) in seen else block)
        seen.add(id(block))
    return [blocks[0], *made, blocks[-1]]


def _unknown(why: str) -> OptionError:
    known = ", ".join(str(list(counts)) for counts in _PAPER)
    return OptionError(
        "The paper has no network of this depth.",
        f"{why}; depth='paper' is for ResNets of {known} blocks.",
        "Use depth='native', which keeps the base's.",
    )
