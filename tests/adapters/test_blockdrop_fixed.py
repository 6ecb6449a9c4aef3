"""Fixed policies: the path found from sensitivity, how it is kept, and paths that do not fit."""

from __future__ import annotations

import copy

import pytest
import torch
from safetensors.torch import load_file, save_file

import greenadapt
from greenadapt import storage
from greenadapt.adapters.blockdrop.fixed import find_best_path
from greenadapt.errors import DataError, ModelError, OptionError
from greenadapt.testing import awake

USELESS = (1, 4)


def images(count=24, seed=0):
    return torch.randn(count, 1, 16, 16, generator=torch.Generator().manual_seed(seed))


def network():
    """Six blocks, of which two do next to nothing and one does more than all others."""
    model = awake("cifar_resnet14", in_chans=1)
    blocks = [*model.layer1, *model.layer2, *model.layer3]
    for index in USELESS:
        torch.nn.init.constant_(blocks[index].bn2.weight, 1e-3)
        torch.nn.init.zeros_(blocks[index].bn2.bias)
    torch.nn.init.constant_(blocks[5].bn2.weight, 4.0)
    return model


def thin(keep=0.5, **options):
    return greenadapt.wrap(network(), "blockdrop", **({"policy": "sensitivity", "keep": keep} | options))


def test_search_leaves_out_the_blocks_that_do_nothing_first():
    model = thin(keep=4 / 6)
    found = find_best_path(model, images(), 4 / 6)
    assert sorted(found.dropped) == list(USELESS)
    assert found.path == tuple(index not in USELESS for index in range(6))
    assert found.divergence[-1] < 0.05
    assert model.greenadapt_paths(images(3)).tolist() == [list(found.path)] * 3


def test_search_is_the_greedy_one_and_measures_the_blocks_again():
    """The lazy search must find what an exhaustive greedy one finds."""
    model, pictures = thin(keep=1 / 6), images()
    found = find_best_path(model, pictures, 1 / 6)

    def divergence(kept):
        table = torch.tensor([b in kept for b in range(6)]).expand(len(pictures), 6)
        whole = torch.ones_like(table)
        with torch.no_grad():
            ours, theirs = (model.forward_under(pictures, t).log_softmax(1) for t in (table, whole))
        return torch.nn.functional.kl_div(ours, theirs, reduction="batchmean", log_target=True).item()

    kept = set(range(6))
    for dropped, expected in zip(found.dropped, found.divergence, strict=True):
        costs = {block: divergence(kept - {block}) for block in kept}
        assert costs[dropped] <= min(costs.values()) * 1.05 + 1e-6
        assert costs[dropped] == pytest.approx(expected, rel=1e-3, abs=1e-5)
        kept.remove(dropped)
    assert len(kept) == 1


def test_path_is_saved_and_loaded(tmp_path):
    model = thin()
    assert "keeps every block until" in str(greenadapt.describe(model))
    find_best_path(model, [(images(8), None), (images(8, 1), None)], 0.5)
    assert "keeps every block until" not in str(greenadapt.describe(model))
    greenadapt.save(model, tmp_path / "thin")
    again = greenadapt.load(tmp_path / "thin")
    assert torch.equal(again(images()), model(images()))
    assert [b.kept for b in greenadapt.describe(again).blocks] == [float(k) for k in model.greenadapt_kept]
    twin = copy.deepcopy(model)
    twin.set_path([True] * 6)
    assert not torch.equal(twin(images()), model(images()))


def test_saved_path_of_numbers_is_refused(tmp_path):
    file = greenadapt.save(thin(), tmp_path / "thin") / storage.WEIGHTS_FILE
    tensors = load_file(file)
    save_file({**tensors, "greenadapt_path": torch.full((6,), 0.4)}, file)
    with pytest.raises(ModelError, match=r"another form: greenadapt_path is \(6,\), not bool \(6,\)"):
        greenadapt.load(tmp_path / "thin")


def test_search_leaves_mode_statistics_and_learned_policy_alone():
    model = thin(policy="learned").train()
    state = copy.deepcopy(model.state_dict())
    found = find_best_path(model, images(), 0.5)
    assert sum(found.path) == 3
    assert model.training
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert model.eval().greenadapt_paths(images()).all()


def test_adapted_search_judges_by_the_statistics_of_the_path_and_leaves_the_norms_alone():
    model, pictures = thin(keep=5 / 6), images()
    state = copy.deepcopy(model.state_dict())
    found = find_best_path(model, pictures, 5 / 6, adapted=True)
    for name, value in model.state_dict().items():
        assert name == "greenadapt_path" or torch.equal(value, state[name]), name
    with torch.no_grad():
        whole = model.forward_under(pictures, torch.ones(len(pictures), 6, dtype=torch.bool)).log_softmax(1)
        path = torch.tensor(found.path).expand(len(pictures), 6)
        ours = model.train().forward_under(pictures, path).log_softmax(1)
    expected = torch.nn.functional.kl_div(ours, whole, reduction="batchmean", log_target=True).item()
    assert found.divergence[0] == pytest.approx(expected, rel=1e-3)
    assert find_best_path(thin(), pictures, 5 / 6).divergence[0] != pytest.approx(expected, rel=0.1)


def test_what_no_path_can_be_found_for():
    with pytest.raises(OptionError, match="keep is out of range"):
        find_best_path(thin(), images(), 0.0)
    with pytest.raises(DataError, match="without images"):
        find_best_path(thin(), images(0), 0.5)
    with pytest.raises(DataError, match="No batch has two"):
        find_best_path(thin(), images(1), 0.5, adapted=True)
    with pytest.raises(ModelError, match="not under BlockDrop"):
        find_best_path(network(), images(), 0.5)
    broken = thin()
    broken.fc.bias.data.fill_(float("nan"))
    with pytest.raises(ModelError, match="no numbers"):
        find_best_path(broken, images(), 0.5)


def test_policy_for_another_number_of_blocks_is_refused():
    model = thin()
    half = torch.full((6,), 0.4)
    for path in (
        [True] * 5,
        [0.4] * 6,
        half,
        ["0"] * 6,
        [2, 3, 4, 5, 0, 1],
        [[True] * 6],
        None,
        torch.tensor(1),
    ):
        with pytest.raises(OptionError, match=r"does not fit[^.]*\.\n.*has 6 blocks"):
            model.set_path(path)
    model.set_path([1, 0, 1, 0, 1, 0])
    assert model.greenadapt_kept == (True, False, True, False, True, False)
    with pytest.raises(ModelError, match="decides on 7 blocks"):
        model.forward_under(images(2), torch.ones(2, 7, dtype=torch.bool))
    for table in (torch.ones(3, 6, dtype=torch.bool), torch.ones(6, dtype=torch.bool), torch.ones(2, 6)):
        with pytest.raises(ModelError, match=r"torch\.\w+, \[.*\]; the batch has 2 images"):
            model.forward_under(images(2), table)
    learned = thin(policy="learned")
    with pytest.raises(ModelError, match="decides for each image"):
        learned.set_path([True] * 6)
    learned.greenadapt_policy.net.reset_classifier(4)
    with pytest.raises(ModelError, match="decides on 4 blocks"):
        learned(images(2))
