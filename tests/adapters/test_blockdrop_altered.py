"""BlockDrop on altered networks: compiled in place, pruned to features, holding what cannot be copied."""

from __future__ import annotations

import copy
import pickle
import threading

import pytest
import torch
from timm.models._features import FeatureGetterNet

import greenadapt
from greenadapt.adapters.blockdrop.payback import payback
from greenadapt.adapters.blockdrop.static import static_path
from greenadapt.errors import OptionError
from tests.adapters.test_blockdrop_rough import base, decided, images_of, mixed_images


def test_a_copy_of_what_was_compiled_in_place_is_a_network_of_its_own():
    model = greenadapt.wrap(base(), "blockdrop", policy="spread", keep=0.5)
    images, path = images_of(2), [True, False, False, False]
    with torch.no_grad():
        static = static_path(model, path)(images)
        model.compile(backend="eager")
        model(images)
        assert torch.equal(static_path(model, path)(images), static)
        assert torch.equal(pickle.loads(pickle.dumps(model))(images), model(images))
        twin = copy.deepcopy(model)
        for parameter in twin.parameters():
            parameter.zero_()
        assert twin(images).count_nonzero() == 0


def test_a_network_pruned_to_its_features_still_decides():
    model = decided(base(), 0).eval()
    images = mixed_images(model)
    with torch.no_grad():
        _, want = model.forward_intermediates(images)
        got = FeatureGetterNet(copy.deepcopy(model), out_indices=[0, 1])(images)
    for feature in got:
        assert any(feature.shape == other.shape and torch.allclose(feature, other) for other in want)


def test_what_cannot_be_copied_is_run_without_its_costs_and_says_so_once():
    model = decided(base(), 0).eval()
    images = mixed_images(model)
    with torch.no_grad():
        want = model(images)
        other = decided(base(), 0).eval()
        other.lock = threading.Lock()
        with pytest.warns(UserWarning, match="cannot be measured"):
            torch.testing.assert_close(other(images), want)
        torch.testing.assert_close(other(images), want)


def test_a_policy_that_takes_no_empty_batch_is_not_asked_for_one():
    model = greenadapt.wrap(base(), "blockdrop", policy_net="test_vit").eval()
    with torch.no_grad():
        assert model(images_of(2)[:0]).shape == (0, 5)


def test_numbers_of_images_that_are_none_are_refused():
    with pytest.raises(OptionError, match="batch_size is out of range"):
        payback(greenadapt.wrap(base(), "blockdrop"), 0)


@pytest.mark.parametrize("policy_net", [None, 3])
def test_a_policy_net_that_is_no_name_is_refused(policy_net):
    with pytest.raises(OptionError, match="policy_net is not known"):
        greenadapt.wrap(base(), "blockdrop", policy_net=policy_net)
