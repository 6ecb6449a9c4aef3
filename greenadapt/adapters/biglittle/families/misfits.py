"""Why the Big-Little rule does not fit a kind of network, in a clause."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from greenadapt.adapters.biglittle.families.base import Misfit

_ISOTROPIC = "it works at one resolution from end to end"
_TOKENS = "its blocks attend over a grid of tokens; the rule is for convolutions"
_DENSE = "its blocks pass on what came before by concatenation, so none can run at another resolution alone"
_BRANCHED = "its stages are not one chain of residual blocks"
_CHAIN = "it has no residual blocks"
_CELLS = "it is made of cells that merge the outputs of several earlier ones"
_MIXED = "its stages mix convolutions with attention or other mixing of tokens"
_UNKNOWN = "its blocks are of a kind that Big-Little has not been taught to cut"
_FOREIGN = "it is torchvision's, and the conversion knows timm's blocks: open timm's of the same name"
_COMPILED = "it is compiled; convert the network that was given to torch.compile, then compile the result"

_REASONS = {
    _ISOTROPIC: """beit cait convit convmixer deepseek_vit deit eva gemma4_vit mlp_mixer
        naflexvit qwen3_vit tnt vision_transformer vision_transformer_hybrid vision_transformer_relpos
        vision_transformer_sam xcit""",
    _TOKENS: """coat crossvit davit focalnet gcvit hiera hieradet_sam2 mvitv2 nest pit pvt_v2 swin_transformer
        swin_transformer_v2 swin_transformer_v2_cr twins""",
    _DENSE: "densenet dpn hgnet rdnet vovnet",
    _BRANCHED: "cspnet cspnext dla hrnet selecsls",
    _CHAIN: "vgg",
    _CELLS: "inception_resnet_v2 inception_v3 inception_v4 nasnet pnasnet",
    _MIXED: """efficientformer efficientformer_v2 efficientvim efficientvit_mit efficientvit_msra fastvit
        iformer levit lowformer maxxvit mobilevit nextvit sequencer shvit swiftformer tiny_vit visformer
       vitamin volo edgenext""",
}


def why_no_family(model: nn.Module) -> str:
    """The reason for a model of a kind that no family knows, without a full stop.

    Args:
        model: Any network.
    """
    if hasattr(model, "_orig_mod"):
        return _COMPILED
    module = type(model).__module__
    return _FOREIGN if module.startswith("torchvision.") else why_no_module(module.rpartition(".")[2])


def altered(model: nn.Module) -> Misfit | None:
    """Why a network whose layers somebody has changed does not convert, or None.

    A layer with computed weights has none to cut, and one that stands in two places cannot run at two
    resolutions.
    """
    first: dict[int, str] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        if is_parametrized(module) or isinstance(vars(module).get("weight"), Tensor):
            return Misfit(
                f"the weights of {name} are computed from others (weight norm, spectral norm, pruning)",
                "Make them the layer's own first: torch.nn.utils.parametrize.remove_parametrizations, "
                "remove_weight_norm or prune.remove.",
            )
        twin = first.setdefault(id(module), name)
        if twin != name and any(True for _ in module.parameters()):
            return Misfit(f"{name} is {twin} once more", "Give each place a layer of its own.")
    return None


def why_no_module(name: str) -> str:
    """The reason for all networks of one of timm's model files.

    Args:
        name: Of the file, such as "densenet".
    """
    return next((reason for reason, names in _REASONS.items() if name in names.split()), _UNKNOWN)
