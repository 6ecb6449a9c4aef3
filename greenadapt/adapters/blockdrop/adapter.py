"""Gates the residual blocks of a model and gives it a policy.

The retrofit still is an instance of the base's class, its base weights keep their names, and what is new
stands under names that begin with ``greenadapt_``: the learned policy under ``greenadapt_policy.``, the paths
it is limited to in ``greenadapt_allowed``, or the path of a fixed one in ``greenadapt_path``. Every entry of
the model (`forward`, `forward_features`, `forward_intermediates`) first asks the policy, then runs the base's
own method under its decision.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from greenadapt.adapters.blockdrop.beginning import begin_from
from greenadapt.adapters.blockdrop.config import BlockDropConfig
from greenadapt.adapters.blockdrop.description import described
from greenadapt.adapters.blockdrop.fixed import fixed_path
from greenadapt.adapters.blockdrop.objectives import objective_of
from greenadapt.adapters.blockdrop.paths import as_path, no_limit, restrict
from greenadapt.adapters.blockdrop.policy import Policy
from greenadapt.adapters.execution import OnePath, costs_of, execute
from greenadapt.adapters.gates import Run, all_sliceable, checkpoint_gates, gate, routing, running, under
from greenadapt.adapters.residual import ResidualBlock, image_macs, residual_blocks
from greenadapt.adapters.retrofit import Retrofit, become
from greenadapt.errors import ModelError, OptionError
from greenadapt.inspection import input_shape
from greenadapt.interfaces import Block, Description, Teacher

if TYPE_CHECKING:
    from greenadapt.adapters.blockdrop.payback import Payback


class BlockDrop(Retrofit):
    """What BlockDrop adds to a model's class. K counts the blocks that can be dropped.

    Attributes:
        greenadapt_config: The options, with the policy's network by its name.
        greenadapt_found: Every residual block, droppable or not, as it was found.
        greenadapt_policy: The policy network, or None under a fixed policy.
        greenadapt_path: bool, [K]: the blocks a fixed policy keeps, or None; change it by `set_path`.
        greenadapt_allowed: bool, [M, K]: the paths a learned policy is limited to, or None.
        greenadapt_kept: `greenadapt_path` as a tuple, which is read without waiting for the device.
        greenadapt_sliceable: Whether every block can be run on a part of the batch.
    """

    greenadapt_config: BlockDropConfig
    greenadapt_found: tuple[Block, ...]
    greenadapt_policy: Policy | None
    greenadapt_path: Tensor | None
    greenadapt_allowed: Tensor | None
    greenadapt_kept: tuple[bool, ...] | None
    greenadapt_sliceable: bool

    @property
    def greenadapt_blocks(self) -> int:
        """K: how many blocks can be dropped."""
        return sum(block.droppable for block in self.greenadapt_found)

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Images [B, C, H, W] to logits [B, classes]."""
        return self._routed(super().forward, x, *args, **kwargs)  # type: ignore[misc,no-any-return]

    def forward_features(self, *args: Any, **kwargs: Any) -> Tensor:
        """Images [B, C, H, W], or whatever the base's own takes, to the features before the head."""
        if not args and "x" in kwargs:
            args = (kwargs.pop("x"),)
        return self._routed(super().forward_features, *args, **kwargs)  # type: ignore[misc,no-any-return]

    def forward_intermediates(self, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        """As the base's; the policy decides here too."""
        return self._routed(super().forward_intermediates, x, *args, **kwargs)  # type: ignore[misc]

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Each block recomputes its activations in the backward pass, under the decision of the forward."""
        checkpoint_gates(self, enable)  # type: ignore[arg-type]

    def set_path(self, path: Sequence[bool] | Tensor) -> None:
        """Has a fixed policy keep these blocks for every image, [K].

        Raises:
            ModelError: The policy is learned.
            OptionError: The path is for another number of blocks, or holds more than yes and no.
        """
        if self.greenadapt_path is None:
            raise ModelError(
                "The path of this model cannot be set.",
                "Its policy is learned, and decides for each image.",
                "Wrap with policy='sensitivity', 'spread', 'first' or 'random'.",
            )
        kept = as_path(path, self.greenadapt_blocks)
        self.greenadapt_path.copy_(torch.tensor(kept))
        self.greenadapt_kept = kept

    def greenadapt_paths(self, images: Tensor) -> Tensor:
        """Which blocks each image runs: bool, [B, K], for images [B, C, H, W].

        Raises:
            ModelError: The policy decides on another number of blocks.
        """
        if self.greenadapt_path is not None:
            return self.greenadapt_path.to(images.device).expand(len(images), -1)
        if len(images) == 0:
            return torch.ones(0, self.greenadapt_blocks, dtype=torch.bool, device=images.device)
        assert self.greenadapt_policy is not None
        with torch.no_grad():
            # A probability that is no number, from an overflow in half precision, keeps the block.
            table: Tensor = ~(self.greenadapt_policy(images) < 0.5)
        self._check_blocks(table.shape[1])
        return table if self.greenadapt_allowed is None else restrict(table, self.greenadapt_allowed)

    def forward_under(self, images: Tensor, table: Tensor) -> Tensor:
        """Logits [B, classes] under a given policy [B, K], each block on its own samples: for training.

        Unlike the masked pass of the paper's code, batch-norm statistics come from the samples that
        run a block, as they do at inference. A block that no image of the batch keeps gets no gradient, so
        DistributedDataParallel has to be told ``find_unused_parameters=True``.

        Raises:
            ModelError: The policy decides on another number of blocks or images, or not by yes and no.
        """
        if table.ndim != 2 or table.dtype != torch.bool or len(table) != len(images):
            raise ModelError(
                "The policy does not fit the batch.",
                f"It is {table.dtype}, {list(table.shape)}; the batch has {len(images)} images.",
                "Give one row of booleans for each image, torch.bool.",
            )
        self._check_blocks(table.shape[1])
        # Some blocks cannot be run on a part of the batch; then images of one path go together.
        sliceable = self.greenadapt_sliceable
        with routing(self):  # type: ignore[arg-type]
            logits: Tensor = execute(super().forward, images, table, "gathered", sliceable=sliceable)  # type: ignore[misc]
        return logits

    def forward_in(self, images: Tensor, run: Run) -> Tensor:
        """Logits [B, classes] of a run of one's own, such as one that brings gradients to the gates."""
        with routing(self), under(run):  # type: ignore[arg-type]
            logits: Tensor = super().forward(images)  # type: ignore[misc]
            return logits

    def _routed(self, call: Any, *args: Any, **kwargs: Any) -> Any:
        own: Any = self
        if running(own):
            return call(*args, **kwargs)
        with routing(own):
            if self.greenadapt_kept is not None:
                with under(OnePath(self.greenadapt_kept)):
                    return call(*args, **kwargs)
            x, others = self._images(*args), args[1:]

            def run(images: Tensor) -> Any:
                return call(images, *others, **kwargs)

            mode = self._mode(own.training, (others, kwargs))
            costs = None if own.training else partial(costs_of, own, x)
            return execute(run, x, self.greenadapt_paths(x), mode, costs, self.greenadapt_sliceable)

    def _images(self, *args: Any) -> Tensor:
        if args and isinstance(args[0], Tensor) and args[0].ndim == 4:
            return args[0]
        raise ModelError(
            "A learned policy decides by the images.",
            f"{type(self).retrofit_base.__name__} was not given [B, C, H, W] as its first argument.",
            "Give images as the base takes them, or wrap with policy='spread' for other input.",
        )

    def _mode(self, training: bool, others: Any) -> Any:
        # Whether another tensor (a mask) is by sample, nobody says: then the batch stays whole.
        whole = any(isinstance(other, Tensor) for other in tree_leaves(others))
        mode = "masked" if whole else self.greenadapt_config.execution
        # In training the stem's batch norms see the batch, and a block's all samples that run it.
        return "gathered" if training and mode != "masked" else mode

    def _check_blocks(self, found: int) -> None:
        if found != self.greenadapt_blocks:
            raise ModelError(
                "The policy does not fit the model.",
                f"It decides on {found} blocks; {type(self).retrofit_base.__name__} has "
                f"{self.greenadapt_blocks} that can be dropped.",
                "Give one boolean for each block that greenadapt.describe(model) lists as droppable.",
            )

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)  # type: ignore[misc]
        # The tuple is read on every call, where reading the buffer would wait for the GPU.
        if self.greenadapt_path is not None and not self.greenadapt_path.is_meta:
            self.greenadapt_kept = tuple(self.greenadapt_path.tolist())


class BlockDropAdapter:
    """The adapter ``blockdrop``."""

    name = "blockdrop"
    config = BlockDropConfig

    def wrap(self, model: nn.Module, config: BlockDropConfig) -> nn.Module:
        """Gates every residual block of `model` that can be dropped and adds the policy, in place.

        Raises:
            ModelError: The model has no residual block that can be dropped.
            OptionError: The policy's network is not known, or the objective is not for this model.
        """
        blocks = residual_blocks(model, config.granularity)
        _check_objective(config, blocks)
        found = tuple(Block(b.name, b.shortcut, b.droppable, None, b.why_not) for b in blocks)
        count = sum(block.droppable for block in found)
        device = next(model.parameters()).device
        policy = path = None
        if config.keep == 1.0 or config.policy != "learned":
            rule = "first" if config.keep == 1.0 else config.policy
            path = fixed_path(rule, count, config.keep, config.seed)
        else:
            policy = _policy(model, config, count)
            # What "auto" was taken for is what a saved model must be rebuilt with.
            config = replace(config, policy_net=policy.name)
        gate(blocks)
        retrofit: Any = become(model, BlockDrop)
        if any(getattr(module, "grad_checkpointing", False) is True for module in model.modules()):
            checkpoint_gates(model)
        retrofit.greenadapt_config = config
        retrofit.greenadapt_found = found
        retrofit.greenadapt_policy = policy
        retrofit.greenadapt_kept = path
        retrofit.greenadapt_sliceable = all_sliceable(model)
        limited = policy is not None and config.paths > 0
        retrofit.register_buffer(
            "greenadapt_path", None if path is None else torch.tensor(path, device=device)
        )
        retrofit.register_buffer(
            "greenadapt_allowed", no_limit(config.paths, count).to(device) if limited else None
        )
        return model

    def describe(self, model: nn.Module) -> Description:
        """Every block, what its shortcut is, whether it is kept, and why not where it cannot be dropped."""
        assert isinstance(model, BlockDrop)
        return described(model)

    def objective(self, model: nn.Module, teacher: Teacher | None, epochs: int) -> Any:
        """What the options ask for; plain training under a fixed policy."""
        assert isinstance(model, BlockDrop)
        return objective_of(model, teacher, epochs)

    def inherit(self, model: nn.Module, open_model: Callable[..., nn.Module]) -> None:
        """Gives the policy published weights where there are some; called on a fresh wrap, never on load.

        Args:
            model: A model under BlockDrop.
            open_model: As `greenadapt.open_model`.
        """
        assert isinstance(model, BlockDrop)
        if model.greenadapt_policy is not None:
            model.greenadapt_policy.inherit(open_model)

    def begin_from(self, model: nn.Module, ended: nn.Module) -> None:
        """Has a fresh retrofit with a learned policy begin where one under a fixed path has ended."""
        begin_from(model, ended)

    def dry_run(self, base: nn.Module, model: nn.Module, batch_size: int) -> Payback:
        """What dropping blocks can save on this device, and what the policy costs.

        Args:
            base: The network before it was wrapped.
            model: It under BlockDrop.
            batch_size: Images at a time.
        """
        from greenadapt.adapters.blockdrop.payback import payback

        return payback(model, batch_size)


def _check_objective(config: BlockDropConfig, blocks: Sequence[ResidualBlock]) -> None:
    whole = [block.name for block in blocks if block.droppable and not block.sliceable]
    if config.policy == "learned" and config.keep < 1.0 and config.objective == "gumbel" and whole:
        raise OptionError(
            "The objective 'gumbel' cannot train this model.",
            f"It runs blocks on parts of a batch, which {len(whole)} here cannot do, such as {whole[0]}.",
            "Use objective='counterfactual' or 'reinforce'.",
        )


def _policy(model: nn.Module, config: BlockDropConfig, blocks: int) -> Policy:
    channels, height, width = input_shape(model)
    macs = image_macs(model) if config.policy_net == "auto" else None
    policy = Policy(blocks, channels, (height, width), config.policy_net, config.policy_downscale, macs)
    first = next(model.parameters())
    policy.to(first.device, first.dtype)
    return policy


adapter = BlockDropAdapter()
