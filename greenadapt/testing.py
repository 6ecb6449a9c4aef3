"""For authors of plugins: the contracts as functions that raise AssertionError, and models to try them on.

check_adapter    the seven points of the adapter contract, in their order
check_meter      what a meter's readings must be like
awake            a fresh network whose every block matters
"""

from __future__ import annotations

import copy
import json
import pickle
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from greenadapt import storage
from greenadapt.errors import GreenadaptError, ModelError, OptionError, RecipeError
from greenadapt.interfaces import Meter
from greenadapt.models import describe, load, open_model, save, wrap

if TYPE_CHECKING:
    from torch import Tensor, nn

_TIMM_API = (
    "forward_features",
    "forward_head",
    "reset_classifier",
    "get_classifier",
    "forward_intermediates",
    "prune_intermediate_layers",
    "group_matcher",
    "set_grad_checkpointing",
    "num_features",
    "head_hidden_size",
    "pretrained_cfg",
)
_PICKLES = (".pt", ".pth", ".pkl", ".bin", ".pickle")


def awake(reference: str, seed: int = 0, **model_args: Any) -> nn.Module:
    """A fresh network in eval mode whose norms are drawn at random, so that every block changes the logits.

    timm zeroes the last norm of each residual block: on such a network a gate that does nothing passes.

    Args:
        reference: As for `greenadapt.open_model`.
        seed: Of weights and norms.
        **model_args: As for `greenadapt.open_model`.
    """
    import torch

    torch.manual_seed(seed)
    model = open_model(reference, pretrained=False, **model_args)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, 0, 0.1)
            torch.nn.init.normal_(module.running_mean, 0, 0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
    return model


def check_adapter(
    name: str,
    model: nn.Module,
    images: Tensor,
    *,
    options: Mapping[str, Any],
    neutral: Mapping[str, Any] | None = None,
    misfit: str = "lcnet_035",
) -> None:
    """Holds an adapter to the adapter contract.

    Args:
        name: The adapter's.
        model: A network it can wrap, in eval mode, such as one of `awake`; it is left as it is.
        images: [B, C, H, W], B at least 2.
        options: Options that change the network.
        neutral: Options under which the retrofit equals the base bit for bit, if there are any.
        misfit: Reference of a network that the adapter cannot wrap.

    Raises:
        AssertionError: A point does not hold; the message names it.
    """
    import torch

    with torch.inference_mode():
        _check_base_untouched(name, model, images, options)
        if neutral is not None:
            same = wrap(model, name, **neutral)
            assert torch.equal(same(images), model(images)), "2: neutral options change the logits"
        retrofit = wrap(model, name, **options)
        _check_timm_api(model, retrofit, images)
        _check_errors(name, model, misfit, retrofit)
        with tempfile.TemporaryDirectory() as folder:
            _check_storage(retrofit, images, Path(folder) / "saved")
        _check_copies(retrofit, images)
        _check_threads(retrofit, images)
    _check_recomputation(retrofit, images.clone())


def _check_base_untouched(name: str, model: nn.Module, images: Tensor, options: Mapping[str, Any]) -> None:
    import torch

    kinds = [type(m) for m in model.modules()]
    state = copy.deepcopy(model.state_dict())
    before = model(images)
    retrofit = wrap(model, name, **options)
    retrofit.train()
    for parameter in retrofit.parameters():
        parameter.data.zero_()
    assert kinds == [type(m) for m in model.modules()], "1: wrap changed a class of the base"
    assert not model.training, "1: wrap changed the mode of the base"
    for key, value in model.state_dict().items():
        assert torch.equal(value, state[key]), f"1: {key} of the base is shared with the retrofit"
    assert torch.equal(model(images), before), "1: wrap changed the outputs of the base"


def _check_timm_api(model: nn.Module, retrofit: Any, images: Tensor) -> None:
    for attribute in _TIMM_API:
        assert hasattr(retrofit, attribute), f"4: the retrofit has no {attribute}"
    added = [key for key in retrofit.state_dict() if key not in model.state_dict()]
    kept = all(key in retrofit.state_dict() for key in model.state_dict())
    if kept:
        assert isinstance(retrofit, type(model)), "4: the retrofit is no instance of the base's class"
        prefixes = {key.partition(".")[0].partition("_")[0] for key in added}
        assert len(prefixes) <= 1, "4: new keys stand under several prefixes"
    assert str(describe(retrofit)).count("\n") > 0, "4: describe says nothing"
    features = retrofit.forward_features(images)
    logits = retrofit.forward_head(features)
    assert (logits - retrofit(images)).abs().max() <= 1e-4 * logits.abs().max(), (
        "4: head(features) is not forward"
    )
    _, intermediates = retrofit.forward_intermediates(images)
    infos = retrofit.feature_info
    assert len(intermediates) == len(infos), "4: forward_intermediates and feature_info disagree"
    for feature, info in zip(intermediates, infos, strict=True):
        expected = images.shape[-1] / info["reduction"]
        assert feature.shape[1] == info["num_chs"], f"4: {info['module']} has {feature.shape[1]} channels"
        assert abs(feature.shape[-1] - expected) < 1, f"4: {info['module']} has size {feature.shape[-1]}"
    other = copy.deepcopy(retrofit)
    other.reset_classifier(7)
    assert other(images).shape == (len(images), 7), "4: reset_classifier has no effect"


def _check_errors(name: str, model: nn.Module, misfit: str, retrofit: Any) -> None:
    _refused(ModelError, "5: wrapping twice", lambda: wrap(retrofit, name))
    unknown: dict[str, Any] = {"no_such_option": 1}
    _refused(OptionError, "5: an unknown option", lambda: wrap(model, name, **unknown))
    other = open_model(misfit, pretrained=False)
    kinds = [type(m) for m in other.modules()]
    _refused(ModelError, "5: a network with nothing to adapt", lambda: wrap(other, name, inplace=True))
    assert kinds == [type(m) for m in other.modules()], "5: a refused wrap left the network half changed"


def _refused(kind: type[GreenadaptError], what: str, call: Any) -> None:
    try:
        call()
    except kind as error:
        assert error.seen, f"{what} does not say what was seen"
        assert error.todo, f"{what} does not say what to do"
        return
    raise AssertionError(f"{what} was accepted")


def _check_storage(retrofit: Any, images: Tensor, folder: Path) -> None:
    import timm
    import torch

    save(retrofit, folder)
    assert torch.equal(load(folder)(images), retrofit(images)), "6: loaded logits differ from the saved ones"
    pickles = [path.name for path in folder.iterdir() if path.suffix in _PICKLES]
    assert not pickles, f"6: pickles in the folder: {pickles}"
    try:
        timm.create_model(f"local-dir:{folder}", pretrained=True)
    except Exception as error:  # timm has no error class of its own
        assert "greenadapt" in str(error), f"4: timm alone fails without saying why: {error}"
    else:
        raise AssertionError("4: timm alone loads the retrofit as another network")
    recipe = folder / storage.RECIPE_FILE
    recipe.write_text(json.dumps(json.loads(recipe.read_text()) | {"version": 999}))
    _refused(RecipeError, "6: a recipe of a newer version", lambda: load(folder))


def _check_copies(retrofit: Any, images: Tensor) -> None:
    import torch

    expected = retrofit(images)
    for how, twin in (
        ("deepcopy", copy.deepcopy(retrofit)),
        ("pickle", pickle.loads(pickle.dumps(retrofit))),
        ("train and eval", retrofit.train().eval()),
    ):
        assert type(twin) is type(retrofit), f"7: {how} changes the class"
        assert torch.equal(twin(images), expected), f"7: {how} changes the logits"
    doubled = copy.deepcopy(retrofit).double()(images.double())
    assert doubled.dtype == torch.float64, "7: .double() has no effect"
    assert torch.allclose(doubled.float(), expected, rtol=1e-3, atol=1e-3), "7: .double() changes the logits"
    half = copy.deepcopy(retrofit).half()(images.half())
    assert half.dtype == torch.float16, "7: .half() has no effect"
    assert half.isfinite().all(), "7: .half() gives no numbers"
    last = copy.deepcopy(retrofit).to(memory_format=torch.channels_last)
    channels_last = last(images.to(memory_format=torch.channels_last))
    assert torch.allclose(channels_last, expected, rtol=1e-3, atol=1e-3), (
        "7: channels_last changes the logits"
    )


def _check_threads(retrofit: Any, images: Tensor) -> None:
    import torch

    batches = [images.roll(shift, 0) for shift in range(8)]
    expected = [retrofit(batch) for batch in batches]
    found: list[Any] = [None] * len(batches)

    def work(index: int) -> None:
        with torch.inference_mode():
            found[index] = retrofit(batches[index])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(batches))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for ours, theirs in zip(found, expected, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-5), "7: concurrent calls disturb each other"


def _check_recomputation(retrofit: Any, images: Tensor) -> None:
    import torch

    gradients = []
    for enable in (False, True):
        twin = copy.deepcopy(retrofit).double()
        for norm in twin.modules():
            if isinstance(norm, torch.nn.BatchNorm2d):
                norm.momentum = 0.0
        twin.set_grad_checkpointing(enable)
        # Two forwards before one backward: a recomputation must see the decisions of its own forward.
        first = twin(images.double())
        twin(images.double().flip(0))
        first.pow(2).sum().backward()
        gradients.append([p.grad for p in twin.parameters() if p.grad is not None])
    assert len(gradients[0]) == len(gradients[1]) > 0, "7: checkpointing loses gradients"
    for plain, recomputed in zip(*gradients, strict=True):
        assert torch.allclose(plain, recomputed, rtol=1e-6, atol=1e-9), "7: checkpointing changes gradients"


def check_meter(meter: Meter, readings: int = 20, *, break_it: Callable[[], object] | None = None) -> None:
    """Holds an open meter to the meter contract; see `greenadapt.auditing.meter_contract` for its points.

    It watches the counter for half a second, or for six of its periods. A meter that does no work while
    nothing happens must be kept busy meanwhile.

    Args:
        meter: An open meter; it is closed at the end.
        readings: How many to take at once.
        break_it: Makes the meter's source fail (removes its file, say): the next reading must then be a
            `MeasurementError`. Not tried without it.

    Raises:
        AssertionError: A point does not hold; the message begins with its number.
    """
    from greenadapt.auditing.meter_contract import hold_to_contract

    hold_to_contract(meter, readings, break_it)
