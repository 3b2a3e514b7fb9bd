"""The race without Ray: resume does what is missing, crashes are cut down to one series; with Ray: the same bytes."""

from __future__ import annotations

import itertools
import os
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from demand.errors import ClusterError
from jobs.cluster import Call, Done, Patience, fan_out, widest_node
from jobs.race import _Flight, _smaller
from jobs.run_folder import RunFolder
from jobs.settings import ClusterSettings
from tests.faults.processes import wait_for
from tests.jobs.conftest import batch_bytes, embedded, race_of, same_forecasts
from tests.jobs.stand_in import Level


def journal_of(tmp_path: Path) -> Path:
    folder = tmp_path / "journal"
    folder.mkdir(exist_ok=True)
    return folder


def test_when_run_twice_then_every_byte_is_the_same(tmp_path, race24):
    one, two = race24.run(tmp_path / "one"), race24.run(tmp_path / "two")
    assert batch_bytes(tmp_path / "one") == batch_bytes(tmp_path / "two")
    assert same_forecasts(one, two)
    assert set(batch_bytes(tmp_path / "one")) == {f"{task.name}.parquet" for task in race24.plan.tasks}


def test_when_batches_are_cut_differently_then_the_forecasts_are_the_same(tmp_path, fleet_panel, smoke):
    one = race_of(fleet_panel, smoke, batch_seconds=1e6).run(tmp_path / "one")
    many = race_of(fleet_panel, smoke, batch_seconds=0.01).run(tmp_path / "many")
    assert len(batch_bytes(tmp_path / "one")) < len(batch_bytes(tmp_path / "many"))
    assert same_forecasts(one, many)


def test_when_a_run_is_resumed_then_only_missing_batches_are_done(tmp_path, fleet_panel, smoke):
    races = race_of(fleet_panel, smoke, Level(journal=str(journal_of(tmp_path))))
    folder = tmp_path / "run"
    whole = races.run(folder)
    before = {path.name: path.stat() for path in (folder / "batches").iterdir()}
    expected = batch_bytes(folder)
    gone = [name for name in before if name.startswith("local")][1:3]
    for name in gone:
        (folder / "batches" / name).unlink()
    fits = len(list(journal_of(tmp_path).iterdir()))
    again = races.run(folder)
    assert same_forecasts(whole, again)
    assert batch_bytes(folder) == expected
    after = {path.name: path.stat() for path in (folder / "batches").iterdir()}
    kept = {name for name in before if (before[name].st_ino, before[name].st_mtime_ns)
            == (after[name].st_ino, after[name].st_mtime_ns)}  # fmt: skip
    assert kept == set(before) - set(gone)
    one_batch = fits / sum(name.startswith("local") for name in before)
    assert len(list(journal_of(tmp_path).iterdir())) - fits <= 2 * (one_batch + 1)
    races.run(folder)  # nothing is missing now
    assert {p.name: p.stat().st_ino for p in (folder / "batches").iterdir()} == {n: s.st_ino for n, s in after.items()}


def test_when_a_killed_worker_left_half_a_file_then_it_is_swept_and_never_read(tmp_path, race24):
    folder = tmp_path / "run"
    race24.run(folder)
    name = race24.plan.tasks[-1].name
    whole = (folder / "batches" / f"{name}.parquet").read_bytes()
    (folder / "batches" / f"{name}.parquet").unlink()
    half = folder / "batches" / f".{name}.parquet.0a1b2c3d.part"
    half.write_bytes(whole[: len(whole) // 2])
    model = folder / "models" / "arima" / f".{name}.0a1b2c3d.part" / "model"
    model.mkdir(parents=True)
    (model / "card.json").write_text("{")
    race24.run(folder)
    assert not list(folder.rglob("*.part"))
    assert (folder / "batches" / f"{name}.parquet").read_bytes() == whole


def fan_out_that_crashes(run, dies_on: str):
    """What `fan_out` yields when the worker of every batch with this series dies."""

    def stand_in(function, calls, in_flight, retries, start_timeout_s):
        assert start_timeout_s == 600
        for call in calls:
            assert call.cpus == 1  # no more than the largest node has, however many the cluster has in all
            panel, work = call.arguments
            first, last = work.task.series
            if work.task.kind == "local" and dies_on in panel.ids[first:last]:
                run.append((call.name, retries))
                yield Done(call, crash="WorkerCrashedError: gone")
            else:
                yield Done(call, value=function(panel, work))

    return stand_in


def test_when_one_series_kills_its_worker_then_the_batch_is_cut_down_to_it(tmp_path, fleet_panel, smoke, monkeypatch):
    races = race_of(fleet_panel, smoke, batch_seconds=1e6, pooled_cpus=2)
    calm = races.run(tmp_path / "calm")
    crashes: list[tuple[str, int]] = []
    monkeypatch.setattr("jobs.race.widest_node", lambda: 1)
    monkeypatch.setattr("jobs.race.cluster", lambda settings: nullcontext(2))
    monkeypatch.setattr("jobs.race.put", lambda value: value)
    monkeypatch.setattr("jobs.race.fan_out", fan_out_that_crashes(crashes, "S007"))
    race = races.run(tmp_path / "crashing", parallel_training=True)
    others = fleet_panel.ids[fleet_panel.ids != "S007"]
    assert same_forecasts(calm, race, others)
    for forecast in race.raw["arima"].values():
        row = forecast.ids.tolist().index("S007")
        assert (forecast.made[row], forecast.reason[row]) == (False, "its worker died")
    assert list(race.crashed.values()) == ["WorkerCrashedError: gone"]
    names = [name for name, _ in crashes]
    assert len(names) == 6  # 24 series: 24, 12, 6, 3, 1 or 2, 1
    assert all(long.startswith(short) for short, long in itertools.pairwise(names))
    assert [retries for _, retries in crashes] == [2, 1, 1, 1, 1, 1]


def test_when_a_pooled_fit_kills_its_worker_then_it_is_given_up_and_named(race24, tmp_path):
    from jobs.progress import Progress

    task = replace(race24.plan.tasks[0], kind="pooled", name="pooled-lstm-000")
    flight = _Flight(RunFolder(tmp_path), Progress(False, 1.0, 0.0))
    assert _smaller(task, "OutOfMemoryError: gone", flight) == []
    assert flight.crashed == {"pooled-lstm-000": "OutOfMemoryError: gone"}


@pytest.fixture(scope="module")
def serial(fleet_panel, smoke, tmp_path_factory):
    """The same race without Ray."""
    folder = tmp_path_factory.mktemp("serial")
    return folder, race_of(fleet_panel, smoke).run(folder)


TWO = ClusterSettings(num_cpus=2)


@pytest.mark.ray
@pytest.mark.slow
def test_when_run_on_ray_then_every_byte_is_as_without_it_and_a_poison_style_costs_only_itself(
    tmp_path, fleet_panel, smoke, serial
):
    # One cluster for all three: starting it is most of the time.
    on_ray = replace(smoke, parallel_training=True, cluster=TWO)
    folder, calm = serial
    with embedded(TWO) as cpus:
        assert cpus == 2
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("jobs.race.cluster", lambda settings: nullcontext(2))
            race = race_of(fleet_panel, on_ray).run(tmp_path / "parallel")
            assert batch_bytes(tmp_path / "parallel") == batch_bytes(folder)
            assert same_forecasts(race, calm)
            assert not race.crashed

            poisoned = race_of(fleet_panel, on_ray, Level(dies_on=("S007",))).run(tmp_path / "poisoned")
            others = fleet_panel.ids[fleet_panel.ids != "S007"]
            assert same_forecasts(poisoned, calm, others)
            assert len(poisoned.crashed) == 1
            for forecast in poisoned.raw["arima"].values():
                row = forecast.ids.tolist().index("S007")
                assert (forecast.made[row], forecast.reason[row]) == (False, "its worker died")

        spans = tmp_path / "spans"
        spans.mkdir()
        calls = [Call(f"t{i}", 1, (str(spans), i)) for i in range(7)]
        done = list(fan_out(_span, calls, in_flight=1))
        assert sorted(one.value for one in done) == list(range(7))
        assert _most_at_once(spans) == 1
        together = tmp_path / "together"
        together.mkdir()
        calls = [Call(f"t{i}", 1, (str(together), i, 2)) for i in range(5)]
        list(fan_out(_span, calls, in_flight=2))
        assert _most_at_once(together) == 2

        with pytest.raises(ZeroDivisionError):  # a bug of ours is not a crash
            list(fan_out(_divide, [Call("t", 1, (0,))], in_flight=1))

        assert widest_node() == 2
        _no_node_is_wide_enough(tmp_path)
        _all_cpus_are_taken(tmp_path)


def _no_node_is_wide_enough(tmp_path):
    """What can run does, then the job gives up; it does not wait for ever."""
    done = []
    calls = [Call("t", 1, (1,)), Call("wide", 3, (1,))]
    with pytest.raises(ClusterError, match="a task asks for 3 CPUs, and the largest node has 2"):
        done.extend(one.value for one in fan_out(_divide, calls, in_flight=2, start_timeout_s=1))
    assert done == [1]


def _all_cpus_are_taken(tmp_path):
    import ray

    taken = ray.remote(num_cpus=2)(_span).remote(str(tmp_path), 0, 2)  # ends when another file is there
    wait_for(lambda: (tmp_path / "0.begun").exists(), 60, "a task that takes all CPUs")
    with pytest.raises(ClusterError, match="no worker has started; 0 of 2 CPUs are free"):
        list(fan_out(_divide, [Call("t", 1, (1,))], in_flight=1, start_timeout_s=1))
    (tmp_path / "1.begun").touch()
    assert ray.get(taken, timeout=60) == 0
    assert [one.value for one in fan_out(_divide, [Call("t", 1, (1,))], in_flight=1, start_timeout_s=60)] == [1]


def test_when_nothing_runs_then_it_is_said_and_given_up_in_time_but_not_while_something_does(caplog):
    now = [0.0]
    patience = Patience(60, clock=lambda: now[0])
    now[0] = 50
    patience.look("no worker has started")
    assert "no worker has started (50 of at most 60 s)" in caplog.text
    patience.look("")  # a worker has started
    now[0] = 100
    patience.look("a node has gone")
    now[0] = 159
    patience.look("a node has gone")
    now[0] = 160
    with pytest.raises(ClusterError, match="a node has gone") as error:
        patience.look("a node has gone")
    assert error.value.facts["waited_s"] == 60
    assert "start_timeout_s" in error.value.hint


def _span(folder: str, number: int, others: int = 1) -> int:
    """Writes down from when to when it ran; begins its work when `others` tasks have begun."""
    begun = time.time()
    Path(folder, f"{number}.begun").touch()
    while len(list(Path(folder).glob("*.begun"))) < others and time.time() < begun + 60:
        time.sleep(0.01)
    time.sleep(0.2)
    Path(folder, f"{number}").write_text(f"{begun} {time.time()}")
    return number


def _most_at_once(folder: Path) -> int:
    spans = np.array([[float(x) for x in path.read_text().split()] for path in folder.iterdir() if not path.suffix])
    return max(int(((spans[:, 0] <= begun) & (begun < spans[:, 1])).sum()) for begun in spans[:, 0])


def _divide(number: int) -> float:
    assert os.getpid()
    return 1 / number
