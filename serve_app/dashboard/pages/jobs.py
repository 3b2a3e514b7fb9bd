"""Training: start it, follow it, see how it ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from serve_app.dashboard.blocks import Block, Cell, Field, Form, Section, Table, Text, Tone
from serve_app.dashboard.frame import Api, Page, Query
from serve_app.dashboard.parts import MEMBERS, choice, no_data, pager
from serve_app.dashboard.shown import moment

LIMIT = 20
TICKS: dict[str, Tone] = {"done": "good", "failed": "bad", "skipped": "warn"}
TONES: dict[str, Tone] = {"success": "good", "partial": "warn", "failed": "bad"}
MODELS = [("all", "all models"), *((name, name) for name in (*MEMBERS, "ensemble"))]


def build(api: Api, query: Query) -> Sequence[Section]:
    offset = query.get("offset") or "0"
    answer = api.get("/api/jobs", limit=LIMIT, offset=offset)
    return [
        Section("Start training", [
            Text(["Training makes a new release. It serves only if the gate finds it good enough; until then the "
                  "release before goes on answering."]),
            Form("retrain", "/api/retrain-ml", (
                choice("model", "Model", MODELS, "all"),
                Field("force", "also what is not due", "checkbox", attributes={"checked": "checked"}),
            ), "Start training", shows="job"),
        ]),
        Section("Schedule", _schedule(api), name="schedule", live_seconds=10),
        Section("Jobs", [_table(answer["jobs"]), *pager("/jobs", _page(answer))], name="list", live_seconds=2),
    ]  # fmt: skip


def _schedule(api: Api) -> Sequence[Block]:
    answer = api.get("/api/schedule")
    empty = no_data(answer)
    if empty:
        return [empty]
    missed = answer["missed"]
    automatic = "" if answer["auto_retrain"] else " Nothing starts by itself: schedule.auto_retrain=false."
    ahead = [[Cell(moment(one["at"])), Cell(one["trigger"]), Cell(", ".join(one["models"]))] for one in answer["next"]]
    past = [
        [Cell(moment(one["moment"])), Cell(one["trigger"]), Cell(", ".join(one["models"])),
         Cell(one["status"], tone=TICKS.get(one["status"], "")), Cell(one["why"])]
        for one in answer["newest"]
    ]  # fmt: skip
    head = (("when", False), ("trigger", False), ("models", False))
    return [
        Text([f"Last looked {moment(answer['looked_at'])}; {missed:,} triggers were missed so far.{automatic}"]),
        Table("next", head, ahead, "What fires next", "No trigger is ahead."),
        Table("ticks", (*head, ("state", False), ("why", False)), past, "What fired", "Nothing has fired yet."),
    ]


def _page(answer: Mapping[str, Any]) -> dict[str, Any]:
    returned, after = len(answer["jobs"]), answer["offset"] + len(answer["jobs"])
    return {"total": answer["total"], "returned": returned, "offset": answer["offset"], "limit": answer["limit"],
            "next_offset": after if after < answer["total"] else None}  # fmt: skip


def _table(jobs: Sequence[Mapping[str, Any]]) -> Table:
    columns = (("job", False), ("state", False), ("progress", True), ("models", False), ("asked", False),
               ("set off by", False), ("release", True), ("what happened", False))  # fmt: skip
    rows = [
        [Cell(job["job_id"]), Cell(job["status"], tone=TONES.get(job["status"], "")), Cell(_progress(job), number=True),
         Cell(", ".join(job["models"])), Cell(moment(job["created_at"])), Cell(job["trigger"]),
         Cell("" if job["release"] is None else str(job["release"]), number=True),
         Cell("; ".join([job["message"], *(error for error in job["errors"] if error not in job["message"])]))]
        for job in jobs
    ]  # fmt: skip
    return Table("jobs", columns, rows, "Training jobs, newest first", "No training was asked for yet.")


def _progress(job: Mapping[str, Any]) -> str:
    progress = job["progress"]
    return "" if progress is None else f"{progress['batches_done']} of {progress['batches_planned']} batches"


PAGE = Page("/jobs", "Training", 50, build, "Start training and follow it to its end.")
