"""Find the residual blocks of a model, and what each one's shortcut is.

    one forward without numbers         what every module is called with               recording.py
    a module with a `drop_path*`        is a candidate: timm marks residual blocks so
    any other module whose result has the shape of an argument, innermost first        for families without it
    each candidate, once per kind       probed for its shortcut on a silenced copy     probing.py
    its class without a shortcut        listed with the reason

A model that is gated is not searched again: its blocks are those that it was gated with.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn

from greenadapt.adapters.residual.block import ResidualBlock, noted
from greenadapt.adapters.residual.branches import branches
from greenadapt.adapters.residual.families import DENSE, PASSING, ways
from greenadapt.adapters.residual.probing import Found, Probe, batched, shrinks
from greenadapt.adapters.residual.recording import Call, Seen, call_leaves, record
from greenadapt.errors import ModelError


def residual_blocks(model: nn.Module, granularity: str = "block") -> list[ResidualBlock]:
    """The residual blocks of a model, droppable or not, in the order in which they stand in it.

    Args:
        model: Any network that runs on images of the size that it is meant for.
        granularity: "block", or "branch" for attention and MLP on their own where a block has both.

    Raises:
        ModelError: None of them can be dropped, or the network does not run.
    """
    known = noted(model)
    if known:
        return known
    # Models are built within torch.device("meta") before they are saved; a probe needs numbers to look at.
    with torch.device("cpu"):
        search = _Search(model)
        found = search.blocks()
        if granularity == "branch":
            found = [part for block in found for part in branches(block, search.calls)]
    if not any(block.droppable for block in found):
        raise ModelError(
            f"{type(model).__name__} has no residual block that can be dropped.",
            _nothing(model, found),
            "Choose a network with residual blocks: a ResNet, a ConvNeXt, a ViT, an EfficientNet.",
        )
    return found


class _Search:
    """One search through a model.

    Args:
        model: The model; it is left as it is.
    """

    def __init__(self, model: nn.Module) -> None:
        self.calls = record(model)
        self.modules = dict(model.named_modules())
        self.probed: dict[Any, Found] = {}
        self.found: dict[str, Found] = {}

    def blocks(self) -> list[ResidualBlock]:
        """All blocks, in the order of the modules."""
        marked = [name for name in self.modules if name and _marked(self.modules[name])]
        for name in marked:
            if not self._within(name) and name in self.calls:
                self._keep(name)
        rejected = [name for name in marked if name not in self.found and not self._inside_or_around(name)]
        for name in sorted(self.modules, key=lambda n: -n.count(".")):
            if (
                name
                and name not in marked
                and self._looks_residual(name)
                and not self._inside_or_around(name)
            ):
                self._keep(name)
        kinds = {_kind(self.modules[name]) for name in self.found}
        rejected += [
            name
            for name, module in self.modules.items()
            if name not in marked
            and (_kind(module) in kinds or _kind(module) in DENSE)
            and not self._inside_or_around(name)
        ]
        for name in rejected:
            if not self._inside_or_around(name):
                self.found[name] = self._look(name)
        return [self._block(name, self.found[name]) for name in self.modules if name in self.found]

    def _keep(self, name: str) -> None:
        found = self._look(name, guess=_marked(self.modules[name]))
        if found.passage is not None:
            self.found[name] = found

    def _look(self, name: str, guess: bool = True) -> Found:
        module, calls = self.modules[name], self.calls.get(name, [])
        if len(calls) != 1:
            why = "is called more than once" if calls else "is never called"
            return Found("none", None, f"it {why} in one forward")
        key = (_signature(module), repr(calls[0]), guess)
        if key not in self.probed:
            self.probed[key] = self._probe(name, module, calls[0], guess)
        return self.probed[key]

    def _probe(self, name: str, module: nn.Module, call: Call, guess: bool) -> Found:
        if _kind(module) in DENSE:
            return Found("none", None, "what follows needs its output: it is joined to the input, not added")
        if not call.args:
            return Found("none", None, "it takes no input by position")
        passage = None
        for small in (True, False) if shrinks(call) else (False,):
            try:
                probe = Probe(module, call, small)
                passage = probe.identity() if _keeps_shape(call) else None
                if passage is None and guess:
                    passage = probe.widened()
                if passage is None and guess:
                    passage = probe.projection(list(ways(module, self.calls, name, call)))
                break
            except (RuntimeError, TypeError, ValueError, AssertionError, IndexError) as error:
                # A block on its own, on made-up numbers, may refuse whatever its authors thought of.
                if not small:
                    return Found("none", None, f"it does not run by itself ({type(error).__name__})")
        if passage is not None and not passage.through:
            return Found("pooled" if passage.added else "identity", passage)
        if passage is not None:
            led = [module.get_submodule(step) for step in passage.through]
            learnt = any(True for m in led for _ in m.parameters())
            return Found("projection" if learnt else "pooled", passage)
        return Found("none", None, _reason(call))

    def _looks_residual(self, name: str) -> bool:
        module = self.modules[name]
        return (
            type(module) not in (nn.Sequential, nn.ModuleList)
            and next(module.children(), None) is not None
            and next(module.parameters(), None) is not None
            and len(self.calls.get(name, ())) == 1
            and _keeps_shape(self.calls[name][0])
        )

    def _within(self, name: str) -> bool:
        return any(name.startswith(f"{other}.") for other in self.found)

    def _inside_or_around(self, name: str) -> bool:
        return self._within(name) or any(
            other == name or other.startswith(f"{name}.") for other in self.found
        )

    def _block(self, name: str, found: Found) -> ResidualBlock:
        if found.passage is None:
            return ResidualBlock(name, self.modules[name], "none", found.why_not)
        sliceable, shared = batched(self.calls[name][0])
        return ResidualBlock(
            name, self.modules[name], found.shortcut, None, found.passage, sliceable, shared=shared
        )


def shortcut_of(block: nn.Module) -> nn.Module | None:
    """The module on the shortcut of a ResNet's block, or None for the identity."""
    shortcut: nn.Module | None = block.downsample  # type: ignore[assignment]
    return shortcut


def _marked(module: nn.Module) -> bool:
    # Stages keep rates (numbers, lists) under such names; a block keeps a module, or None for no drop.
    if _kind(module) in PASSING:
        return True
    held = [*vars(module).items(), *module._modules.items()]
    return any("drop_path" in key and (value is None or isinstance(value, nn.Module)) for key, value in held)


def _kind(module: nn.Module) -> str:
    return type(module).__name__


def _keeps_shape(call: Call) -> bool:
    given = {leaf.shape for _, leaf in call_leaves(call.args, call.kwargs) if isinstance(leaf, Seen)}
    returned = [leaf for _, leaf in call_leaves((call.result,), {}) if isinstance(leaf, Seen)]
    return bool(returned) and all(leaf.shape in given for leaf in returned)


def _signature(module: nn.Module) -> Any:
    """What two blocks have in common if one probe speaks for both; stochastic depth does not count."""
    parts: list[Any] = []
    for name, part in module.named_modules():
        if "drop_path" in name:
            continue
        plain = {
            key: value
            for key, value in vars(part).items()
            if isinstance(value, (int, float, str, bool, type(None))) and "drop_path" not in key
        }
        shapes = [(key, tuple(p.shape)) for key, p in part._parameters.items() if isinstance(p, torch.Tensor)]
        parts.append((name, type(part), repr(sorted(plain.items())), repr(shapes), part.extra_repr()))
    return tuple(parts)


def _reason(call: Call) -> str:
    first = call.args[0]
    if not isinstance(first, Seen) or not isinstance(call.result, Seen):
        return "with its branch silent it does not return what it was given"
    if first.shape == call.result.shape:
        return "with its branch silent nothing is left of its input: it has no shortcut"
    change = f"it changes {_sizes(first)} to {_sizes(call.result)}"
    return f"{change} and has no shortcut that stands by itself"


def _sizes(seen: Seen) -> str:
    return " x ".join(str(size) for size in seen.shape[1:])


def _nothing(model: nn.Module, found: Sequence[ResidualBlock]) -> str:
    if found:
        return f"{len(found)} were looked at; {found[0].name}: {found[0].why_not}."
    made = ", ".join(_kinds(model)) or type(model).__name__
    return f"It is made of {made}; none adds its input to its output."


def _kinds(model: nn.Module) -> Iterator[str]:
    yield from sorted({_kind(m) for m in model.modules() if len(list(m.children())) > 1})[:6]
