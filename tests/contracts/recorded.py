"""Writes the examples of the operations that are no questions to a release: `python -m tests.contracts.recorded`.

Each is what the service answered over two small made releases, its lists cut to two items, its moment a fixed one.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from jobs import compose
from jobs.rounds import Rounds
from models.job import Job
from models.ledger import Ledger
from serve_app.computing import Computing
from serve_app.docs import OPERATIONS, operation_file
from tests.contracts.service import Service, make_storage
from tests.evaluation.released import fleet_panel, release_of
from tests.serve_app.calls import Client
from tests.serve_app.examples import shortened

CSV = "date,style,quantity,price\n" + "".join(f"2025-06-{day:02d},A,{day % 5},7.5\n" for day in range(1, 29))
AS_CSV = {"Content-Type": "text/csv"}
MONDAY = datetime(2025, 9, 1, tzinfo=UTC)


class Trains(Service):
    """A service whose jobs end at once as a good one does, with the stored figures of the champion."""

    def _start(self, _: Any, job: Job) -> None:
        release = self.registry.open("champion")
        card = release.json("card.json")
        measured = card["metrics"][card["served"]]
        with self.ledger.running(job.job_id) as lease:
            self.ledger.finish(
                lease, "success", f"release {release.number} serves: {', '.join(job.ask.models)} trained anew",
                release=release.number, models_retrained=job.ask.models,
                metrics={"action_accuracy": measured["accuracy"], "training_samples": measured["n"],
                         "top_features": [], "evaluation_id": measured["evaluation_id"]},
            )  # fmt: skip


def recorded(service: Service) -> Iterator[tuple[str, str, str, Any]]:
    """(method, path, status, answer) of each."""
    client = Client(service.app)

    def of(method: str, path: str, asked: str = "", status: int = 200, **more: Any) -> tuple[str, str, str, Any]:
        answer = client.request(method, asked or path, **more)
        assert answer.status_code == status, (path, answer.text)
        return method, path, str(status), answer.json()

    yield of("GET", "/health")
    yield of("GET", "/health/ready")
    accepted = of("POST", "/api/retrain-ml", status=202, json={"model": "xgboost"})
    yield accepted
    yield of("POST", "/api/retrain-ml", "/api/retrain-ml?wait=5", json={"model": "xgboost"})
    yield of("GET", "/api/retrain-ml/{job_id}", f"/api/retrain-ml/{accepted[-1]['job_id']}")
    yield of("GET", "/api/jobs")
    yield of("GET", "/api/schedule")
    yield of("POST", "/api/releases/promote", json={"release": 1, "reason": "reviewed", "force": True})
    yield of("POST", "/api/releases/rollback", json={"release": 2, "reason": "orders look wrong"})
    yield of("POST", "/api/yarn-substitutes", json={"top": 2, "limit": 1})
    yield of("POST", "/api/order-quantities", json={
        "items": [{"style": "A/1", "on_shelf": 120, "unit_cost": 4.5, "lead_time_days": 21}]})  # fmt: skip
    uploaded = of("POST", "/api/upload_csv", content=CSV, headers=AS_CSV)
    yield uploaded
    data_id = uploaded[-1]["data_id"]
    yield of("GET", "/api/uploads/{data_id}", f"/api/uploads/{data_id}")
    yield of("DELETE", "/api/uploads/{data_id}", f"/api/uploads/{data_id}")
    made = of("POST", "/api/custom-features", "/api/custom-features?date=date&columns=quantity", content=CSV,
              headers=AS_CSV)  # fmt: skip
    yield made
    yield of("DELETE", "/api/custom-features/{data_id}", f"/api/custom-features/{made[-1]['data_id']}")


def schedule(root: Path) -> None:
    """One look of the schedule, an hour after its first trigger."""
    now = [MONDAY]
    settings = compose.load("schedule", ["source.path=sales.csv"])
    settings = replace(settings, storage=replace(settings.storage, root=str(root)))
    ledger = Ledger(root / "jobs", clock=lambda: now[0])
    rounds = Rounds(settings, ledger, lambda job: None)
    rounds.ticks.began(MONDAY)
    now[0] += timedelta(hours=2)
    looked = rounds.look(now[0])
    assert looked.job is not None
    with ledger.running(looked.job.job_id) as lease:
        ledger.finish(lease, "failed", "there is no such file", errors=("there is no such file",))
    now[0] += timedelta(minutes=1)
    rounds.look(now[0])


def main() -> None:
    OPERATIONS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        root = Path(folder)
        make_storage(root)
        schedule(root)
        service = Trains(root, patch)
        try:
            release, _ = release_of(root / "fitted", fleet_panel(price="future"), ("arima", "xgboost"))
            said = json.loads(Computing(release).predict({"style": "S003", "horizon": 7}))
            for method, path, code, answer in (*recorded(service), ("POST", "/api/predictions", "200", said)):
                text = json.dumps(shortened(answer), indent=1, ensure_ascii=False)
                operation_file(method, path, code).write_text(text + "\n", encoding="utf-8")
        finally:
            service.close()


if __name__ == "__main__":
    main()
