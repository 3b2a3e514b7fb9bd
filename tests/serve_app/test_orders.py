"""Order quantities over HTTP, the proposal and its page: figures of the functions, no_data with what is missing."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from models.inventory.decide import decide
from models.registry import Registry
from serve_app.answers import orders
from serve_app.answers.orders import order_quantities
from serve_app.product import build
from serve_app.schemas.orders import OrderRequest
from serve_app.settings import ServeSettings
from serve_app.state import Config, State
from tests.serve_app.calls import Client
from tests.serve_app.conftest import make_ensemble_release
from tests.serve_app.examples import desk_of
from tests.serve_app.looked import propose_at
from tests.serve_app.made import growing_panel, open_book
from tests.serve_app.test_pages import ask

pytestmark = pytest.mark.slow
KNOWN = {"on_shelf": 0, "unit_cost": 4.5, "lead_time_days": 14, "moq": 250}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    made = make_ensemble_release(tmp_path_factory.mktemp("orders"))
    propose_at(made, growing_panel())
    return made


@pytest.fixture(scope="module")
def client(root):
    state = State(Config(ServeSettings(), str(root.parent), "registry"))
    state.following.look()

    async def compute(_):
        raise AssertionError("no order computes a forecast")

    return Client(build(state, compute))


def asked(client, *items):
    return client.post("/api/order-quantities", json={"items": list(items)})


def test_when_the_window_is_longer_than_the_forecast_then_the_answer_says_what_stands_in(client):
    """The release looks 30 days ahead; the next decision is 30 days away."""
    near, far = asked(client, *({"style": "=1+1", **KNOWN, "lead_time_days": days} for days in (0, 365))).json()[
        "quantities"
    ]
    assert (near["window_days"], far["window_days"]) == (30, 395)
    assert "demand_beyond_horizon" not in near["assumed"]
    assert "demand_beyond_horizon" in far["assumed"]


def test_when_stock_and_cost_are_given_then_the_answer_is_that_of_the_proposal(client, root):
    proposed = pd.read_parquet(root.parent / "runs" / "proposal" / "decisions.parquet").set_index("item")
    row = proposed.loc["=1+1"]
    answer = asked(client, {"style": "=1+1", **KNOWN}).json()
    one = answer["quantities"][0]
    assert (one["status"], one["missing"]) == ("order", [])
    # The proposal was made with 16 paths, the release with the default: the same question, a finer answer.
    assert one["quantity"] == pytest.approx(row["quantity"], rel=0.1)
    assert {policy["policy"] for policy in one["beside"]} == {"eoq_rop", "newsvendor", "base_stock"}
    assert "ordering_cost" in one["assumed"]
    assert "lead_time_days" not in one["assumed"]
    assert one["shelf_empty_on"] == "2025-09-01"
    assert one["cost"] <= one["cost_without_order"]


def test_when_a_style_fell_back_then_its_answer_says_which_model_made_its_forecast(client, root):
    book = open_book(root)
    styles = book.styles(book.served)
    made_by = dict(zip(styles["unique_id"].to_pylist(), styles["made_by"].to_pylist(), strict=True))
    wanted = [*{by: style for style, by in made_by.items()}.values()]
    answer = asked(client, *({"style": style, **KNOWN} for style in wanted), {"style": "nobody", **KNOWN}).json()
    assert [one["made_by"] for one in answer["quantities"]] == [*(made_by[style] or None for style in wanted), None]
    assert answer["made_by"] == book.served


def test_when_asked_twice_then_the_bytes_are_the_same_and_the_company_of_others_changes_nothing(client):
    first = asked(client, {"style": "A/1", **KNOWN}, {"style": "S005", **KNOWN, "on_shelf": 9000})
    again = asked(client, {"style": "A/1", **KNOWN}, {"style": "S005", **KNOWN, "on_shelf": 9000})
    assert first.content == again.content
    alone = asked(client, {"style": "S005", **KNOWN, "on_shelf": 9000}).json()["quantities"]
    assert alone == first.json()["quantities"][1:]
    leads = (("A/1", 60), ("=1+1", 3), ("S005", 90))
    others = [{"style": style, **KNOWN, "lead_time_days": lead} for style, lead in leads]
    among = asked(client, *others, {"style": "S005", **KNOWN, "on_shelf": 9000}).json()["quantities"]
    assert alone == among[3:]


def figures(answer):
    """The numbers of each item's answer, those beside it among them."""
    flat = []
    for one in answer["quantities"]:
        beside = {f"{policy['policy']}_{name}": value for policy in one["beside"] for name, value in policy.items()}
        flat.append({name: value for name, value in (one | beside).items() if isinstance(value, float)})
    return flat


def test_when_memory_is_small_then_blocks_are_and_the_answers_stay(root, monkeypatch):
    book = open_book(root)
    styles = ("A/1", "=1+1", "S005")
    items = [{"style": style, **KNOWN, "lead_time_days": lead} for style in styles for lead in (60, 90)]
    request = OrderRequest.model_validate({"items": items})
    whole = figures(order_quantities(book, request))
    sizes = []

    def counted(items, *told):
        sizes.append(len(items))
        return decide(items, *told)

    monkeypatch.setattr(orders, "decide", counted)
    assert figures(order_quantities(book, request)) == whole
    assert sizes == [3, 3]
    monkeypatch.setattr(orders, "MEMORY_MB", 1.0)
    for own, one in zip(figures(order_quantities(book, request)), whole, strict=True):
        assert own == pytest.approx(one, rel=1e-9)  # sums of other lengths round otherwise
    assert sizes[2:] == [1] * 6


def test_when_a_release_was_made_with_many_paths_then_an_answer_takes_fewer(root):
    book = SimpleNamespace(config={"inventory": {"paths": 2000}})
    assert orders._settings(book).paths == orders.MOST_PATHS
    assert orders._settings(SimpleNamespace(config={"inventory": {"paths": 9}})).paths == 9


def test_when_quantities_are_answered_then_they_say_on_how_many_paths_they_were_priced(client):
    answer = asked(client, {"style": "A/1", **KNOWN}).json()
    assert 0 < answer["paths"] <= orders.MOST_PATHS


def test_when_something_is_not_known_then_it_is_named_and_nothing_is_made_up(client):
    answer = asked(client, {"style": "A/1"}, {"style": "nobody", **KNOWN}, {"style": "A/1", "on_shelf": 3}).json()
    lacks = [(one["status"], one["missing"]) for one in answer["quantities"]]
    assert lacks == [("no_data", ["stock", "unit cost"]), ("no_data", ["forecast"]), ("no_data", ["unit cost"])]
    assert all(one["quantity"] is None and one["cost"] is None for one in answer["quantities"])


@pytest.mark.parametrize(
    ("body", "named"),
    [({}, "items"), ({"items": []}, "items"), ({"items": [{"style": "A/1", "stock": 3}]}, "items.0.stock"),
     ({"items": [{"style": "A/1", "on_shelf": -1}]}, "items.0.on_shelf"), ([], "body"),
     ({"items": [{"style": "A/1", "service_level": 1}]}, "items.0.service_level")],
)  # fmt: skip
def test_when_the_body_is_wrong_then_400_names_the_fault(client, body, named):
    answer = client.post("/api/order-quantities", json=body)
    assert answer.status_code == 400
    assert answer.json()["parameter"] == named


def test_when_nothing_was_proposed_then_the_next_step_is_said(tmp_path):
    answer = ask("/api/order-proposal", desk_of(Registry(tmp_path / "registry")))
    assert answer["status"] == "no_data"
    assert "python -m jobs.replenish" in answer["reason"]
    listed = ask("/api/order-proposals", desk_of(Registry(tmp_path / "registry")))
    assert (listed["status"], listed["reason"]) == ("no_data", answer["reason"])


def test_when_a_proposal_is_filed_then_its_figures_are_answered_and_shown(client, root):
    answer = ask("/api/order-proposal", desk_of(Registry(root)), limit=3)
    proposal = pd.read_parquet(root.parent / "runs" / "proposal" / "proposal.parquet")
    n = answer["items"]
    assert n["items_in"] == n["ordered"] + n["nothing_needed"] + n["no_data"] == 24
    assert n["ordered"] == len(proposal) == answer["pagination"]["total"]
    dearest = proposal.sort_values("order_value", ascending=False)
    assert [one["item"] for one in answer["orders"]] == dearest["item"].tolist()[:3]
    assert answer["orders"][0]["cost"] == dearest["expected_cost"].iloc[0]
    page = client.get("/orders")
    assert page.status_code == 200
    assert "Mill A" in page.text
    assert page.text.count("<h1>") == 1


def test_when_a_proposal_follows_then_the_one_before_is_still_answered_shown_and_fetched(client, tmp_path):
    root = make_ensemble_release(tmp_path)
    propose_at(root, growing_panel(), "first")
    state = State(Config(ServeSettings(), str(root.parent), "registry"))
    state.following.look()
    own = Client(build(state, None))
    before = own.get("/api/order-proposal").json()
    propose_at(root, growing_panel(), "second")
    assert own.get("/api/order-proposal").json()["run_id"] == "second"
    assert own.get("/api/order-proposal?run_id=first").json() == before
    kept = ask("/api/order-proposals", desk_of(Registry(root)))
    assert [one["run_id"] for one in kept["proposals"]] == ["second", "first"]
    assert kept["proposals"][1]["items"] == before["items"]
    assert ask("/api/order-proposals", desk_of(Registry(root)), limit=1, offset=1)["proposals"] == kept["proposals"][1:]
    for one in kept["proposals"]:
        file = own.get(one["csv_url"])
        assert file.headers["content-type"].startswith("text/csv")
        assert f"proposal-{one['run_id']}.csv" in file.headers["content-disposition"]
        assert file.content == (root.parent / "runs" / one["run_id"] / "proposal.csv").read_bytes()
    page = own.get("/orders?run=first").text
    assert 'href="/api/order-proposals/first"' in page.split("Proposals so far")[0]
    assert 'href="/orders?run=second"' in page


@pytest.mark.parametrize("name", ["nobody", "..", "%2e%2e", "..%2flatest.json", "proposal%00", "/etc", "Proposal"])
def test_when_a_proposal_is_not_kept_then_404_whatever_the_name(client, name):
    assert client.get(f"/api/order-proposals/{name}").status_code == 404
    assert client.get(f"/api/order-proposal?run_id={name}").status_code == 404
    assert client.get(f"/orders?run={name}").status_code == 404


def test_when_nothing_could_be_decided_then_the_answer_is_no_data_with_the_reasons(client, root, tmp_path):
    told = json.loads((root.parent / "orders" / "latest.json").read_text(encoding="utf-8"))
    n = told["items"]["in"]
    nothing = {"status": "no_data", "orders": [], "cost": None, "suppliers": [],
               "missing": {"stock": n - 1, "forecast": 1}, "notes": ["the table suppliers is missing"]}  # fmt: skip
    (tmp_path / "orders").mkdir()
    (tmp_path / "orders" / "latest.json").write_text(json.dumps(told | nothing), encoding="utf-8")
    answer = ask("/api/order-proposal", desk_of(Registry(tmp_path / "registry")))
    assert (answer["status"], answer["release"]) == ("no_data", told["release"])
    assert f"(missing: stock: {n - 1}; forecast: 1). The table suppliers is missing." in answer["reason"]


def test_when_a_proposal_has_notes_then_they_are_answered(root, tmp_path):
    told = json.loads((root.parent / "orders" / "latest.json").read_text(encoding="utf-8"))
    match = {"join": "style to base", "rows": 4, "matched_rows": 3, "volume": 9.0, "matched_volume": 8.0, "unit": "yds",
             "unmatched": ["A/1"]}  # fmt: skip
    (tmp_path / "orders").mkdir()
    more = {"notes": ["a note"], "matches": [match], "unreachable": 2}
    (tmp_path / "orders" / "latest.json").write_text(json.dumps(told | more), encoding="utf-8")
    answer = ask("/api/order-proposal", desk_of(Registry(tmp_path / "registry")))
    assert {name: answer[name] for name in more} == more


def test_when_the_function_is_called_then_it_is_what_http_answers(client, root):
    book = open_book(root)
    request = OrderRequest.model_validate({"items": [{"style": "S005", **KNOWN}]})
    answer = order_quantities(book, request)
    over_http = asked(client, {"style": "S005", **KNOWN}).json()
    assert answer["quantities"][0]["quantity"] == over_http["quantities"][0]["quantity"]
    assert np.isfinite(answer["quantities"][0]["cost"])
