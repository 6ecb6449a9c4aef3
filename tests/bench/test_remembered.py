"""A teacher that was asked before answers from its file, and only what it was asked."""

from __future__ import annotations

import timm
import torch

from tests.bench.remembered import remembered


def test_the_second_arm_gets_the_first_ones_logits_and_computes_nothing(tmp_path):
    teacher = timm.create_model("test_resnet", num_classes=5).eval()
    images = torch.randn(4, 3, 64, 64)
    calls = []
    teacher.conv1.register_forward_hook(lambda *_: calls.append(1))
    with torch.no_grad():
        expected = teacher(images)
        first = remembered(teacher, tmp_path / "logits.sqlite")(images)
        asked = len(calls)
        second = remembered(teacher, tmp_path / "logits.sqlite")(images.to(memory_format=torch.channels_last))
    assert torch.equal(first, expected)
    assert torch.equal(second, expected)
    assert len(calls) == asked


def test_other_images_another_network_and_another_precision_are_other_questions(tmp_path):
    file = tmp_path / "logits.sqlite"
    one, two = (timm.create_model("test_resnet", num_classes=5).eval() for _ in range(2))
    images = torch.randn(4, 3, 64, 64)
    with torch.no_grad():
        remembered(one, file)(images)
        assert torch.equal(remembered(two, file)(images), two(images))
        assert torch.equal(remembered(one, file)(images.flip(3)), one(images.flip(3)))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.equal(remembered(one, file)(images), one(images).float())


def test_its_weights_are_the_teachers(tmp_path):
    teacher = timm.create_model("test_resnet", num_classes=5)
    state = remembered(teacher, tmp_path / "logits.sqlite").state_dict()
    assert all(torch.equal(value, state[name]) for name, value in teacher.state_dict().items())
