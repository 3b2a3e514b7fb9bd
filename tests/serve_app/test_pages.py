"""Styles, leaderboard, accuracy, features, quality, releases: the stored figures again."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import TypeAdapter

from evaluation.monitoring_folder import MonitoringFolder
from models.registry import Registry
from serve_app.answers.columns import as_bytes
from serve_app.opened import DAMAGE_KEPT_S, Releases
from serve_app.problems import Refused
from serve_app.routes import ROUTES, route
from tests.serve_app.conftest import TODAY, make_ensemble_release
from tests.serve_app.examples import answer_of, desk_of, tune
from tests.serve_app.looked import look_at, propose_at
from tests.serve_app.made import growing_panel
from tests.serve_app.stored import Stored, growth, percent, same


@pytest.fixture(scope="module")
def stored(ensemble_book):
    return Stored(ensemble_book.path)


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """Two releases of one fleet, looked at once; the second has another seed, one style less and one more."""
    root = tmp_path_factory.mktemp("desk")
    make_ensemble_release(root)
    panel = growing_panel(seed=4)
    ids = panel.ids.astype("<U9")
    ids[-1] = "Z-new"
    changed = type(panel)(ids, panel.indptr, panel.y, panel.end, panel.freq, unit="yds")
    registry_root = make_ensemble_release(root, panel=changed, run_id="s")
    look_at(registry_root, changed, days=10)
    propose_at(registry_root, changed)
    tune(root)
    return desk_of(Registry(registry_root))


def ask(path, of, **asked):
    one = route(path)
    answer = one.answer(of, one.read([(name, str(value)) for name, value in asked.items()]), TODAY)
    TypeAdapter(one.response).validate_json(as_bytes(answer), strict=True)
    return answer


def test_when_styles_are_searched_then_those_that_match_come_in_order(ensemble_book, stored):
    styles = stored.styles("ensemble")
    everything = ask("/api/styles", ensemble_book)
    assert everything["pagination"]["total"] == len(styles)
    for row in everything["styles"]:
        kept = styles.loc[row["style"]]
        assert (row["demand_class"], row["last_30_days"]) == (kept["demand_class"], kept["last_30_days"])
        assert same(row["wape"], percent(kept["wape"]))
        assert same(row["forecast_90_days"], kept["forecast_90_days"])
    assert [row["style"] for row in ask("/api/styles", ensemble_book, search="größe")["styles"]] == ["Größe 4"]
    assert [row["style"] for row in ask("/api/styles", ensemble_book, search="=1+")["styles"]] == ["=1+1"]
    for odd in ("nothing like it", "\x00", "(?i)[", "x" * 500, "\U0001f9f6"):
        assert ask("/api/styles", ensemble_book, search=odd)["status"] == "no_data"
    assert ask("/api/styles", ensemble_book, offset=1000)["status"] == "no_data"
    by_name = [row["style"] for row in ask("/api/styles", ensemble_book, order="name")["styles"]]
    assert by_name == sorted(by_name) == styles.index.tolist()
    for order, sign, name in (("growth", -1, "growth_rate"), ("confidence", 1, "confidence"),
                              ("sold", -1, "historical_total")):  # fmt: skip
        found = [row[name] for row in ask("/api/styles", ensemble_book, order=order)["styles"]]
        known = [value for value in found if value is not None]
        assert known == sorted(known, key=lambda v: sign * v)
        assert found[: len(known)] == known
    for action in {row["recommended_action"] for row in everything["styles"]}:
        chosen = ask("/api/styles", ensemble_book, action=action, limit=3)
        assert {row["recommended_action"] for row in chosen["styles"]} == {action}
        every = [row for row in everything["styles"] if row["recommended_action"] == action]
        assert chosen["pagination"]["total"] == len(every)
        assert chosen["styles"] == every[:3]
    assert (
        ask("/api/styles", ensemble_book, demand_class="smooth")["pagination"]["total"]
        == (styles["demand_class"] == "smooth").sum()
    )


@pytest.mark.parametrize("style", ["A/1", "=1+1", "S011"])
@pytest.mark.parametrize("model", ["auto", "arima"])
def test_when_a_style_is_asked_for_then_everything_stored_of_it_comes(ensemble_book, stored, style, model):
    kind = "ensemble" if model == "auto" else model
    answer = ask("/api/styles/{style:path}", ensemble_book, style=style, model=model)
    kept = stored.styles(kind).loc[style]
    dates, sold = ensemble_book.history_of(style)
    assert answer["history"]["values"] == sold.tolist()
    assert answer["history"]["dates"] == [str(d)[:10] for d in dates]
    ahead, mean, quantiles, levels = ensemble_book.forecast_of(kind, style)
    assert answer["forecast"]["mean"] == mean.tolist()
    assert answer["forecast"]["dates"] == [str(d)[:10] for d in ahead]
    assert answer["forecast"]["quantiles"] == {f"q{q:g}": quantiles[:, k].tolist() for k, q in enumerate(levels)}
    for total in answer["totals"]:
        for name, column in (("forecast", "forecast"), ("lower", "lower"), ("upper", "upper")):
            assert same(total[name], kept[f"{column}_{total['days']}_days"])
    weights = ensemble_book.weights_of(style)
    assert same(sum(weights.values()), 1.0)
    for member in answer["members"]:
        theirs = stored.styles(member["model"]).loc[style]
        assert same(member["wape"], percent(theirs["wape"]))
        assert same(member["confidence"], percent(theirs["confidence"]))
        assert member["weight"] == weights.get(member["model"])
        assert member["mean"] == ensemble_book.forecast_of(member["model"], style)[1].tolist()
    assert [member["model"] for member in answer["members"]] == list(ensemble_book.models)
    assert (answer["first_day"], answer["last_day"], answer["periods"]) == (
        kept["first_day"], kept["last_day"], kept["n_periods"],
    )  # fmt: skip
    assert answer["details"]["style"] == style
    cut = ask("/api/styles/{style:path}", ensemble_book, style=style, model=model, history=5)
    assert cut["history"] == {name: column[-5:] for name, column in answer["history"].items()}


def test_when_a_style_is_unknown_or_rejected_then_it_is_said(ensemble_book):
    with pytest.raises(Refused) as refused:
        ask("/api/styles/{style:path}", ensemble_book, style="nobody")
    assert refused.value.status_code == 404
    assert ask("/api/styles/{style:path}", ensemble_book, style="GONE")["status"] == "no_data"


def test_when_the_leaderboard_is_asked_for_then_it_is_the_stored_one(ensemble_book, stored):
    answer = ask("/api/leaderboard", ensemble_book)
    assert [row["model"] for row in answer["leaderboard"]] == stored.board["model"].tolist()
    for row in answer["leaderboard"]:
        kept, m = stored.board.set_index("model").loc[row["model"]], stored.card["metrics"][row["model"]]
        for name in ("wape", "accuracy", "mape", "bias_rel"):
            assert same(row[name], percent(m[name]))
            assert same(row[name], percent(kept[name]))
        for name in ("bias", "mae", "rmse", "mase", "rmsse", "r2", "coverage", "interval", "wape_std", "wape_worst",
                     "n", "n_zero", "n_fell_back", "n_rows", "unstable", "eligible", "worst_cutoff"):  # fmt: skip
            assert same(row[name], kept[name]), name
    assert answer["gate"]["reasons"] == stored.card["gate"]["reasons"]
    assert {"zero", "mean", "seasonal_naive"} <= {row["model"] for row in answer["leaderboard"]}


def test_when_accuracy_is_asked_for_then_steps_and_classes_are_the_stored_ones(ensemble_book, stored):
    answer = ask("/api/accuracy", ensemble_book)
    kept = stored.all_accuracy[stored.all_accuracy["model"] == "ensemble"].set_index(["part", "key"])
    assert [row["step"] for row in answer["by_step"]] == list(range(1, 91))
    for part, key, rows in (("step", "step", answer["by_step"]), ("class", "demand_class", answer["by_class"])):
        for row in rows:
            theirs = kept.loc[(part, str(row[key]))]
            for name in ("wape", "accuracy", "bias_rel"):
                assert same(row[name], percent(theirs[name]))
            assert same(row["mae"], theirs["mae"])
            assert same(row["coverage"], theirs["coverage"])
            assert row["n"] == theirs["n"]
    m = stored.card["metrics"]["ensemble"]
    assert answer["intervals"] == m["intervals"]
    off = sum(row["mae"] * row["n"] for row in answer["by_step"]) / sum(row["n"] for row in answer["by_step"])
    assert same(off, m["mae"])
    targets = {row["model"]: row for row in answer["targets"]}
    assert set(targets) == {"arima", "ensemble"}
    assert targets["arima"]["target_mape"] == 15.0
    assert targets["arima"]["target_met"] == (stored.card["metrics"]["arima"]["mape"] <= 0.15)


def test_when_features_are_asked_for_then_they_are_ranked(ensemble_book, book):
    (found,) = ask("/api/features", ensemble_book)["models"]
    assert found["features"] == [
        {"feature": "lag_1", "importance": 0.6}, {"feature": "rolling_mean_7", "importance": 0.4},
    ]  # fmt: skip
    assert ask("/api/features", ensemble_book, model="arima")["models"] == [found]
    assert ask("/api/features", book)["status"] == "no_data"
    with pytest.raises(Refused) as refused:
        ask("/api/features", book, model="nobody")
    assert refused.value.status_code == 409


def test_when_quality_is_asked_for_then_it_is_the_stored_report(ensemble_book, stored):
    answer = ask("/api/data-quality", ensemble_book)
    assert answer["report"] == stored.quality
    assert answer["quality_score"] == stored.quality["quality_score"]


def test_when_releases_are_asked_for_then_all_are_listed_newest_first(desk):
    answer = ask("/api/releases", desk)
    champion = answer["champion"]
    assert [row["release"] for row in answer["releases"]] == [2, 1]
    for row in answer["releases"]:
        kept = Stored(desk.book(row["release"]).path)
        m = kept.card["metrics"][kept.card["served"]]
        assert same(row["wape"], percent(m["wape"]))
        assert row["evaluation_id"] == m["evaluation_id"]
        assert row["total_styles"] == 24
        assert ("champion" in row["aliases"]) == (row["release"] == champion)
    assert ask("/api/releases", desk, limit=1)["pagination"]["next_offset"] == 1


def test_when_a_release_is_damaged_then_it_is_listed_as_that(desk, tmp_path):
    import shutil

    root = tmp_path / "registry"
    shutil.copytree(desk.registry.root, root)
    broken = root / "releases" / "000001" / "card.json"
    broken.write_text(broken.read_text() + " ")
    rows = {row["release"]: row for row in ask("/api/releases", desk_of(Registry(root)))["releases"]}
    assert "changed" in rows[1]["damaged"]
    assert str(tmp_path) not in rows[1]["damaged"]
    for name in ("generated_at", "served", "total_styles", "wape", "baseline_wape", "bias_rel", "evaluation_id"):
        assert rows[1][name] is None
    assert "damaged" not in rows[2]


def test_when_releases_are_listed_again_then_their_files_are_not_read_again(desk, tmp_path, monkeypatch):
    import shutil

    root, now = tmp_path / "registry", [0.0]
    shutil.copytree(desk.registry.root, root)
    card = root / "releases" / "000001" / "card.json"
    whole = card.read_text()
    card.write_text(whole + " ")
    registry = Registry(root)
    listing = Releases(registry, MonitoringFolder.under(tmp_path), lambda: now[0])
    compared = []
    opened = registry.open
    monkeypatch.setattr(registry, "open", lambda n: compared.append(n) or opened(n))
    first = ask("/api/releases", listing)
    assert (sorted(compared), ask("/api/releases", listing)) == ([1, 2], first)
    assert sorted(compared) == [1, 2]
    card.write_text(whole)
    now[0] += DAMAGE_KEPT_S
    assert ["damaged" in row for row in ask("/api/releases", listing)["releases"]] == [False, False]
    assert sorted(compared) == [1, 1, 2]


def test_when_there_is_no_release_then_the_list_says_what_to_do(tmp_path):
    answer = ask("/api/releases", desk_of(Registry(tmp_path)))
    assert answer["status"] == "no_data"
    assert "jobs.pipeline" in answer["reason"]


def test_when_two_releases_are_compared_then_changes_are_differences_of_stored_totals(desk):
    answer = ask("/api/releases/compare", desk, release=2, against=1)
    now, before = (Stored(desk.book(number).path).styles("ensemble") for number in (2, 1))
    assert answer["styles_new"] == ["Z-new"]
    assert answer["styles_gone"] == ["S023"]
    for row in answer["styles"]:
        ahead, past = (side.loc[row["style"], "forecast_30_days"] for side in (now, before))
        assert (row["now"], row["before"]) == (ahead, past)
        assert same(row["change"], ahead - past)
        assert same(row["growth_rate"], growth(ahead, past))
    sizes = [abs(row["change"]) for row in answer["styles"]]
    assert sizes == sorted(sizes, reverse=True)
    assert len(sizes) == 23
    for total in answer["totals"]:
        column = f"forecast_{total['days']}_days"
        assert same(total["now"], now[column].sum(skipna=False))
        assert same(total["before"], before[column].sum(skipna=False))
    with pytest.raises(Refused) as refused:
        ask("/api/releases/compare", desk, release=9, against=1)
    assert (refused.value.status_code, refused.value.parameter, refused.value.allowed) == (404, "release", (1, 2))


@pytest.mark.parametrize("one", ROUTES, ids=lambda one: one.path)
def test_when_an_example_is_read_then_it_is_an_answer_of_today(one, desk):
    told = one.openapi()
    example = told["responses"]["200"]["content"]["application/json"]["example"]
    TypeAdapter(one.response).validate_python(example)
    assert list(example) == list(answer_of(one, desk))
    assert "$ref" not in str(told)
    assert len({param["name"] for param in told["parameters"]}) == len(told["parameters"])
    assert np.isfinite(len(as_bytes(example)))
