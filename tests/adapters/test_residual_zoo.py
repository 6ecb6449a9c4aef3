"""One network of each of timm's files: blocks are found, and dropping them is what an oracle says it is."""

from __future__ import annotations

import pytest
import timm
import torch

from greenadapt.adapters.residual import residual_blocks
from greenadapt.errors import ModelError
from tests.bench.zoo.checking import smallest, values

SHALLOW = {"depth": 2, "embed_dim": 48, "num_heads": 3}
COVERED = {
    "beit_base_patch16_224": SHALLOW,
    "cait_xxs24_224": {"depth": 2},
    "coat_lite_tiny": {},
    "convit_tiny": {"depth": 3, "local_up_to_layer": 2},
    "convmixer_768_32": {},
    "crossvit_tiny_240": {},
    "davit_tiny": {"depths": (1, 1, 1, 1), "embed_dims": (16, 32, 64, 128), "num_heads": (1, 2, 4, 8)},
    "deit_tiny_patch16_224": {"depth": 2},
    "dla46_c": {},
    "edgenext_xx_small": {},
    "efficientformer_l1": {},
    "efficientvit_b0": {},
    "efficientvit_m0": {},
    "eva02_tiny_patch14_224": {"depth": 2},
    "fastvit_t8": {},
    "focalnet_tiny_srf": {},
    "ghostnet_050": {},
    "halonet26t": {},
    "hardcorenas_a": {},
    "hgnetv2_b0": {},
    "hrnet_w18_small": {},
    "iformer_t": {},
    "inception_next_atto": {},
    "lcnetv2_base": {},
    "legacy_seresnet18": {},
    "levit_128s": {},
    "mixer_s32_224": {},
    "mobilenetv3_small_050": {},
    "mobilevit_xxs": {},
    "nest_tiny": {},
    "nextvit_small": {},
    "pit_ti_224": {},
    "poolformerv2_s12": {},
    "pvt_v2_b0": {},
    "regnetx_002": {},
    "repghostnet_050": {},
    "repvit_m0_9": {},
    "res2net50_26w_4s": {"layers": (1, 1, 2, 1)},
    "resnest14d": {},
    "resnetv2_18": {},
    "rexnetr_100": {},
    "shvit_s1": {},
    "skresnet18": {},
    "starnet_s050": {},
    "swiftformer_xs": {},
    "swin_tiny_patch4_window7_224": {"depths": (1, 1, 2, 1), "embed_dim": 24},
    "swinv2_tiny_window8_256": {"depths": (1, 1, 2, 1), "embed_dim": 24},
    "test_byobnet": {},
    "test_convnext": {},
    "tinynet_e": {},
    "test_mambaout": {},
    "test_maxvit": {},
    "test_nfnet": {},
    "test_resnet": {},
    "test_vit": {},
    "tiny_vit_5m_224": {"depths": (1, 1, 2, 1)},
    "tnt_s_legacy_patch16_224": {"depth": 2},
    "twins_pcpvt_small": {"depths": (1, 1, 2, 1)},
    "visformer_tiny": {},
    "xcit_nano_12_p16_224": {"depth": 2},
}
"""Of each file the smallest, or one that is made shallow."""
BARE = {
    "densenet121": "joined to the input",
    "dpn68": "joined to the input",
    "inception_v3": "none adds its input",
    "inception_v4": "none adds its input",
    "nasnetalarge": "",
    "selecsls42": "",
    "vgg11": "none adds its input",
}
"""Files without a residual block that could be dropped, and what is said."""


@pytest.mark.parametrize("name", COVERED)
def test_half_dropped_is_what_the_oracle_says(name):
    model, size = smallest(name, **COVERED[name])
    row = values(model, size, name, "")
    assert row.why_not is None
    assert row.droppable > 0


@pytest.mark.parametrize("name", BARE)
def test_a_network_without_residual_blocks_is_refused_with_the_reason(name):
    with torch.device("meta"):
        model = timm.create_model(name)
    with pytest.raises(ModelError) as raised:
        residual_blocks(model)
    assert BARE[name] in raised.value.seen
