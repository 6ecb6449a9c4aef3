"""Why the Big-Little rule does not fit a kind of network, in a clause."""

from __future__ import annotations

from torch import nn

_ISOTROPIC = "it works on tokens at one resolution from end to end"
_TOKENS = "its blocks attend over a grid of tokens; the rule is for convolutions"
_DENSE = "its blocks pass on what came before by concatenation, so none can run at another resolution alone"
_BRANCHED = "its stages are not one chain of residual blocks"
_CHAIN = "it has no residual blocks"
_CELLS = "it is made of cells that merge the outputs of several earlier ones"
_MIXED = "its stages mix convolutions with attention or other mixing of tokens"
_UNKNOWN = "no family here knows its blocks"

_REASONS = {
    _ISOTROPIC: """beit cait convit convmixer deepseek_vit deit eva gemma4_vit hieradet_sam2 mlp_mixer
        naflexvit qwen3_vit tnt vision_transformer vision_transformer_hybrid vision_transformer_relpos
        vision_transformer_sam volo xcit""",
    _TOKENS: """coat crossvit davit focalnet gcvit hiera mvitv2 nest pit pvt_v2 swin_transformer
        swin_transformer_v2 swin_transformer_v2_cr twins""",
    _DENSE: "densenet dpn hgnet rdnet vovnet",
    _BRANCHED: "cspnet cspnext dla hrnet selecsls",
    _CHAIN: "vgg",
    _CELLS: "inception_resnet_v2 inception_v3 inception_v4 nasnet pnasnet",
    _MIXED: """efficientformer efficientformer_v2 efficientvim efficientvit_mit efficientvit_msra fastvit
        iformer levit lowformer maxxvit mobilevit nextvit sequencer shvit swiftformer tiny_vit visformer
        vitamin edgenext""",
}


def why_no_family(model: nn.Module) -> str:
    """The reason for a model of a kind that no family knows, without a full stop.

    Args:
        model: Any network.
    """
    return why_no_module(type(model).__module__.rpartition(".")[2])


def why_no_module(name: str) -> str:
    """The reason for all networks of one of timm's model files.

    Args:
        name: Of the file, such as "densenet".
    """
    return next((reason for reason, names in _REASONS.items() if name in names.split()), _UNKNOWN)
