"""One network of each of timm's files: blocks are found, and dropping them is what an oracle says it is."""

from __future__ import annotations

import pytest
import timm
import torch

from greenadapt.adapters.residual import residual_blocks
from greenadapt.errors import ModelError
from tests.bench.zoo.checking import smallest, values

SHALLOW = {"depth": 2, "embed_dim": 48, "num_heads": 3}
NARROW = {"depth": 2, "embed_dim": 64, "num_heads": 2}
COVERED = {
    "beit_base_patch16_224": SHALLOW,
    "cait_xxs24_224": {"depth": 2},
    "coat_lite_tiny": {},
    "convit_tiny": {"depth": 3, "local_up_to_layer": 2},
    "convmixer_768_32": {},
    "cpubone_nano": {},
    "crossvit_tiny_240": {},
    "cs3darknet_focus_s": {},
    "csatv2": {"depths": (1, 1, 3, 2), "transformer_depths": (0, 0, 1, 1)},
    "cspnext_tiny": {},
    "davit_tiny": {"depths": (1, 1, 1, 1), "embed_dims": (16, 32, 64, 128), "num_heads": (1, 2, 4, 8)},
    "deepseek_vit_412m": NARROW,
    "deit_tiny_patch16_224": {"depth": 2},
    "dla46_c": {},
    "edgenext_xx_small": {},
    "efficientformer_l1": {},
    "efficientformerv2_s0": {},
    "efficientvit_b0": {},
    "efficientvit_m0": {},
    "ese_vovnet39b": {},
    "eva02_tiny_patch14_224": {"depth": 2},
    "fasternet_t0": {},
    "fastvit_t8": {},
    "focalnet_tiny_srf": {},
    "gcvit_xxtiny": {},
    "gemma4_vit_167m": NARROW,
    "ghostnet_050": {},
    "halonet26t": {},
    "hardcorenas_a": {},
    "hgnetv2_b0": {},
    "hiera_tiny_224": {"stages": (1, 1, 2, 1)},
    "hrnet_w18_small": {},
    "iformer_t": {},
    "inception_next_atto": {},
    "inception_resnet_v2": {},
    "lcnetv2_base": {},
    "legacy_seresnet18": {},
    "legacy_xception": {},
    "levit_128s": {},
    "lowformer_b0": {},
    "mixer_s32_224": {},
    "mobilenetv3_small_050": {},
    "mobilenetv5_base": {},
    "mobilevit_xxs": {},
    "mvitv2_tiny": {},
    "naflexvit_base_patch16_gap": NARROW,
    "nest_tiny": {},
    "nextvit_small": {},
    "pit_ti_224": {},
    "poolformerv2_s12": {},
    "pvt_v2_b0": {},
    "qwen3_vit_88m": NARROW,
    "regnetx_002": {},
    "repghostnet_050": {},
    "repvit_m0_9": {},
    "res2net50_26w_4s": {"layers": (1, 1, 2, 1)},
    "resnest14d": {},
    "resnetv2_18": {},
    "rexnetr_100": {},
    "sam2_hiera_tiny": {"stages": (1, 1, 2, 1), "global_att_blocks": (3,), "embed_dim": 48},
    "samvit_base_patch16_224": {**NARROW, "global_attn_indexes": (1,)},
    "sequencer2d_s": {"layers": (1, 1, 1, 1)},
    "shvit_s1": {},
    "skresnet18": {},
    "starnet_s050": {},
    "swiftformer_xs": {},
    "swin_tiny_patch4_window7_224": {"depths": (1, 1, 2, 1), "embed_dim": 24},
    "swinv2_cr_tiny_ns_224": {"depths": (1, 1, 3, 1), "embed_dim": 24, "num_heads": (1, 2, 4, 8)},
    "swinv2_tiny_window8_256": {"depths": (1, 1, 2, 1), "embed_dim": 24},
    "test_byobnet": {},
    "test_convnext": {},
    "test_mambaout": {},
    "test_maxvit": {},
    "test_nfnet": {},
    "test_resnet": {},
    "test_vit": {},
    "test_vit_relpos": {},
    "tiny_vit_5m_224": {"depths": (1, 1, 2, 1)},
    "tinynet_e": {},
    "tnt_s_legacy_patch16_224": {"depth": 2},
    "tresnet_m": {"layers": (1, 1, 2, 1)},
    "twins_pcpvt_small": {"depths": (1, 1, 2, 1)},
    "visformer_tiny": {},
    "vit_tiny_r_s16_p8_224": {"depth": 2},
    "vitamin_small_224": {"depth": 2},
    "volo_d1_224": {},
    "xception41": {},
    "xcit_nano_12_p16_224": {"depth": 2},
}
"""Of each file the smallest, or one that is made shallow."""
BARE = {
    "densenet121": "joined to the input",
    "dpn68": "joined to the input",
    # Its blocks return a second tensor too, which its head reads.
    "efficientvim_m1": "does not return what it was given",
    "inception_v3": "none adds its input",
    "inception_v4": "none adds its input",
    "nasnetalarge": "none adds its input",
    "pnasnet5large": "none adds its input",
    "rdnet_tiny": "joined to the input",
    "selecsls42": "joined to the input",
    "vgg11": "none adds its input",
}
"""Files without a residual block that could be dropped, and what is said."""


def test_every_file_of_timm_has_a_representative():
    files = {timm.model_entrypoint(name).__module__.rpartition(".")[2] for name in (*COVERED, *BARE)}
    assert files == {
        # Once our zoo is imported, timm lists its files too.
        timm.model_entrypoint(models[0]).__module__.rpartition(".")[2]
        for name in timm.list_modules()
        if (models := timm.list_models(module=name))
        and timm.model_entrypoint(models[0]).__module__.startswith("timm.")
    }


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
