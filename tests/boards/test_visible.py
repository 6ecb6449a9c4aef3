"""What is read of CUDA_VISIBLE_DEVICES where someone wrote into it what CUDA does not read."""

from __future__ import annotations

import pytest

from greenadapt.boards.visible import Board, visible
from greenadapt.errors import MeasurementError

BOARDS = [Board("GPU-aaaa"), Board("GPU-bbbb"), Board("GPU-cccc")]


def seen(variable: str) -> list[str]:
    return visible(variable, "PCI_BUS_ID", BOARDS).all()


@pytest.mark.parametrize(("variable", "uuid"), [("2", "GPU-cccc"), ("+1", "GPU-bbbb"), (" 007,0", None)])
def test_plain_numbers_name_boards(variable, uuid):
    if uuid is None:
        with pytest.raises(MeasurementError, match="cannot be named"):
            seen(variable)
    else:
        assert seen(variable) == [uuid]


@pytest.mark.parametrize("variable", ["9" * 5000, "-" + "9" * 5000, "0" * 5000 + "9" * 10])
def test_a_number_of_thousands_of_digits_names_no_board_and_is_not_repeated_in_full(variable):
    with pytest.raises(MeasurementError) as error:
        seen(variable)
    assert "characters" in error.value.seen
    assert len(str(error.value)) < 1000


def test_leading_zeros_change_no_number():
    assert seen("0" * 5000 + "2") == ["GPU-cccc"]


@pytest.mark.parametrize("variable", ["٢", "１", "²"])
def test_digits_of_other_scripts_are_no_numbers(variable):
    with pytest.raises(MeasurementError, match="does not document"):
        visible(variable, "PCI_BUS_ID", BOARDS).number(0)
