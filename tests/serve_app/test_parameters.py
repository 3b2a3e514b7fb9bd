"""Query parameters: read strictly, refused with the parameter and what is allowed."""

from __future__ import annotations

import pytest

from serve_app.problems import Refused
from serve_app.routes import ROUTES
from serve_app.schemas.parameters import ForecastParameters, StyleParameters, openapi_parameters, read

NUMBERS = (
    "0",
    "-1",
    "+30",
    "30.0",
    "1e9",
    "９０",
    " 30",
    "30 ",
    "",
    "true",
    "NaN",
    "Infinity",
    "9" * 40,
    "30;",
    "30\x00",
)


@pytest.mark.parametrize(
    ("pairs", "parameter", "allowed"),
    [
        *([[("horizon", text)], "horizon", (7, 30, 60, 90, 180)] for text in (*NUMBERS, "31", "365")),
        *([[("limit", text)], "limit", ("1 to 1000000",)] for text in NUMBERS),
        *([[("offset", text)], "offset", ("0 to 1000000",)] for text in NUMBERS if text != "0"),
        ([("detail", "Full")], "detail", ("full", "summary", "metrics")),
        ([("format", "xml")], "format", ("json", "report", "chart")),
        ([("compare", "-")], "compare", ("stock", "orders", "capacity")),
        ([("source", "")], "source", ("ml", "pipeline", "hybrid")),
        ([("model", "mean")], "model", ("auto", "ensemble", "arima", "prophet", "lstm", "xgboost", "tide")),
        ([("style", "")], "style", ("a text of 1 to 500 characters",)),
        ([("style", "x" * 501)], "style", ("a text of 1 to 500 characters",)),
    ],
)
def test_when_a_value_is_not_allowed_then_it_is_refused_with_what_is(pairs, parameter, allowed):
    with pytest.raises(Refused) as refused:
        read(ForecastParameters, pairs)
    assert (refused.value.status_code, refused.value.parameter) == (400, parameter)
    assert refused.value.allowed == allowed
    assert parameter in refused.value.detail
    assert len(refused.value.detail) < 300


def test_when_a_parameter_is_unknown_then_the_nearest_is_named():
    with pytest.raises(Refused, match="Did you mean 'horizon'") as refused:
        read(ForecastParameters, [("horizn", "30")])
    assert (refused.value.parameter, refused.value.allowed) == ("horizn", tuple(ForecastParameters.model_fields))
    with pytest.raises(Refused, match="Leave it out"):
        read(ForecastParameters, [("_", "1700000000")])
    with pytest.raises(Refused) as refused:
        read(ForecastParameters, [("x" * 5000, "1")])
    assert len(refused.value.detail) < 300


def test_when_a_parameter_is_given_twice_then_it_is_refused():
    with pytest.raises(Refused, match="twice"):
        read(ForecastParameters, [("horizon", "30"), ("horizon", "30")])


def test_when_a_text_is_no_utf8_then_it_is_refused():
    with pytest.raises(Refused, match="half a character"):
        read(ForecastParameters, [("style", "a\ud800")])
    assert read(ForecastParameters, [("style", "Größe 4 \U0001f9f6")]).style == "Größe 4 \U0001f9f6"


def test_when_a_parameter_is_missing_then_it_is_named():
    with pytest.raises(Refused, match="missing") as refused:
        read(StyleParameters, [])
    assert refused.value.parameter == "style"


def test_when_nothing_is_asked_then_the_defaults_stand():
    found = read(ForecastParameters, [])
    assert (found.detail, found.format, found.compare, found.horizon, found.source, found.model) == (
        "full", "json", None, None, "ml", "auto",
    )  # fmt: skip
    assert hash(found) == hash(read(ForecastParameters, [("detail", "full"), ("offset", "0")]))


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.path)
def test_when_parameters_are_described_then_each_value_described_is_accepted(route):
    required = {"style": "A", "release": "2", "against": "1"}
    for told in openapi_parameters(route.parameters, route.in_path):
        assert told["description"]
        for value in told["schema"].get("enum", ()):
            needed = [(n, v) for n, v in required.items() if n in route.parameters.model_fields and n != told["name"]]
            assert getattr(route.read([*needed, (told["name"], str(value))]), told["name"]) == value
