"""The release desk: what was released is listed, a release that served before serves again, everything is noted."""

from __future__ import annotations

import json
import shutil

import pytest

from jobs import releases, rollback
from jobs.entry import FAILED, OK, REFUSED, exit_code
from jobs.fleet import registry_of
from jobs.publish import publish
from models.files import write_json
from models.registry import Registry, registry_at
from tests.contracts.test_registry import fill_with
from tests.s3 import make_bucket, s3_server

pytestmark = pytest.mark.slow


def card(wape: float) -> dict:
    shared = {"mase": 0.7, "bias_rel": 0.031}
    return {"served": "ensemble", "metrics": {"ensemble": {"wape": wape, **shared}, "seasonal_naive": {"wape": 0.5}}}


def fill_as_run(text: str, wape: float):
    """A release with the facts that a list of releases shows."""

    def fill(folder):
        facts = fill_with(text)(folder)
        write_json(folder / "card.json", card(wape))
        return {**facts, "created": "2026-01-02T03:04:05Z", "n_series": 1234}

    return fill


@pytest.fixture
def desk(tmp_path) -> Registry:
    """Releases 1 and 2 served one after another; 3 was never promoted."""
    registry = Registry(tmp_path / "registry")
    for number, wape in ((1, 0.41), (2, 0.42), (3, 0.43)):
        assert registry.publish(fill_as_run(f"run {number}", wape)) == number
    registry.promote(1, expected=None, facts={"forced": False})
    registry.promote(2, expected=1, facts={"forced": False})
    return registry


def told(desk: Registry, *more: str) -> list[str]:
    return [f"storage.root={desk.root.parent}", *more]


def tree(desk: Registry) -> dict[str, bytes]:
    return {
        str(path.relative_to(desk.root)): path.read_bytes()
        for path in sorted(desk.root.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def test_when_rolled_back_then_the_release_before_serves_with_its_own_bytes_and_it_is_noted(desk, capsys):
    first = {name: data for name, data in tree(desk).items() if name.startswith("releases/")}
    assert exit_code("rollback", rollback.body, told(desk, "reason=orders doubled")) == OK
    assert "Release   1 serves again, in the place of 2" in capsys.readouterr().out
    assert (desk.alias("champion"), desk.alias("previous")) == (1, 2)
    assert {name: data for name, data in tree(desk).items() if name.startswith("releases/")} == first
    noted = [json.loads(path.read_text())["champion"] for path in sorted((desk.root / "log").iterdir())]
    assert noted == desk.promotions()
    assert [(line["release"], line["previous"]) for line in noted] == [(1, None), (2, 1), (1, 2)]
    assert noted[-1]["facts"] == {"forced": False, "rolled_back_from": 2, "reason": "orders doubled"}
    view = json.loads(desk.view_path.read_text())["arima"]
    assert (view["release"], view["previous"], view["rolled_back_from"]) == (1, 2, 2)
    # The same command again undoes it.
    assert exit_code("rollback", rollback.body, told(desk)) == OK
    assert (desk.alias("champion"), desk.alias("previous")) == (2, 1)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["release=2"], "this release serves now"),
        (["release=3"], "served before"),
        (["release=9"], "served before"),
        (["release=0"], "release"),
        (["release=two"], "release"),
        (["relese=1"], "Did you mean release?"),
    ],
)
def test_when_the_release_cannot_be_gone_back_to_then_the_code_is_2_and_nothing_changes(desk, capsys, more, says):
    before = tree(desk)
    assert exit_code("rollback", rollback.body, told(desk, *more)) == REFUSED
    said = capsys.readouterr()
    assert said.out == ""
    assert says in said.err
    assert "Traceback" not in said.err
    assert tree(desk) == before


@pytest.mark.parametrize("job", ["releases", "rollback"])
def test_when_nothing_was_released_then_the_next_step_is_said_and_nothing_is_made(tmp_path, capsys, job):
    body = {"releases": releases.body, "rollback": rollback.body}[job]
    assert exit_code(job, body, [f"storage.root={tmp_path / 'none'}"]) == REFUSED
    assert "Run python -m jobs.pipeline first" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_when_only_one_release_ever_served_then_there_is_none_to_go_back_to(tmp_path, capsys):
    registry = Registry(tmp_path / "registry")
    registry.promote(registry.publish(fill_as_run("a", 0.4)), expected=None, facts={})
    assert exit_code("rollback", rollback.body, told(registry)) == REFUSED
    assert "no release before the champion" in capsys.readouterr().err


@pytest.mark.parametrize("damage", ["flipped byte", "file missing", "planted pickle", "link"])
def test_when_the_release_to_go_back_to_is_damaged_then_the_champion_stays_and_the_list_shows_it(desk, capsys, damage):
    folder = desk.root / "releases" / "000001"
    file = folder / "models" / "arima" / "card.json"
    if damage == "flipped byte":
        file.write_bytes(file.read_bytes().replace(b"arima", b"arimb"))
    elif damage == "file missing":
        file.unlink()
    elif damage == "planted pickle":
        (folder / "model.pkl").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    else:
        file.rename(folder / "elsewhere")
        file.symlink_to(folder / "elsewhere")
    before = tree(desk)
    assert exit_code("rollback", rollback.body, told(desk)) == FAILED
    assert "VersionUnreadable" in capsys.readouterr().err
    assert tree(desk) == before
    assert exit_code("releases", releases.body, told(desk)) == FAILED
    assert "Damaged   1: " in capsys.readouterr().out


def test_when_the_release_to_go_back_to_was_swapped_for_a_whole_other_one_then_the_champion_stays(desk, capsys):
    folder = desk.root / "releases" / "000001"
    shutil.rmtree(folder)
    shutil.copytree(desk.root / "releases" / "000003", folder)
    before = tree(desk)
    assert desk.open(1).manifest["run_id"] == "run 3"  # whole in itself: only the promotion knows better
    assert exit_code("rollback", rollback.body, told(desk)) == FAILED
    assert "not the one that was promoted" in capsys.readouterr().err
    assert tree(desk) == before


def test_when_the_champion_itself_is_damaged_then_the_release_before_still_serves_again(desk):
    (desk.root / "releases" / "000002" / "card.json").write_text("{}")
    assert exit_code("rollback", rollback.body, told(desk)) == OK
    assert desk.open("champion").number == 1


def test_when_releases_are_listed_then_each_shows_its_alias_and_figures_within_80_columns(desk, capsys):
    assert exit_code("rollback", rollback.body, told(desk, "reason=orders doubled")) == OK
    capsys.readouterr()
    before = tree(desk)
    assert exit_code("releases", releases.body, told(desk)) == OK
    assert tree(desk) == before
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line.rstrip()) <= 80 for line in lines)
    newest, middle, oldest = (line.split() for line in lines[1:4])
    assert newest == ["3", "2026-01-02", "ensemble", "1,234", "0.430", "0.500", "0.700", "+3.1"]
    assert middle[2] == "previous"
    assert oldest[2:5] == ["champion", "ensemble", "1,234"]
    said = [line[18:] for line in lines[6:]]
    assert said == ["release 1 promoted", "release 2 promoted", "release 1 rolled back from 2: orders doubled"]


@pytest.mark.slow
def test_when_the_registry_is_on_an_object_store_then_the_desk_works_as_on_a_folder(tmp_path, capsys, monkeypatch):
    with s3_server() as environment:
        make_bucket(environment, "releases")
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        place = "s3://releases/loomcast"
        more = (f"storage.root={tmp_path}", f"storage.registry_url={place}")
        assert exit_code("rollback", rollback.body, list(more)) == REFUSED
        assert f"registry: '{place}'" in capsys.readouterr().err
        registry = registry_at(place, tmp_path / "elsewhere")
        for number, champion in ((1, None), (2, 1)):
            registry.promote(registry.publish(fill_as_run(f"run {number}", 0.4)), expected=champion, facts={})
        assert exit_code("rollback", rollback.body, [*more, "reason=orders doubled"]) == OK
        assert f"Noted in  {place}/log" in capsys.readouterr().out
        assert registry.champion_pointer()["facts"]["reason"] == "orders doubled"
        assert exit_code("releases", releases.body, list(more)) == OK
        assert capsys.readouterr().out.splitlines()[2].split()[2] == "champion"
        assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "elsewhere"]


def test_when_a_run_was_published_then_the_list_shows_its_own_figures(judged, capsys):
    fleet, _, verdict, _ = judged
    publish(*judged)
    root = registry_of(fleet.settings).root.parent
    assert exit_code("releases", releases.body, [f"storage.root={root}"]) == OK
    row = capsys.readouterr().out.splitlines()[1].split()
    measured = verdict.metrics
    assert row[2:] == [
        "champion", verdict.served, str(len(verdict.live.ids)), f"{measured[verdict.served]['wape']:.3f}",
        f"{measured['seasonal_naive']['wape']:.3f}", f"{measured[verdict.served]['mase']:.3f}",
        f"{100 * measured[verdict.served]['bias_rel']:+.1f}",
    ]  # fmt: skip
