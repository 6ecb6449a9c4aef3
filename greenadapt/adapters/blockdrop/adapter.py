"""Gates the residual blocks of a model and gives it a policy.

The retrofit still is an instance of the base's class, its base weights keep their names, and the policy's
stand under ``greenadapt_policy.``. Every entry of the model (`forward`, `forward_features`,
`forward_intermediates`) first asks the policy, then runs the base's own method under its decision.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from greenadapt.adapters.blockdrop.config import BlockDropConfig
from greenadapt.adapters.blockdrop.objective import BlockDropObjective
from greenadapt.adapters.blockdrop.policy import Policy, fixed_path
from greenadapt.adapters.execution import Gated, Gathered, execute, running, under
from greenadapt.adapters.residual import ResidualBlock, residual_blocks
from greenadapt.adapters.retrofit import Retrofit, become
from greenadapt.inspection import input_shape
from greenadapt.interfaces import Block, Description


class BlockDrop(Retrofit):
    """What BlockDrop adds to a model's class.

    Attributes:
        greenadapt_config: The options.
        greenadapt_policy: The policy network, or None under a fixed policy.
        greenadapt_path: bool, [K]: the blocks a fixed policy keeps, or None.
    """

    greenadapt_config: BlockDropConfig
    greenadapt_policy: Policy | None
    greenadapt_path: tuple[bool, ...] | None

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Images [B, C, H, W] to logits [B, classes]."""
        return self._routed(super().forward, x, *args, **kwargs)  # type: ignore[misc,no-any-return]

    def forward_features(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Images [B, C, H, W] to the features before the head."""
        return self._routed(super().forward_features, x, *args, **kwargs)  # type: ignore[misc,no-any-return]

    def forward_intermediates(self, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        """As the base's; the policy decides here too."""
        return self._routed(super().forward_intermediates, x, *args, **kwargs)  # type: ignore[misc]

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Each block recomputes its activations in the backward pass, under the decision of the forward."""
        for block in self.modules():  # type: ignore[attr-defined]
            if isinstance(block, Gated):
                block.gate_checkpointing = enable

    def greenadapt_paths(self, images: Tensor) -> Tensor:
        """Which blocks each image runs: bool, [B, K], for images [B, C, H, W]."""
        if self.greenadapt_path is not None:
            return torch.tensor(self.greenadapt_path, device=images.device).expand(len(images), -1)
        assert self.greenadapt_policy is not None
        with torch.no_grad():
            table: Tensor = self.greenadapt_policy(images) >= 0.5
            return table

    def forward_under(self, images: Tensor, table: Tensor) -> Tensor:
        """Logits [B, classes] under a given policy [B, K], each block on its own samples: for training.

        Unlike the masked pass of the paper's code, batch-norm statistics come from the samples that
        run a block, as they do at inference.
        """
        with under(Gathered(table, images.device)):
            logits: Tensor = super().forward(images)  # type: ignore[misc]
            return logits

    def _routed(self, call: Any, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        if running():
            return call(x, *args, **kwargs)
        mode: Any = self.greenadapt_config.execution
        return execute(lambda images: call(images, *args, **kwargs), x, self.greenadapt_paths(x), mode)


class BlockDropAdapter:
    """The adapter ``blockdrop``."""

    name = "blockdrop"
    config = BlockDropConfig

    def wrap(self, model: nn.Module, config: BlockDropConfig) -> nn.Module:
        """Gates every residual block of `model` and adds the policy, in place.

        Raises:
            ModelError: The model has no residual block that is known.
            OptionError: The policy's network is not known.
        """
        blocks = residual_blocks(model)
        policy = path = None
        if config.keep == 1.0 or config.policy != "learned":
            path = fixed_path(
                "first" if config.keep == 1.0 else config.policy, len(blocks), config.keep, config.seed
            )
        else:
            channels, size, _ = input_shape(model)
            policy = Policy(len(blocks), channels, size, config.policy_net, config.policy_downscale)
            first = next(model.parameters())
            policy.to(first.device, first.dtype)
        _gate(blocks)
        retrofit: Any = become(model, BlockDrop)
        retrofit.greenadapt_config = config
        retrofit.greenadapt_path = path
        retrofit.greenadapt_policy = policy
        return model

    def describe(self, model: nn.Module) -> Description:
        """Every block, what its shortcut is, and whether it is kept."""
        assert isinstance(model, BlockDrop)
        # The policy has residual blocks too; they are not gated.
        blocks = [b for b in residual_blocks(model) if isinstance(b.module, Gated)]
        path = model.greenadapt_path
        kept: Sequence[float | None] = (
            [None] * len(blocks) if path is None else [float(keep) for keep in path]
        )
        policy = model.greenadapt_policy
        after = sum(p.numel() for p in model.parameters())
        own = 0 if policy is None else sum(p.numel() for p in policy.parameters())
        base = type(model).retrofit_base.__name__
        return Description(
            title=f"{base} with BlockDrop, {model.greenadapt_config}",
            changes=[_change(block, keep) for block, keep in zip(blocks, kept, strict=True)]
            + (
                []
                if policy is None
                else [f"+ greenadapt_policy: {type(policy.net).__name__}, {own:,} parameters"]
            ),
            blocks=[
                Block(block.name, block.shortcut, droppable=True, kept=keep)
                for block, keep in zip(blocks, kept, strict=True)
            ],
            parameters_before=after - own,
            parameters_after=after,
            notes=[] if policy is None else ["a policy that was never trained keeps every block"],
        )

    def objective(self, model: nn.Module, teacher: nn.Module | None, epochs: int) -> Any:
        """REINFORCE with a curriculum for a learned policy; plain training under a fixed one."""
        from greenadapt.adapters.distillation import Distillation

        assert isinstance(model, BlockDrop)
        if model.greenadapt_policy is None:
            return Distillation(model, teacher)
        return BlockDropObjective(model, teacher, epochs)


def _gate(blocks: Sequence[ResidualBlock]) -> None:
    for index, block in enumerate(blocks):
        become(block.module, Gated)
        block.module.gate_index = index  # type: ignore[assignment]
        block.module.gate_checkpointing = False  # type: ignore[assignment]


def _change(block: ResidualBlock, keep: float | None) -> str:
    if keep == 0.0:
        return f"- {block.name} ({block.shortcut} shortcut stays)"
    return f"{'?' if keep is None else ' '} {block.name} ({block.shortcut} shortcut)"


adapter = BlockDropAdapter()
