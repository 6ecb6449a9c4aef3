"""Gives an existing module another class that adds to its own, so that it can be copied and pickled.

A retrofitted module stays where it is, with its weights, hooks and children; only its class becomes a
subclass of what it was. The subclass is made on the fly, so a pickle names its two parents instead.
"""

from __future__ import annotations

from typing import Any

from torch import nn

_CLASSES: dict[tuple[type, type], type[nn.Module]] = {}


class Retrofit:
    """Mixin of everything that `become` adds; copies and pickles by naming the two parents."""

    retrofit_mixin: type[Retrofit]
    retrofit_base: type[nn.Module]

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        # Deepcopy and pickle restore the module's own state, which leaves out what it was compiled to.
        return (_bare, (self.retrofit_mixin, self.retrofit_base), self.__getstate__())


def become(module: nn.Module, mixin: type[Retrofit]) -> nn.Module:
    """Changes a module's class to one whose parents are the mixin and what it was; returns the module."""
    module.__class__ = retrofit_class(mixin, type(module))
    return module


def retrofit_class(mixin: type[Retrofit], base: type[nn.Module]) -> type[nn.Module]:
    """The class with these two parents; asked for twice, it is the same class."""
    made = _CLASSES.get((mixin, base))
    if made is not None:
        return made
    name = f"{mixin.__name__}{base.__name__}"
    members = {
        "__doc__": f"{base.__name__} retrofitted by {mixin.__module__}.{mixin.__name__}.",
        "__module__": mixin.__module__,
        "retrofit_mixin": mixin,
        "retrofit_base": base,
    }
    # Threads that race here all get the class that was first.
    return _CLASSES.setdefault((mixin, base), type(name, (mixin, base), members))


def _bare(mixin: type[Retrofit], base: type[nn.Module]) -> nn.Module:
    made = retrofit_class(mixin, base)
    return made.__new__(made)
