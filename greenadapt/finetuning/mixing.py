"""Mixtures of images and of their labels, the same in every training of one seed.

    x  =  l x_a + (1 - l) x_b        l ~ Beta(alpha, alpha), one for the whole batch, 1/2 or more
    y  =  l y_a + (1 - l) y_b        y_b is another image's of the same batch

A teacher that is asked about mixtures tells more than about the images that it was trained on, of which it
is sure. Draws depend on seed, epoch and step alone: a resumed training goes on as if it had never stopped.

Source: Zhang et al., "mixup", ICLR 2018; with a teacher: Beyer et al., "Knowledge distillation: A good
teacher is patient and consistent", CVPR 2022.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def mixed(
    images: Tensor, labels: Tensor, classes: int, alpha: float, draw: tuple[int, int, int]
) -> tuple[Tensor, Tensor]:
    """A batch of mixtures.

    Args:
        images: [B, C, H, W].
        labels: int64, [B].
        classes: How many there are.
        alpha: Of the Beta distribution; 1 draws all shares alike, small ones mix little.
        draw: Seed, epoch and step.

    Returns:
        Images [B, C, H, W] in the memory format they had, and labels as shares of classes, float32
        [B, classes].
    """
    import numpy as np
    import torch
    from torch.nn.functional import one_hot

    random = np.random.default_rng(draw)
    share = float(random.beta(alpha, alpha))
    share = max(share, 1 - share)
    other = torch.from_numpy(random.permutation(len(images))).to(images.device)
    shares = one_hot(labels, classes).float()
    return images.lerp(images[other], 1 - share), shares.lerp(shares[other], 1 - share)
