"""POST /api/yarn-substitutes and its page: from a release of yarns, the same bytes again, no_data without one."""

from __future__ import annotations

import json

import numpy as np
import pytest

from features.yarn_pairs import pair_features
from models.decision_release import MODEL, decision_registry, keep_model
from models.substitutes import YARNS, Substitutes
from models.yarn_labels import Labelled
from models.yarn_substitution import KIND, FitLimits, YarnSubstitution
from serve_app.dashboard.pages import substitutes as page
from serve_app.problems import Refused
from serve_app.schemas.substitutes import SubstitutesAnswer
from serve_app.settings import ServeSettings
from serve_app.state import Config
from serve_app.substitutes import PATH, YarnDesk, substitutes_router
from tests.features.yarns import SETTINGS, generated, judged
from tests.serve_app.calls import client_of, state_of

ENTRY = {"metrics": {"accuracy": 0.93, "target_met": True, "evaluation_id": "e1"}, "run_id": "r"}


def release(root, model=None, seed=5, kept=None):
    """Releases 80 yarns, ranked by a model or the rule (with `kept` beside it); returns them as they answer."""
    registry = decision_registry(str(root / "registry"), root / "cache", KIND)
    yarns = generated(80, seed)

    def beside(folder):
        (folder / YARNS).mkdir()
        Substitutes(yarns, SETTINGS).save(folder / YARNS)

    if model is None:
        before = registry.alias("champion")

        def fill(folder):
            beside(folder)
            if kept is not None:
                (folder / MODEL).mkdir()
                kept.save(folder / MODEL)
            models = {} if kept is None else {KIND: {"path": MODEL, **ENTRY, "trained_at": "2025-08-01T02:00:00Z"}}
            return {"run_id": "r", "created": "2025-09-01T02:00:00Z", "served": "rule", "models": models}

        registry.promote(registry.publish(fill), expected=before, facts={})
    else:
        keep_model(registry, KIND, model.save, ENTRY, [], beside=beside)
    return Substitutes(yarns, SETTINGS, model)


def fitted_yarns():
    """A classifier of the generated yarns."""
    yarns = generated(80, 5)
    pairs, y = judged(yarns, 250)
    labelled = Labelled(pair_features(yarns, pairs, SETTINGS), y, pairs.a, pairs.b, np.arange(len(y)))
    return YarnSubstitution(n_estimators=15, cv_folds=2, oob_score=False).fit(labelled, FitLimits())


@pytest.fixture(scope="module")
def model():
    return fitted_yarns()


def desk_of(root) -> YarnDesk:
    return YarnDesk(Config(ServeSettings(), str(root), "registry"))


def called(root, body=None, **more):
    client = client_of(state_of(root), [substitutes_router(desk_of(root))])
    content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    return client.post(PATH, content=content, headers={"content-type": "application/json"}, **more)


def test_when_nothing_was_released_then_the_answer_says_so_and_what_to_do(tmp_path):
    answer = called(tmp_path)
    assert answer.status_code == 200
    assert answer.json()["status"] == "no_data"
    assert "jobs.substitutes" in answer.json()["reason"]
    (section,) = page.build(Pages(tmp_path), {})
    assert "jobs.substitutes" in section.blocks[0].text


def test_when_the_rule_ranked_beside_a_kept_classifier_then_the_rule_answers_and_signs(tmp_path, model):
    release(tmp_path, kept=model)
    told = called(tmp_path, {"limit": 1}).json()
    assert (told["made_by"], told["model"]) == ("rule", None)
    assert {one["probability"] for one in told["yarns"][0]["candidates"]} == {None}


@pytest.mark.parametrize("by", ["rule", KIND])
def test_when_all_that_are_short_are_asked_for_then_they_are_ranked_as_the_release_ranks_them(tmp_path, model, by):
    made = release(tmp_path, model if by == KIND else None)
    answer = called(tmp_path, {"limit": 3, "offset": 1, "top": 2})
    told = answer.json()
    SubstitutesAnswer.model_validate(told)
    assert answer.content == called(tmp_path, {"limit": 3, "offset": 1, "top": 2}).content
    wanted = made.short()[1:4]
    assert [one["yarn"] for one in told["yarns"]] == made.yarns.yarn_id[wanted].tolist()
    ranked = made.rank(wanted, 2)
    assert [c["substitute"] for one in told["yarns"] for c in one["candidates"]] == made.yarns.yarn_id[
        ranked.pairs.b
    ].tolist()
    assert [c["score"] for one in told["yarns"] for c in one["candidates"]] == ranked.score.tolist()
    assert told["made_by"] == by
    assert told["pagination"]["total"] == len(made.short())
    if by == KIND:
        assert (told["model"]["accuracy"], told["model"]["evaluation_id"]) == (93.0, "e1")
    else:
        assert told["model"] is None
        assert {c["probability"] for one in told["yarns"] for c in one["candidates"]} == {None}


def test_when_one_yarn_is_asked_for_then_it_is_answered_alone_short_or_not(tmp_path):
    made = release(tmp_path)
    name = str(made.yarns.yarn_id[np.flatnonzero(made.yarns.planning > 0)[0]])
    told = called(tmp_path, {"yarn": f" {name} "}).json()
    assert [one["yarn"] for one in told["yarns"]] == [name]
    assert told["yarns"][0]["shortage_lb"] == 0.0
    nobody = called(tmp_path, {"yarn": "nobody"})
    assert (nobody.status_code, nobody.json()["error"]) == (404, "unknown_yarn")


@pytest.mark.parametrize(
    ("body", "parameter"),
    [
        ({"top": 0}, "top"), ({"top": "5"}, "top"), ({"top": True}, "top"), ({"limit": 51}, "limit"),
        ({"offset": -1}, "offset"), ({"yarn": ""}, "yarn"), ({"yarn": 7}, "yarn"), ({"yarns": ["a"]}, "yarns"),
        ([], "body"), (b"null", "body"), (b"{", None), (b'{"top": 1, "top": 2}', None), (b'{"top": NaN}', None),
    ],
)  # fmt: skip
def test_when_a_body_is_wrong_then_it_is_refused_and_the_fault_named(tmp_path, body, parameter):
    answer = called(tmp_path, body)
    assert answer.status_code == 400
    assert parameter is None or answer.json()["parameter"] == parameter


def test_when_another_release_is_promoted_then_it_answers_and_a_damaged_one_is_said(tmp_path):
    release(tmp_path)
    desk = desk_of(tmp_path)
    assert desk.book().number == 1
    assert desk.book() is desk.book()
    release(tmp_path, seed=6)
    assert desk.book().number == 2
    (tmp_path / "registry" / "decisions" / KIND / "releases" / "000002" / "yarns" / "settings.json").write_text("{}")
    assert called(tmp_path).status_code == 503


class Pages:
    """The API as pages ask it."""

    def __init__(self, root) -> None:
        self._desk = desk_of(root)

    def get(self, path, **told):
        assert path == PATH
        return self._desk.of_pairs([(name, str(value)) for name, value in told.items()])


def test_when_the_page_is_opened_then_the_shortages_are_listed_and_one_leads_to_its_candidates(tmp_path, model):
    made = release(tmp_path, model)
    (section,) = page.build(Pages(tmp_path), {})
    _, note, table, _ = section.blocks
    assert "93" in note.text
    assert [row[0].text for row in table.rows] == made.yarns.yarn_id[made.short()[:20]].tolist()
    assert table.rows[0][0].href == f"/substitutes?yarn={table.rows[0][0].text}"
    (section,) = page.build(Pages(tmp_path), {"yarn": table.rows[0][0].text})
    assert section.blocks[-1].name == "candidates"
    assert len(section.blocks[-1].rows) == len(made.rank(made.short()[:1], 10).rank)
    with pytest.raises(Refused):
        page.build(Pages(tmp_path), {"offset": "-1"})
