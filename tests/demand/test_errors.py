"""Errors cross process borders whole, and say enough without saying too much."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from demand import errors
from demand.errors import DataError, DemandError, SchemaError


def _tree(kind: type[DemandError]) -> list[type[DemandError]]:
    return [kind, *(below for child in kind.__subclasses__() for below in _tree(child))]


OURS = [kind for kind in _tree(DemandError) if kind.__module__ == errors.__name__]


def test_when_the_tree_is_walked_then_it_is_the_one_drawn_in_the_module():
    drawn = [word for word in errors.__doc__.replace("\u2500", " ").split() if hasattr(errors, word)]
    assert sorted(drawn) == sorted(kind.__name__ for kind in OURS)
    assert len(OURS) == 16


@pytest.mark.parametrize("kind", OURS)
@pytest.mark.parametrize("protocol", [2, pickle.HIGHEST_PROTOCOL])
def test_when_an_error_is_pickled_then_type_message_facts_and_hint_survive(kind, protocol):
    error = kind("did not fit", hint="Try again", unique_id="S001", steps=40, first=["a", "b"])
    again = pickle.loads(pickle.dumps(error, protocol))
    assert type(again) is kind
    assert again.facts == {"unique_id": "S001", "steps": 40, "first": ["a", "b"]}
    assert (again.message, again.hint, again.args, str(again)) == (error.message, error.hint, error.args, str(error))


def test_when_facts_are_views_or_generators_then_they_are_read_once_and_still_pickle():
    error = SchemaError("columns", known={"a": 1, "b": 2}.keys(), squares=(n * n for n in range(3)))
    assert str(error) == str(error) == "columns (known=['a', 'b'], squares=[0, 1, 4])"
    assert pickle.loads(pickle.dumps(error)).facts == {"known": ["a", "b"], "squares": [0, 1, 4]}


def test_when_an_error_has_facts_then_the_message_names_them_and_ends_with_what_to_do():
    error = DataError("dates are missing", hint="Set cleaning.gaps", count=3, where="ds")
    assert str(error) == "dates are missing (count=3, where='ds'). Set cleaning.gaps"
    assert str(DataError("dates are missing")) == "dates are missing"


@pytest.mark.parametrize(
    "many",
    [[f"S{i}" for i in range(5000)], tuple(f"S{i}" for i in range(5000)), np.array([f"S{i}" for i in range(5000)])],
)
def test_when_thousands_offend_then_five_are_named_and_all_are_counted(many):
    text = str(DataError("bad ids", ids=many))
    assert text == "bad ids (ids=['S0', 'S1', 'S2', 'S3', 'S4', .. 5000 in all])"


def test_when_a_set_offends_then_the_message_has_a_fixed_order():
    assert str(DataError("bad", ids={"c", "a", "b"})) == "bad (ids=['a', 'b', 'c'])"


def test_when_a_fact_is_a_long_text_then_it_is_cut():
    text = str(DataError("bad cell", cell="x" * 10_000, cells=["y" * 10_000]))
    assert len(text) < 500
    assert text.count("...") == 2
    assert DataError("bad cell", cell="x" * 10_000).shown_facts()["cell"].endswith("...")
