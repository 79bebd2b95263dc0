"""What is a rule, what is none, and what is said about it."""

from __future__ import annotations

import shlex
from contextlib import suppress

import pytest
from diffai_compare_regression.directions import check_direction, parse_direction
from diffai_compare_regression.rules import (
    MODEL_MEASURES,
    NEW_MEASURES,
    PAIR_MEASURES,
    RUN_MEASURES,
    Rule,
    check_rule,
    parse,
)
from diffai_compare_regression.tolerances import (
    Tolerance,
    check_alpha,
    check_tolerance,
    parse_tolerance,
    tolerance_table,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from diffai_core.plugin import UsageError

MEASURES = (*PAIR_MEASURES, *NEW_MEASURES, *MODEL_MEASURES, *RUN_MEASURES)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("rel_change > 0.1", ("pair", "rel_change", ">", 0.1, None)),
        ("rel_change>0.1@*.norm.*", ("pair", "rel_change", ">", 0.1, "*.norm.*")),
        ("  norm_ratio <= .5 @ layers.[0-3].*  ", ("pair", "norm_ratio", "<=", 0.5, "layers.[0-3].*")),
        ("parameters_change < -0.05", ("model", "parameters_change", "<", -0.05, None)),
        ("parameters_change >= -1.", ("model", "parameters_change", ">=", -1.0, None)),
        ("n_nan_new != 0", ("new", "n_nan_new", "!=", 0, None)),
        ("tensors_removed == 0 @ *.bias", ("model", "tensors_removed", "==", 0, "*.bias")),
        ("max_abs_diff > 1e-3", ("pair", "max_abs_diff", ">", 1e-3, None)),
        ("max_abs_diff > +1E+3", ("pair", "max_abs_diff", ">", 1e3, None)),
        ("metric:accuracy < 0.9", ("metric", "accuracy", "<", 0.9, None)),
        ("metric: eval/acc,none (5-shot) < 0.9", ("metric", "eval/acc,none (5-shot)", "<", 0.9, None)),
        ("degradation:точность > 0.01", ("degradation", "точность", ">", 0.01, None)),
        ("metric:f1@10 < 0.9", ("metric", "f1@10", "<", 0.9, None)),
        ("anomalies > 0", ("run", "anomalies", ">", 0, None)),
        ("quantization_analysis.sqnr_db < 30", ("analysis", "quantization_analysis.sqnr_db", "<", 30, None)),
        ("rel_change > 0 @ слой.*", ("pair", "rel_change", ">", 0, "слой.*")),
        ("rel_change > 0 @ a@b", ("pair", "rel_change", ">", 0, "a@b")),
    ],
)
def test_a_rule_is_read_as_it_is_written(text, rule):
    assert parse(text) == Rule(" ".join(text.split()), *rule)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "names no measure; write MEASURE OP NUMBER"),
        ("> 0.1", "names no measure"),
        ("rel_change", "compares with nothing (quote the rule for the shell)"),
        ("rel_change 0.1", "'rel_change 0.1' is no measure, did you mean rel_change?"),
        ("rel_change >", "has no number to compare with"),
        ("rel_change > @ *", "has no number to compare with"),
        ("rel_change = 0.1", "'=' in 'rel_change = 0.1' is no operator; write =="),
        ("rel_change => 0.1", "write >="),
        ("rel_change ≥ 0.1", "'≥' in 'rel_change ≥ 0.1' is no operator; write >="),
        ("rel_change <> 0.1", "write !="),
        ("rel_change >>> 0.1", "write one of > >= < <= == !="),
        ("rel_change > nan", "'nan' in 'rel_change > nan' is not a finite number"),
        ("rel_change > inf", "is not a finite number"),
        ("rel_change > 1e999", "is not a finite number"),
        ("rel_change > 1_000", "is not a finite number"),
        ("rel_change > \uff11", "is not a finite number"),
        ("rel_change > 0,1", "'0,1' in 'rel_change > 0,1' is not a finite number"),
        ("rel_change > 10%", "is not a finite number"),
        ("rel_change > 0.1 and n_changed > 3", "is not a finite number"),
        ("rel_change > 0.1 @", "names no tensors after @"),
        ("rel_chnage > 0.1", "'rel_chnage' is no measure, did you mean rel_change?"),
        ("REL_CHANGE > 0.1", "did you mean rel_change?"),
        ("изменение > 0.1", "there are rel_change, max_abs_diff"),
        ("metric: > 0.1", "'metric:' names no metric; write for instance metric:accuracy"),
        ("metric:accuracy < 0.9 @ *", "only measures of tensors take @ GLOB"),
        ("anomalies > 0 @ *", "only measures of tensors take @ GLOB"),
        ("a.b.c > 0", "is no measure"),
        ("x" * 1000 + " > 1", "is no measure"),
    ],
)
def test_what_is_no_rule_is_refused_with_what_would_be_right(text, message):
    with pytest.raises(UsageError) as caught:
        check_rule(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700


@given(
    st.sampled_from(MEASURES),
    st.sampled_from([">", ">=", "<", "<=", "==", "!="]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["", " ", "  "]),
)
@settings(max_examples=100, deadline=None, derandomize=True)
def test_any_measure_operator_and_number_come_back(measure, op, limit, space):
    rule = parse(f"{measure}{space}{op}{space}{limit!r}")
    assert (rule.measure, rule.op, rule.limit, rule.glob) == (measure, op, limit, None)
    assert rule.holds(limit) == (op in {">=", "<=", "=="})


@given(st.text(max_size=40))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_any_text_is_a_rule_or_a_usage_error(text):
    with suppress(UsageError):
        assert parse(text).text == " ".join(text.split())


def test_a_rule_in_single_quotes_is_one_word_of_the_shell():
    assert shlex.split("diffai a b --fail-if 'rel_change > 0.1 @ *.norm.*'")[-1] == "rel_change > 0.1 @ *.norm.*"


@pytest.mark.parametrize("text", ["accuracy", "accuracy=", "=max", "accuracy=up", "accuracy=MAX", ""])
def test_a_direction_is_a_name_and_max_or_min(text):
    with pytest.raises(UsageError, match="is not NAME=max or NAME=min; write for instance val_score=max"):
        check_direction(text)


def test_a_name_with_an_equals_sign_keeps_it():
    assert parse_direction("acc@k=5=max") == ("acc@k=5", "max")
    assert parse_tolerance("acc@k=5=2%") == ("acc@k=5", Tolerance(0.02, relative=True))


@pytest.mark.parametrize("text", ["", "x", "nan", "inf", "-0.1", "1_0", "=0.1", "acc=", "acc=-1", "%", "1e999", "٣"])
def test_a_tolerance_is_a_number_or_a_share_that_is_not_negative(text):
    with pytest.raises(UsageError, match=r"is no tolerance; write for instance 0\.01, 2% or accuracy=0\.005"):
        check_tolerance(text)


def test_a_named_tolerance_goes_before_that_of_all():
    table = tolerance_table(["0.01", "loss=5%", "accuracy=0.005"])
    assert table.of("f1") == Tolerance(0.01)
    assert table.of("eval_loss", "loss") == Tolerance(0.05, relative=True)
    assert table.of("loss").of(2.0) == pytest.approx(0.1)
    assert table.of("accuracy").of(0.9) == 0.005


@pytest.mark.parametrize("value", [0, 1.0, 5, -0.1])
def test_the_chance_of_a_false_alarm_lies_between_0_and_1(value):
    with pytest.raises(UsageError, match=r"is not a number between 0 and 1; write for instance 0\.05"):
        check_alpha(value)
