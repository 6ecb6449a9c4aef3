"""BlockDrop on photos: what the section says of made-up figures, the rule, and the halves of the photos."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch

from tests.bench import paired
from tests.bench import photos as shared
from tests.bench.blockdrop import page, photos, photos_section


def quality(right: int):
    return paired.quality((np.arange(500) < right).tolist(), "photos", "f")


def arm(right: int, ratio: float, **more):
    """A row that is this much faster in every round, by a hair more or less."""
    row = {
        "name": "fixed 1",
        "kind": "fixed",
        "trained": False,
        "dropped": 1.0,
        "paths": 1,
        "macs": 80.0,
        "quality": quality(right),
        "rounds": [[10.0, 10.0 * ratio + step / 100] for step in range(20)],
        "curve": None,
    }
    return {**row, **more}


def made_up():
    base = {
        "name": "base",
        "blocks": ["a", "b", "c"],
        "residual": 5,
        "classes": 296,
        "classes_not_trained_on": 132,
        "dropped_in_order": [2, 0],
        "macs": 100,
        "quality": quality(450),
    }
    policy = {"rounds": [[10.0, 4.0]] * 20, "macs": 61, "dearest_to_pay": None}
    learned = {"name": "learned 1, distilled", "kind": "learned", "trained": True, "paths": 3}
    return [
        base,
        {"name": "policy big / 2", **policy},
        {"name": "policy small / 4", **policy, "macs": 2, "dearest_to_pay": 1},
        arm(449, 0.9),
        arm(400, 0.8, name="fixed 2", dropped=2.0),
        arm(430, 0.9, name="fixed 1, distilled", trained=True, curve=[{"loss": 1.0}] * 3),
        arm(450, 1.1, **learned, curve=[{"loss": 1.0}] * 3),
    ]


@pytest.mark.parametrize(
    ("right", "ratio", "verdict"),
    [
        (450, 0.9, "pays"),
        (448, 0.9, "pays"),
        # Two points, and the interval reaches below them.
        (440, 0.9, "**not shown to pay**: accuracy"),
        (420, 0.9, "**does not pay**: accuracy"),
        # Faster in most rounds, and not surely so.
        (450, 0.992, "**not shown to pay**: time"),
        (450, 1.1, "**does not pay**: time"),
        (400, 1.1, "**does not pay**: accuracy and time"),
    ],
)
def test_a_row_pays_only_if_accuracy_and_time_are_both_sure(right, ratio, verdict):
    row, base = arm(right, ratio), made_up()[0]
    assert photos_section.pays(row, base) is (verdict == "pays")
    assert f"| {verdict} |" in photos_section.drawn([base, row])


def test_section_says_what_pays_what_training_did_and_what_a_policy_costs():
    text = photos_section.drawn(made_up())
    assert "1 of 4 rows pay: fixed path with 1 dropped." in text
    assert text.count("**does not pay**") == 3
    assert "fixed path, distilled, 1 dropped, against fixed path, 1 dropped: -3.80" in text
    assert "worse." in text
    assert "learned policy, distilled, 1 dropped, against fixed path, distilled, 1 dropped: +4.00" in text
    assert "the learned policy takes 3 path(s)" in text
    assert "big / 2: 0 of 0 MFLOPs, 61.0%, and 40.0% of the time" in text
    assert "it will not pay: it costs more than 2 of 3 blocks can save" in text
    assert "in FLOPs it has paid once it drops 1 of the dearest of 3 blocks" in text
    assert "c, a." in text
    assert "for 3 epochs" in text
    assert "Not measured" not in text


def test_section_of_a_run_cut_short_is_drawn_from_what_there_is():
    text = photos_section.drawn(made_up()[:1])
    assert "0 of 0 rows pay. Not measured yet: the distilled path and the learned policy;" in text
    assert "yet: the learned policy;" in photos_section.drawn(made_up()[:-1])


def test_page_has_the_section(tmp_path):
    assert "photos_section" in page.SECTIONS
    assert f"`{photos_section.COMMAND}`" in page.drawn(tmp_path, ["photos_section"])


def test_every_arm_is_named_once_and_starts_as_it_says():
    assert len({one.name for one in photos.ARMS}) == len(photos.ARMS)
    base = timm.create_model("tf_efficientnet_lite0", num_classes=2).eval()
    order = list(range(8, 2, -1))
    image = torch.zeros(1, 3, 64, 64)
    for one in photos.ARMS:
        thin = photos.wrapped(one, base, order, 9)
        kept = thin.greenadapt_paths(image)[0]
        dropped = [] if one.kind == "learned" else order[: one.dropped]
        assert [k for k in range(9) if not kept[k]] == sorted(dropped)
        assert round(9 * (1 - thin.greenadapt_config.keep)) == one.dropped


def test_macs_are_the_mean_over_the_paths_with_the_policy():
    base = timm.create_model("tf_efficientnet_lite0", num_classes=2).eval()
    thin = photos.wrapped(photos.ARMS[-1], base, [], 9)
    kept = torch.ones(1, 9, dtype=torch.bool)
    without = kept.clone()
    without[0, 4] = False
    whole, less = (photos._macs(thin, table) for table in (kept, without))
    assert whole - thin.greenadapt_policy.macs == pytest.approx(385e6, rel=0.01)
    assert whole - less == 112 * 672 * 2 * 196 + 25 * 672 * 196
    assert photos._macs(thin, torch.cat([kept, without])) == (whole + less) / 2


@pytest.mark.skipif(not shared.available(), reason="shared/data is not beside the checkout")
def test_halves_are_disjoint_and_the_same_each_time():
    train, held_out = shared.photos()
    files = [{sample.path for sample in half.samples} for half in (train, held_out)]
    assert not files[0] & files[1]
    assert [len(half) for half in files] == [500, 500]
    assert (train.view.augment, held_out.view.augment) == (True, False)
    assert train.samples[:1] == shared.photos(augment=False)[0].samples[:1]
