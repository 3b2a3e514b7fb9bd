"""A challenger beside the champion: whose style is whose, what a failing one costs, and how a canary goes back."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from demand.errors import SettingsError
from models.files import write_json
from models.registry import Registry
from serve_app.book import Book
from serve_app.product import build
from serve_app.settings import ServeSettings
from serve_app.split import Split
from serve_app.state import Config, State
from tests.serve_app.calls import Client
from tests.serve_app.made import make_release, open_book

pytestmark = pytest.mark.slow
N = 12
STYLES = [f"S{i:03d}" for i in range(N)]
OTHERS = [f"N{i:03d}" for i in range(40)]  # that no release knows
DETAILED = "/api/ml-forecast-detailed"
ON = {"a_b_testing": True, "challenger_share": 0.5}
CANARY = {"canary_deployment": True, "challenger_share": 0.5, "canary_share": 0.5}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Releases 1 and 2 of other demand; the second serves."""
    made = tmp_path_factory.mktemp("tried")
    for k in (1, 2):
        make_release(made, N, seed=k, run_id=f"r{k}")
    return made


@pytest.fixture
def registry(root):
    """Release 1 is the challenger."""
    found = Registry(root / "registry")
    found.point("challenger", 1)
    yield found
    found.point("challenger", None)
    (root / "monitoring" / "latest.json").unlink(missing_ok=True)


class Desk:
    """A process of the service over the two releases."""

    def __init__(self, root, **settings: Any) -> None:
        self.state = State(Config(ServeSettings(**settings), str(root), "registry"))
        self.look()
        self.client = Client(build(self.state, None))  # type: ignore[arg-type]

    def look(self) -> None:
        self.state.following.look()
        if self.state.settings.a_b_testing or self.state.settings.canary_deployment:
            self.state.trying.following.look()

    def forecast(self, style: str) -> dict[str, Any]:
        answer = self.client.get(DETAILED, params={"style": style})
        assert answer.status_code == 200, answer.text
        said: dict[str, Any] = json.loads(answer.content)
        return said

    def releases(self) -> dict[str, int]:
        return {style: self.forecast(style)["release"] for style in STYLES}

    def counted(self, side: str, outcome: str) -> float:
        return float(self.state.telemetry.trial.labels(side, outcome)._value.get())


def expected(share: float = 0.5) -> dict[str, int]:
    split = Split(share, "release 1")
    return {style: 1 if split.side(style) == "challenger" else 2 for style in STYLES}


def test_when_a_challenger_is_tried_then_its_styles_are_its_everywhere_and_the_total_is_the_champion_s(root, registry):
    desk, wanted = Desk(root, **ON), expected()
    assert set(wanted.values()) == {1, 2}
    books = {number: open_book(root / "registry", number) for number in (1, 2)}
    for _ in range(2):  # computed, then kept
        assert desk.releases() == wanted
    for style, number in wanted.items():
        _, mean, *_ = books[number].forecast_of(books[number].served, style)
        answer = json.loads(desk.client.get(f"/api/styles/{style}").content)
        assert answer["forecast"]["mean"] == mean.tolist()
        row = desk.forecast(style)["forecast_details"][0]
        assert row == books_row(root, number, style)
    assert json.loads(desk.client.get(DETAILED).content)["release"] == 2
    assert desk.client.get("/style", params={"id": STYLES[0]}).status_code == 200
    challengers = sum(number == 1 for number in wanted.values())
    assert desk.counted("challenger", "answered") == 4 * challengers
    assert desk.counted("champion", "answered") == 4 * (N - challengers)


def books_row(root, number: int, style: str) -> dict[str, Any]:
    from serve_app.mounted import today
    from serve_app.routes import route

    question = route(DETAILED)
    answer = question.answer(open_book(root / "registry", number), question.read([("style", style)]), today())
    return dict(json.loads(json.dumps(answer))["forecast_details"][0])


def test_when_nothing_is_to_be_tried_then_a_challenger_answers_nobody(root, registry):
    assert set(Desk(root).releases().values()) == {2}
    assert set(Desk(root, a_b_testing=True, challenger_share=0.0).releases().values()) == {2}


def test_when_the_challenger_is_withdrawn_or_promoted_then_the_styles_follow_at_once(root, registry):
    desk = Desk(root, **ON)
    assert desk.releases() == expected()
    registry.withdraw(1, {"reason": "enough"})
    desk.look()
    assert set(desk.releases().values()) == {2}
    registry.point("challenger", 1)
    desk.look()
    assert desk.releases() == expected()
    registry.promote(1, expected=2, facts={})
    desk.look()
    assert set(desk.releases().values()) == {1}
    registry.promote(2, expected=1, facts={})


def test_when_in_shadow_then_the_champion_answers_and_the_challenger_s_answers_are_counted_and_logged(root, registry):
    desk = Desk(root, **ON, challenger_shadow=True)

    async def asked() -> set[int]:
        found = set()
        transport = httpx.ASGITransport(build(desk.state, None), client=("127.0.0.1", 50000))  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
            for style in STYLES * 2:
                answer = await client.get(DETAILED, params={"style": style})
                found.add(answer.json()["release"])
        await asyncio.gather(*desk.state.trying._beside)
        return found

    assert asyncio.run(asked()) == {2}
    shadowed = sum(number == 1 for number in expected().values())
    assert desk.counted("shadow", "answered") + desk.counted("shadow", "skipped") == 2 * shadowed
    assert desk.counted("challenger", "answered") == 0
    desk.state.predictions.flush()
    (log,) = (root / "predictions").glob("*.jsonl")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert {line["scope"] for line in lines if line["release"] == 1} == {s for s, n in expected().items() if n == 1}


def test_when_the_challenger_fails_then_the_champion_answers_and_a_canary_goes_back_for_good(
    root, registry, monkeypatch
):
    desk, beside = Desk(root, **CANARY), Desk(root, **CANARY)
    real = Book.styles
    monkeypatch.setattr(Book, "styles", lambda self, *told: 1 / 0 if self.number == 1 else real(self, *told))
    theirs = [style for style, number in expected().items() if number == 1]
    ours = [style for style, number in expected().items() if number == 2]
    asked = 0
    while desk.state.trying.trial is not None:
        for style in (*theirs, *ours):
            assert desk.forecast(style)["release"] == 2  # nobody is left without an answer
        asked += len(theirs)
        assert asked < 200
    desk.look()
    assert registry.alias("challenger") is None
    last = registry.trials()[-1]
    assert last["release"] is None
    assert (last["facts"]["withdrawn"], last["facts"]["by"], last["facts"]["automatic"]) == (1, "canary", True)
    assert "beyond chance" in last["facts"]["reason"]
    assert last["facts"]["challenger"]["errors"] == last["facts"]["challenger"]["requests"] >= 20
    assert last["facts"]["champion"]["errors"] == 0
    assert desk.counted("challenger", "withdrawn") == 1
    beside.look()  # another replica follows
    assert beside.state.trying.trial is None
    assert desk.state.telemetry.share._value.get() == 0
    monkeypatch.undo()
    desk.look()
    assert set(desk.releases().values()) == {2}
    registry.point("challenger", 1)  # repaired, say: it is judged anew
    for one in (desk, beside):
        one.look()
        assert one.releases() == expected()


def test_when_a_test_is_no_canary_then_failures_are_counted_and_the_challenger_stays(root, registry, monkeypatch):
    desk = Desk(root, **ON)
    real = Book.styles
    monkeypatch.setattr(Book, "styles", lambda self, *told: 1 / 0 if self.number == 1 else real(self, *told))
    for _ in range(5):
        assert set(desk.releases().values()) == {2}
    desk.look()
    assert desk.counted("challenger", "failed") >= 20
    assert registry.alias("challenger") == 1


def test_when_a_style_is_unknown_to_both_then_it_is_the_request_s_fault_and_nobody_s_failure(root, registry):
    desk = Desk(root, **CANARY)
    for name in OTHERS:
        assert desk.client.get(DETAILED, params={"style": name}).status_code == 404
    assert desk.counted("challenger", "failed") == desk.counted("champion", "failed") == 0
    assert desk.state.trying.trial is not None


@pytest.mark.parametrize(("outcome", "goes_on"), [("keep the champion", False), ("go on", True),
                                                  ("promote the challenger", True)])  # fmt: skip
def test_when_the_stop_rule_has_decided_against_it_then_the_challenger_gets_no_style(root, registry, outcome, goes_on):
    desk = Desk(root, **ON)
    (root / "monitoring").mkdir(exist_ok=True)
    latest = root / "monitoring" / "latest.json"
    write_json(latest, {"trial": {"champion": 2, "challenger": 1, "outcome": outcome, "words": "w"}})
    desk.look()
    assert desk.releases() == (expected() if goes_on else dict.fromkeys(STYLES, 2))
    write_json(latest, {"trial": None, "more": "text"})
    desk.look()
    assert desk.releases() == expected()


def test_when_a_canary_lives_on_then_it_gets_more_styles_and_keeps_those_it_has(root, registry):
    desk = Desk(root, canary_deployment=True, challenger_share=0.9, canary_share=0.1, canary_hours=1.0)
    trying, begun = desk.state.trying, datetime.now(UTC)
    shares, before = [], set[str]()
    for hours in (0.1, 1.1, 2.1, 3.1, 4.1):
        trying._now = lambda hours=hours: begun + timedelta(hours=hours)
        desk.look()
        assert trying.trial is not None
        shares.append(trying.trial.split.share)
        found = {style for style, number in desk.releases().items() if number == 1}
        assert before <= found
        before = found
    assert shares == pytest.approx([0.1, 0.2, 0.4, 0.8, 0.9])
    assert before == {style for style, number in expected(0.9).items() if number == 1}


def test_when_the_challenger_cannot_be_opened_then_the_champion_answers_all(root, registry):
    desk = Desk(root, **ON)
    place = next((root / "registry" / "releases" / "000001").glob("styles.parquet"))
    kept = place.read_bytes()
    try:
        place.write_bytes(kept[:-1] + b"x")
        fresh = Desk(root, **ON)
        assert fresh.state.trying.trial is None
        assert set(fresh.releases().values()) == {2}
    finally:
        place.write_bytes(kept)
    assert desk.releases() == expected()


def test_when_a_canary_would_be_in_shadow_then_it_is_refused():
    with pytest.raises(SettingsError, match="canary"):
        ServeSettings(canary_deployment=True, challenger_shadow=True)
