import csv
import io
import json

import pytest

from greenadapt.comparison import compare
from greenadapt.comparison import table as comparison_table
from greenadapt.errors import OptionError, ProfileError
from greenadapt.profile import Validity
from tests.factories import ESTIMATED, profile, quality, training


def thin(name="thin", **changes):
    return profile(name, **({"seconds": 0.7e-3, "adapter": "blockdrop", "macs": 24e6} | changes))


def test_profiles_of_one_run_are_paired_so_that_drift_cancels():
    comparison = compare(profile(), thin())
    apart = compare(profile(), thin(run_id="run-2"))
    paired, unpaired = comparison.rows[1], apart.rows[1]
    assert paired.paired
    assert not unpaired.paired
    assert paired.latency_ratio.mean == pytest.approx(0.7, rel=0.01)
    assert paired.latency_ratio.low < 0.7 < paired.latency_ratio.high
    width = paired.latency_ratio.high - paired.latency_ratio.low
    assert width < 0.5 * (unpaired.latency_ratio.high - unpaired.latency_ratio.low)
    assert any("unpaired" in caveat for caveat in apart.caveats)
    assert not any("unpaired" in caveat for caveat in comparison.caveats)


def test_differing_conditions_are_refused_and_named_with_both_values():
    with pytest.raises(ProfileError) as error:
        compare(profile(), thin(conditions={"batch_size": 8, "precision": "bf16"}))
    assert "batch_size: 32 and 8" in error.value.seen
    assert "precision: 'fp32' and 'bf16'" in error.value.seen


def test_one_profile_alone_is_an_error():
    with pytest.raises(OptionError, match="nothing to compare"):
        compare(profile())


def test_an_interval_over_one_is_no_measurable_difference_and_never_a_number():
    comparison = compare(profile(noise=0.02), thin(seconds=1e-3, noise=0.02))
    row = comparison.rows[1]
    assert row.latency_ratio.low < 1 < row.latency_ratio.high
    assert row.verdict == "no measurable difference from base"
    assert "thin shows no measurable difference from base" in comparison.verdicts[0]
    assert "no measurable\n" in comparison_table.cells(comparison)[1][2]


def test_realised_share_is_time_saved_over_flops_saved():
    row = compare(profile(macs=40e6), thin(macs=24e6)).rows[1]
    assert row.flops_per_image == 48e6
    assert row.realised_share == pytest.approx((1 - row.latency_ratio.mean) / (1 - 24 / 40))
    assert compare(profile(macs=20e6), thin(macs=24e6)).rows[1].realised_share is None
    assert compare(profile(macs=None), thin()).rows[1].realised_share is None


def test_payback_divides_the_measured_training_by_the_saving():
    base = profile()
    row = compare(base, thin(trained=(training(900.0),))).rows[1]
    saved = base.summary.joules_per_inference.mean * (1 - row.energy_ratio.mean)
    assert row.payback_inferences == pytest.approx(900.0 / saved)
    assert compare(base, thin(trained=(training(None),))).rows[1].payback_inferences is None
    assert compare(base, thin()).rows[1].payback_inferences is None
    dearer = thin(seconds=1.5e-3, trained=(training(900.0),))
    assert compare(base, dearer).rows[1].payback_inferences is None


def test_the_training_of_the_base_is_not_paid_back_by_the_retrofit():
    first, second = training(5000.0), training(900.0)
    with_base = compare(profile(trained=(first,)), thin(trained=(first, second))).rows[1]
    alone = compare(profile(), thin(trained=(second,))).rows[1]
    assert with_base.payback_inferences == pytest.approx(alone.payback_inferences)


def test_estimates_give_a_verdict_on_latency_only():
    comparison = compare(profile(method=ESTIMATED), thin(method=ESTIMATED))
    row = comparison.rows[1]
    assert row.energy_ratio is None
    assert row.joules_per_inference is not None
    assert "estimated: constant power x time" in comparison.method
    assert "energy" not in comparison.verdicts[0]
    assert "less time per image" in comparison.verdicts[0]
    assert "constant power x time" in comparison_head(comparison)
    assert row.payback_inferences is None


def comparison_head(comparison):
    return " ".join(str(comparison).split("---")[0].split())


def test_measured_and_estimated_are_never_set_against_each_other():
    comparison = compare(profile(), thin(method=ESTIMATED))
    assert comparison.rows[1].energy_ratio is None
    assert any("not compared" in caveat for caveat in comparison.caveats)
    assert "estimated: constant power x time" in str(comparison)
    assert "measured" in str(comparison)


def test_without_a_meter_energy_is_unknown_and_never_zero():
    method = ESTIMATED.model_copy(
        update={"kind": None, "meter": None, "scope": None, "why_not": "No counter here."}
    )
    comparison = compare(profile(watts=None, method=method), thin(watts=None, method=method))
    assert comparison.to_rows()[1]["joules_per_inference_mean"] is None
    assert "No counter here." in comparison.method
    assert "unknown" in str(comparison)


@pytest.mark.parametrize(
    ("rival", "outcome"),
    [
        ({"seconds": 0.4e-3, "correct": 181}, "loses to"),
        ({"seconds": 0.7e-3, "correct": 200}, "loses to"),
        ({"seconds": 0.9e-3, "correct": 180}, "beats"),
        ({"seconds": 0.7e-3, "correct": 140}, "beats"),
        ({"seconds": 0.4e-3, "correct": 140}, "dearer but more accurate than"),
        ({"seconds": 0.9e-3, "correct": 200}, "cheaper but less accurate than"),
        ({"seconds": 0.7e-3, "correct": 180, "noise": 0.03}, "no measurable difference from"),
        ({"seconds": 0.4e-3, "correct": None}, "no verdict against"),
    ],
)
def test_a_retrofit_is_held_against_its_rivals(rival, outcome):
    comparison = compare(profile(), thin(correct=180), profile("resnet8", macs=12e6, **rival))
    pair = comparison.versus[1]
    assert (pair.network, pair.other, pair.outcome) == ("thin", "resnet8", outcome)
    assert ("loses to resnet8" in comparison.rows[1].verdict) == (outcome == "loses to")
    assert f"{outcome} resnet8: " in pair.sentence
    assert comparison.rows[2].role == "rival"


def test_a_verdict_by_energy_comes_before_one_by_time():
    """A network that takes less energy but more time beats: the ranking is by energy."""
    frugal = thin(seconds=1.2e-3, watts=20.0)
    pair = compare(profile(), frugal).versus[0]
    assert pair.outcome == "beats"
    assert "less energy per image" in pair.sentence
    assert "more time per image" in pair.sentence


def test_mcnemar_uses_the_hit_bitmaps():
    from scipy.stats import binomtest

    base = profile(correct=180)
    shifted = thin(correct=170, flip=20)
    difference = compare(base, shifted).rows[1].top1_difference
    assert (difference.won, difference.lost) == (10, 20)
    assert difference.mean == pytest.approx(-0.05)
    assert difference.p_value == pytest.approx(binomtest(10, 30).pvalue)
    assert difference.low < -0.05 < difference.high


def test_accuracies_on_other_images_are_not_compared():
    other = thin(quality=quality(180, fingerprint="other"))
    comparison = compare(profile(), other)
    assert comparison.rows[1].top1_difference is None
    assert any("other images" in caveat for caveat in comparison.caveats)


def test_an_invalid_audit_gives_no_verdict_and_a_suspect_one_a_caveat():
    invalid = Validity(status="invalid", reasons=["the clock fell by 9 %"])
    comparison = compare(profile(), thin(validity=invalid))
    assert comparison.versus[0].outcome == "no verdict against"
    assert any("the clock fell by 9 %" in caveat for caveat in comparison.caveats)
    suspect = Validity(status="suspect", reasons=["others used the processor"])
    assert compare(profile(), thin(validity=suspect)).versus[0].outcome == "beats"


def test_a_name_that_occurs_twice_gets_a_number():
    assert [row.name for row in compare(profile(), profile(seconds=2e-3)).rows] == ["base", "base (2)"]


def test_a_reason_for_doubt_is_said_once_with_the_networks_it_concerns():
    quick = Validity(status="suspect", reasons=["A quick plan."])
    both = Validity(status="suspect", reasons=["A quick plan.", "The time scatters."])
    lines = compare(profile(validity=quick), thin(validity=both)).caveats
    assert lines[:3] == ("Suspect: all networks.", "A quick plan.", "thin: The time scatters.")


def test_rows_csv_and_json_hold_the_same_raw_numbers():
    comparison = compare(profile(), thin())
    rows = comparison.to_rows()
    from_csv = list(csv.DictReader(io.StringIO(comparison.to_csv())))
    from_json = json.loads(comparison.to_json())
    assert float(from_csv[1]["latency_ratio_mean"]) == rows[1]["latency_ratio_mean"]
    assert from_csv[0]["latency_ratio_mean"] == ""
    assert from_json["rows"] == json.loads(json.dumps(rows))
    assert from_json["versus"][0]["outcome"] == "beats"


def test_markdown_has_a_row_per_network():
    lines = compare(profile(), thin(), profile("resnet8")).to_markdown().splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 2 + 3
    assert len({line.count("|") for line in table}) == 1


@pytest.mark.parametrize(
    ("condition", "fails"),
    [
        ("energy > -10%", False),
        ("energy > -40%", True),
        ("latency > -29%", False),
        ("latency>=-31%", True),
        ("latency < -5 %", True),
        ("top1 < -1", True),
        ("top1 < -5", False),
        ("flops > -50%", True),
        ("parameters > 0%", False),
    ],
)
def test_fail_if_is_about_the_change_against_the_base(condition, fails):
    comparison = compare(profile(correct=180), thin(correct=175))
    assert bool(comparison.fail_if(condition)) == fails


def test_fail_if_asks_the_retrofits_and_not_their_rivals():
    comparison = compare(profile(), thin(), profile("resnet8", seconds=2e-3))
    assert comparison.fail_if("latency > 0%") == []
    assert len(compare(profile(), profile("resnet8", seconds=2e-3)).fail_if("latency > 0%")) == 1


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ("enrgy > -10%", "Did you mean energy"),
        ("energy", "not a condition"),
        ("energy > -10% or top1 < 0", "not a condition"),
        ("energy > -10", "per cent"),
        ("top1 < -1%", "points"),
        ("__import__('os') > 1%", "not a condition"),
    ],
)
def test_a_malformed_condition_is_an_error_that_says_what_to_write(condition, words):
    with pytest.raises(OptionError) as error:
        compare(profile(), thin()).fail_if(condition)
    assert words in str(error.value)


def test_fail_if_on_estimated_energy_is_an_error_that_says_so():
    comparison = compare(profile(method=ESTIMATED), thin(method=ESTIMATED))
    with pytest.raises(OptionError, match="estimated as constant power x time"):
        comparison.fail_if("energy > -10%")


def test_printing_shows_conditions_method_table_and_verdicts():
    text = str(compare(profile(), thin()))
    assert "Test CPU, 2 threads, batch 32, fp32, 1x28x28 px" in text
    assert "measured (nvml, gpu, idle power included)" in text
    assert "thin beats base: 30" in text
    assert "2 x MAC" in text
