from __future__ import annotations

import click
import pytest
from click.testing import CliRunner, Result

from greenadapt.cli.carbon import carbon_inputs, carbon_options
from greenadapt.errors import OptionError


def said(*arguments: str) -> Result:
    @click.command()
    @carbon_options
    def command(grids: dict[str, object]) -> None:
        inputs = carbon_inputs(grids)
        for each in ([grid.place for grid in inputs.wanted()], inputs.pue, inputs.embodied):
            click.echo(str(each))

    return CliRunner().invoke(command, list(arguments))


def test_everything_arrives():
    result = said(
        *("--place", "fra", "--place", "SWE", "--intensity", "56:RTE", "--pue", "1.2"),
        *("--embodied-grams", "150000", "--lifetime-years", "4", "--hardware-share", "0.125"),
    )
    places, pue, embodied = result.output.splitlines()
    assert (places, pue) == ("['FRA', 'SWE', 'given']", "1.2")
    assert "total_grams=150000.0 lifetime_years=4.0 share=0.125" in embodied


def test_nothing_is_fine_too():
    assert said().output.splitlines() == ["[]", "None", "None"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--pue", "0.9", "--place", "FRA"), "--pue"),
        (("--embodied-grams", "1000", "--place", "FRA"), "--lifetime-years"),
        (("--hardware-share", "0.5", "--place", "FRA"), "--embodied-grams"),
        (("--hardware-share", "1.5", "--place", "FRA"), "--hardware-share"),
    ],
)
def test_half_an_input_is_a_usage_error(arguments, message):
    result = said(*arguments)
    assert result.exit_code == 2
    assert message in result.output


@pytest.mark.parametrize(
    ("arguments", "happened"),
    [
        (("--pue", "1.2"), "no grid"),
        (("--intensity", "clean"), "no intensity"),
        (("--place", "FRE"), "not known"),
    ],
)
def test_what_cannot_be_worked_out_is_an_error_of_three_lines(arguments, happened):
    error = said(*arguments).exception
    assert isinstance(error, OptionError)
    assert happened in error.happened
    assert error.todo
