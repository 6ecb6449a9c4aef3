"""Settings as rivals: what may differ, the cheapest at equal accuracy, the batch at the knee."""

import json

import pytest

from greenadapt.comparison import compare
from greenadapt.comparison import table as comparison_table
from greenadapt.comparison.across import FIELDS, words
from greenadapt.errors import OptionError, ProfileError
from greenadapt.profile import Conditions, Validity
from tests.factories import CONDITIONS, ESTIMATED, profile


def setting(name="net", **changes):
    """A profile under another setting; `precision`, `compile`, `batch_size` are conditions."""
    conditions = {key: changes.pop(key) for key in list(changes) if key in Conditions.model_fields}
    made = profile(name, conditions=conditions, **changes)
    batch = made.conditions.batch_size
    seconds = made.summary.seconds_per_inference
    per_batch = seconds.model_copy(
        update={end: getattr(seconds, end) * batch for end in ("mean", "low", "high")}
    )
    return made.model_copy(
        update={"summary": made.summary.model_copy(update={"seconds_per_batch": per_batch})}
    )


def test_what_is_not_named_is_still_refused_and_the_way_out_is_named():
    others = setting(precision="bf16", batch_size=8)
    with pytest.raises(ProfileError) as error:
        compare(profile(), others, across=["precision"])
    assert "batch_size: 32 and 8" in error.value.seen
    assert "bf16" not in error.value.seen
    assert "--across precision,batch" in error.value.todo
    assert compare(profile(), others, across=["batch", "precision"]).across == ("precision", "batch")
    with pytest.raises(ProfileError) as error:
        compare(profile(), setting(precision="bf16", device="another"), across=["precision"])
    assert "Audit both" in error.value.todo


def test_names_that_cannot_be_compared_across_are_an_error_with_those_that_can():
    with pytest.raises(OptionError) as error:
        compare(profile(), profile(), across=["precison"])
    assert "Did you mean precision" in str(error.value)
    assert all(name in error.value.seen for name in FIELDS)
    assert compare(profile(), setting(batch_size=8), across=["batch_size"]).across == ("batch",)


def test_every_name_stands_for_a_condition_that_has_words():
    for name, field in FIELDS.items():
        assert words(name, getattr(CONDITIONS, field))


def test_the_table_has_a_column_for_what_differs_and_the_latency_of_a_batch():
    comparison = compare(
        setting("net@fp32", precision="fp32"),
        setting("net@bf16", precision="bf16", seconds=0.6e-3),
        across=["precision", "batch"],
    )
    titles = [column.title for column in comparison_table.columns(comparison)]
    assert titles[:3] == ["network", "precision", "batch"]
    assert "time/batch" in titles
    assert "time/image" in titles
    cells = comparison_table.cells(comparison)
    assert cells[1][1:3] == ["bf16", "32"]
    head = str(comparison).splitlines()[0]
    assert "fp32" not in head
    assert "batch" not in head
    assert "channels_last" in head
    assert comparison.to_rows()[1]["precision"] == "bf16"
    assert "precision" not in compare(profile(), profile()).to_rows()[0]


def test_each_row_has_one_sentence_against_the_base_with_what_differs():
    comparison = compare(
        setting("net@fp32", watts=50.0),
        setting("net@bf16", precision="bf16", seconds=0.6e-3, watts=50.0),
        setting("net@b8", batch_size=8, seconds=0.9e-3, watts=50.0),
        across=["precision", "batch"],
    )
    first, second = comparison.verdicts
    assert first.startswith("net@bf16 (bf16) beats net@fp32: 39.9 % less energy")
    assert "energy per image" in first
    assert "accuracy" in first
    assert second.startswith("net@b8 (batch 8) beats net@fp32: ")
    assert "a batch takes 7." in second
    assert "ms instead of 32." in second
    assert all(pair.paired for pair in comparison.versus)


def test_settings_of_different_runs_get_names_that_differ():
    comparison = compare(
        profile("net"),
        setting("net", precision="bf16", run_id="run-2"),
        setting("net", precision="bf16", run_id="run-3"),
        across=["precision"],
    )
    assert [row.name for row in comparison.rows] == ["net", "net (bf16)", "net (bf16) (2)"]
    assert "net (bf16) shows" in comparison.verdicts[0]
    assert any("unpaired" in caveat for caveat in comparison.caveats)


def test_the_cheapest_is_sought_among_those_that_are_as_accurate():
    comparison = compare(
        setting("net@fp32", correct=180),
        setting("net@bf16", precision="bf16", seconds=0.7e-3, correct=180),
        setting("net@fp16", precision="fp16", seconds=0.5e-3, correct=140),
        across=["precision"],
    )
    best = comparison.cheapest
    assert (best.name, best.cost, best.accuracy_known, best.alike) == ("net@bf16", "energy", True, ())
    assert "At equal accuracy net@bf16 is the cheapest: 29.9 % less energy" in best.sentence
    assert best.sentence in str(comparison)
    assert json.loads(comparison.to_json())["cheapest"]["name"] == "net@bf16"


def test_nothing_is_called_cheapest_that_is_not_measurably_so():
    noisy = [
        setting(name, noise=0.05, precision=p) for name, p in (("net@fp32", "fp32"), ("net@bf16", "bf16"))
    ]
    best = compare(*noisy, across=["precision"]).cheapest
    assert "nothing is" in best.sentence
    assert "than net@fp32" in best.sentence


def test_without_accuracies_the_cheapest_says_so_and_estimates_go_by_time():
    comparison = compare(
        setting("net@fp32", correct=None, method=ESTIMATED),
        setting("net@bf16", precision="bf16", correct=None, method=ESTIMATED, seconds=0.5e-3),
        across=["precision"],
    )
    assert comparison.cheapest.cost == "time"
    assert "Accuracies were not compared" in comparison.cheapest.sentence
    assert "less time per image" in comparison.cheapest.sentence


def test_an_invalid_audit_is_never_the_cheapest():
    invalid = Validity(status="invalid", reasons=["replayed"])
    comparison = compare(
        setting("net@fp32"),
        setting("net@bf16", precision="bf16", seconds=0.5e-3, validity=invalid),
        across=["precision"],
    )
    assert comparison.cheapest.name == "net@fp32"


@pytest.mark.parametrize(
    ("costs", "knee", "best"),
    [
        ({1: 4e-3, 8: 1.5e-3, 32: 1.04e-3, 128: 1e-3}, 32, 128),
        ({1: 4e-3, 8: 1.5e-3, 32: 1.06e-3, 128: 1e-3}, 128, 128),
        ({1: 1e-3, 8: 1.2e-3}, 1, 1),
    ],
)
def test_the_knee_is_the_smallest_batch_within_five_per_cent_of_the_best(costs, knee, best):
    made = [
        setting(f"net@b{batch}", batch_size=batch, seconds=seconds, noise=0.0)
        for batch, seconds in costs.items()
    ]
    (found,) = compare(*made, across=["batch"]).knees
    assert (found.network, found.batch, found.best_batch) == ("net", knee, best)
    assert found.batches == tuple(costs)
    assert found.costs[0] == made[0].summary.joules_per_inference.mean
    assert ("a larger one may be cheaper" in found.sentence) == (knee == max(costs))


def test_there_is_a_knee_per_network_and_setting_and_time_stands_in_for_unknown_energy():
    made = [
        setting(
            f"{network}@{precision},b{batch}",
            precision=precision,
            batch_size=batch,
            method=ESTIMATED,
            weights_sha256=network,
        )
        for network in ("a", "b")
        for precision in ("fp32", "bf16")
        for batch in (1, 8)
    ]
    comparison = compare(*made, across=["precision", "batch"])
    assert [(knee.network, knee.setting.split(",")[0]) for knee in comparison.knees] == [
        ("a", "fp32"),
        ("a", "bf16"),
        ("b", "fp32"),
        ("b", "bf16"),
    ]
    assert {knee.cost for knee in comparison.knees} == {"time"}
    assert compare(made[0], made[1], across=["batch"]).knees
    assert compare(made[0], made[2], across=["precision"]).knees == ()


def test_a_retrofit_that_loses_to_a_setting_is_reported_as_losing():
    comparison = compare(
        setting("net@fp32"),
        setting("net@bf16", precision="bf16", seconds=0.4e-3),
        setting("thin@fp32", seconds=0.7e-3, adapter="blockdrop"),
        across=["precision"],
    )
    sentences = "\n".join(comparison.verdicts)
    assert "thin@fp32 beats net@fp32" in sentences
    assert "thin@fp32 loses to net@bf16" in sentences
    assert comparison.rows[2].verdict == "beats net@fp32; loses to net@bf16"


def test_caveats_say_what_a_batch_costs_in_latency_and_that_compiling_is_not_counted():
    lines = "\n".join(
        compare(
            setting("net@b1", batch_size=1),
            setting("net@b8", batch_size=8, compile=True),
            across=["batch", "compile"],
        ).caveats
    )
    assert "latency" in lines
    assert "Compiling is not counted" in lines
    assert "latency" not in "\n".join(compare(profile(), profile()).caveats)


def test_a_reason_that_concerns_all_settings_of_a_network_names_it_once():
    doubt = Validity(status="suspect", reasons=["It scatters."])
    made = [
        setting("a@fp32"),
        setting("a@bf16", precision="bf16"),
        *(setting(f"b@{p}", precision=p, validity=doubt) for p in ("fp32", "bf16")),
    ]
    assert "b throughout: It scatters." in compare(*made, across=["precision"]).caveats
