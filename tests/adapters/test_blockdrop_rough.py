"""BlockDrop where it is treated roughly: foreign hooks, masks, nested models, checkpoints, a failed wrap."""

from __future__ import annotations

import pytest
import timm
import torch

import greenadapt
from greenadapt.adapters.blockdrop.objectives.relaxed import Relaxed, norms_of
from greenadapt.adapters.blockdrop.paths import limit, limit_paths, restrict
from greenadapt.adapters.blockdrop.policy import Policy
from greenadapt.adapters.execution import MODES, OnePath, execute, under
from greenadapt.adapters.execution.costs import measure_costs
from greenadapt.adapters.gates import routing
from greenadapt.errors import ModelError, OptionError
from greenadapt.testing import awake

SIZE = 32


def base(name="resnet10t", **arguments):
    model = awake(name, num_classes=5, **arguments)
    model.pretrained_cfg = model.default_cfg = {**model.default_cfg, "input_size": (3, SIZE, SIZE)}
    return model


def decided(model, seed):
    """A model whose policy decides otherwise for each image."""
    torch.manual_seed(seed)
    retrofit = greenadapt.wrap(model, "blockdrop", policy_net="resnet10t")
    head = retrofit.greenadapt_policy.net.get_classifier()
    torch.nn.init.normal_(head.weight, std=20.0)
    torch.nn.init.zeros_(head.bias)
    # A bias puts the threshold between the images, so that each block is kept for some of them.
    with torch.no_grad():
        head.bias.copy_(-retrofit.greenadapt_policy.net(images_of(6)).median(0).values)
    return retrofit


def images_of(count):
    torch.manual_seed(0)
    return torch.randn(count, 3, SIZE, SIZE) * torch.logspace(-1, 1, count).view(-1, 1, 1, 1)


def mixed_images(model, count=6):
    """Images of at least two paths."""
    images = images_of(count)
    assert len(torch.unique(model.greenadapt_paths(images), dim=0)) > 1
    return images


def test_a_hook_that_runs_another_retrofit_does_not_lead_it_astray():
    outer, inner = decided(base(), 0), decided(base(), 1)
    images, others = mixed_images(outer), mixed_images(inner)
    with torch.no_grad():
        expected = inner(others)
        got = []
        outer.layer1.register_forward_hook(lambda *_: got.append(inner(others)))
        outer(images)
    assert got
    assert all(torch.allclose(one, expected, atol=1e-5) for one in got)


@pytest.mark.parametrize("by_sample", [False, True])
@pytest.mark.parametrize("execution", ["auto", "grouped", "gathered"])
def test_a_mask_among_the_arguments_gives_the_logits_of_each_sample_alone(by_sample, execution):
    model = greenadapt.wrap(
        base("vit_tiny_patch16_224", img_size=SIZE, depth=3, embed_dim=48),
        "blockdrop",
        policy_net="resnet10t",
        execution=execution,
    )
    torch.manual_seed(0)
    images, tokens = torch.randn(4, 3, SIZE, SIZE), 5
    table = torch.tensor([[1, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 0]]).bool()
    model.__dict__["greenadapt_paths"] = lambda _: table
    mask = torch.rand(*((4, 1) if by_sample else ()), tokens, tokens) < 0.6
    mask = mask | torch.eye(tokens, dtype=torch.bool)
    with torch.no_grad():
        got = model(images, attn_mask=mask)
        for row, path in enumerate(table.tolist()):
            with under(OnePath(path)):
                alone = model(images[row : row + 1], attn_mask=mask[row : row + 1] if by_sample else mask)
            assert torch.allclose(got[row], alone[0], atol=1e-5)


@pytest.mark.parametrize("gradients", [True, False])
def test_in_training_the_stem_sees_the_whole_batch_once(gradients):
    model = decided(base(), 0)
    images = mixed_images(model)
    model.train()
    model.greenadapt_policy.eval()
    with torch.set_grad_enabled(gradients):
        model(images)
    assert model.bn1.num_batches_tracked == 1


@pytest.mark.parametrize("keeps", [False, True], ids=["dropping it", "keeping it"])
@pytest.mark.parametrize("asked", [False, True], ids=["plain", "gumbel"])
def test_one_image_alone_at_one_pixel_trains(keeps, asked):
    """At 1x1 pixels a norm in training refuses a single image: that of a projection, too."""
    model = greenadapt.wrap(base(), "blockdrop", policy_net="cifar_resnet8", objective="gumbel").train()
    table = torch.full((4, 4), not keeps)
    table[2] = keeps
    images = images_of(4)
    if asked:
        logits = model.forward_in(images, Relaxed(table, torch.zeros(4, 4), norms_of(model)))
    else:
        logits = model.forward_under(images, table)
    logits.sum().backward()
    assert logits.isfinite().all()
    assert all(module.training for module in model.modules())


@pytest.mark.parametrize("execution", MODES)
def test_blocks_that_cannot_run_on_a_part_of_the_batch_are_grouped(execution):
    model = greenadapt.wrap(base("mobilevit_xxs"), "blockdrop", policy="spread", keep=0.5).eval()
    assert not model.greenadapt_sliceable
    torch.manual_seed(0)
    images, table = images_of(3), torch.rand(3, model.greenadapt_blocks) < 0.5
    with torch.inference_mode(), routing(model):
        forward = type(model).retrofit_base.forward.__get__(model)
        found = execute(forward, images, table, execution, sliceable=False)
        alone = [execute(forward, image[None], row[None]) for image, row in zip(images, table, strict=True)]
    torch.testing.assert_close(found, torch.cat(alone), rtol=1e-4, atol=1e-5)


def test_gumbel_is_refused_where_blocks_cannot_run_on_a_part_of_the_batch():
    model = base("mobilevit_xxs")
    with pytest.raises(OptionError, match="runs blocks on parts of a batch"):
        greenadapt.wrap(model, "blockdrop", objective="gumbel")
    greenadapt.wrap(model, "blockdrop", objective="counterfactual")


def test_checkpointing_set_before_the_wrap_gives_the_same_gradients():
    gradients = []
    for before in (False, True):
        model = base()
        if before:
            model.set_grad_checkpointing()
        model = greenadapt.wrap(model, "blockdrop", policy="spread", keep=0.5)
        torch.manual_seed(0)
        model(torch.randn(2, 3, SIZE, SIZE)).square().sum().backward()
        gradients.append({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    assert all(torch.allclose(gradients[0][name], gradients[1][name], rtol=1e-4) for name in gradients[0])


def test_hooks_of_the_base_do_not_see_the_search_for_blocks():
    model, seen = base(), []
    for module in model.modules():
        module.register_forward_hook(lambda *_: seen.append(1))
    greenadapt.wrap(model, "blockdrop", policy="spread", keep=0.5)
    assert not seen


def test_costs_are_measured_where_a_module_holds_an_output_with_a_history():
    model = decided(base(), 0)
    images = mixed_images(model)
    model.layer1[0].register_forward_hook(lambda module, _, out: vars(module).update(last=out))
    model(images)
    assert model.layer1[0].last.grad_fn is not None
    assert measure_costs(model, images, seconds=0.01).blocks == model.greenadapt_blocks


def test_a_wrap_in_place_that_is_broken_off_leaves_the_model_as_it_was(monkeypatch):
    model = greenadapt.open_model("resnet10t", pretrained=False, num_classes=5)
    recipe = model.greenadapt_recipe
    model.greenadapt_recipe = recipe.model_copy(
        update={"base": recipe.base.model_copy(update={"weights": "pretrained"})}
    )
    handle = model.layer1.register_forward_hook(lambda *_: None)
    before = [(module, type(module), set(vars(module))) for module in model.modules()]
    names = list(model.state_dict())

    def interrupted(self, open_model):
        raise KeyboardInterrupt

    monkeypatch.setattr(Policy, "inherit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        greenadapt.wrap(model, "blockdrop", inplace=True, policy_net="resnet10t")
    assert [(module, type(module), set(vars(module))) for module in model.modules()] == before
    assert list(model.state_dict()) == names
    handle.remove()
    assert not model.layer1._forward_hooks


@pytest.mark.parametrize("options", [{"policy": "spread", "keep": 0.5}, {"policy_net": "resnet10t"}])
def test_a_model_without_numbers_is_wrapped_and_filled_later(options):
    filled = greenadapt.wrap(base(), "blockdrop", **options)
    with torch.device("meta"):
        empty = timm.create_model("resnet10t", num_classes=5).eval()
    empty.pretrained_cfg = empty.default_cfg = {**empty.default_cfg, "input_size": (3, SIZE, SIZE)}
    empty = greenadapt.wrap(empty, "blockdrop", **options)
    assert all(tensor.is_meta for tensor in empty.state_dict().values())
    empty.load_state_dict(filled.state_dict(), assign=True)
    images = torch.randn(2, 3, SIZE, SIZE)
    with torch.no_grad():
        assert torch.equal(empty(images), filled(images))


def test_a_policy_that_kept_all_on_the_images_of_its_limit_stays_limited():
    model = greenadapt.wrap(base(), "blockdrop", policy_net="resnet10t", paths=2)
    limit(model, [images_of(6)])
    blocks = model.greenadapt_blocks
    every = torch.cartesian_prod(*[torch.tensor([False, True])] * blocks)
    taken = restrict(every, model.greenadapt_allowed)
    assert len(torch.unique(taken, dim=0)) <= 2
    assert not (every & ~taken).any()


@pytest.mark.parametrize("cost", [float("nan"), float("inf"), 0.0])
def test_costs_that_are_no_price_are_refused(cost):
    with pytest.raises(OptionError, match="costs of the blocks"):
        limit_paths(torch.rand(9, 3) < 0.5, 2, [1.0, cost, 1.0])


@pytest.fixture
def patches():
    """A batch of NaFlexViT: patches with their coordinates, and no images."""
    there = torch.cartesian_prod(torch.arange(3), torch.arange(4)).expand(5, 12, 2)
    valid = torch.ones(5, 12, dtype=torch.bool)
    return {"patches": torch.randn(5, 12, 768), "patch_coord": there, "patch_valid": valid}


def test_a_fixed_path_takes_whatever_its_base_takes(patches):
    model = awake("naflexvit_base_patch16_gap", depth=4, embed_dim=48, num_heads=3)
    retrofit = greenadapt.wrap(model, "blockdrop", policy="spread", keep=0.5)
    model.blocks = torch.nn.Sequential(
        *(b for b, kept in zip(model.blocks, retrofit.greenadapt_kept, strict=True) if kept)
    )
    with torch.inference_mode():
        torch.testing.assert_close(retrofit(patches), model(patches))


def test_a_learned_policy_says_that_it_needs_images(patches):
    model = awake("naflexvit_base_patch16_gap", depth=4, embed_dim=48, num_heads=3)
    retrofit = greenadapt.wrap(model, "blockdrop", policy_net="resnet10t")
    with pytest.raises(ModelError, match="decides by the images"):
        retrofit(patches)
    with pytest.raises(ModelError, match="decides by the images"):
        retrofit.forward_features(**patches)


def test_features_take_their_images_by_name_too():
    model = decided(base(), 0).eval()
    images = mixed_images(model)
    with torch.inference_mode():
        torch.testing.assert_close(model.forward_features(x=images), model.forward_features(images))


def test_the_first_mixed_batch_may_come_through_the_compiler():
    """What blocks cost is measured outside of the compiler, which cannot trace a copy of a network."""
    model = decided(base(), 0).eval()
    images = mixed_images(model)
    with torch.inference_mode():
        found = torch.compile(model, backend="eager")(images)
        torch.testing.assert_close(found, model(images))
