"""What the models look at."""

from __future__ import annotations

from collections.abc import Sequence

from serve_app.dashboard.blocks import Chart, Note, Section
from serve_app.dashboard.charts import bars
from serve_app.dashboard.frame import Api, Page, Query
from serve_app.dashboard.parts import no_data
from serve_app.dashboard.shown import moment, share

SHOWN = 20


def build(api: Api, query: Query) -> Sequence[Section]:
    answer = api.get("/api/features")
    empty = no_data(answer)
    if empty:
        return [Section("", [empty])]
    sections = []
    for place, model in enumerate(answer["models"]):
        top = model["features"][:SHOWN]
        if not top:
            continue
        said = (
            f"{model['model']}, trained {moment(model['last_trained'])}: the {len(top)} strongest of "
            f"{len(model['features'])} features; {top[0]['feature']} has {share(top[0]['importance'])}."
        )
        figure = bars([one["feature"] for one in top], [round(100 * one["importance"], 2) for one in top],
                      "share (percent)")  # fmt: skip
        sections.append(Section(model["model"], [Chart(f"features-{place}", figure, said)]))
    return sections or [Section("", [Note("No model of this release says which features it used.")])]


PAGE = Page("/features", "Features", 60, build, "Which facts moved the forecasts, by the models' own measure.")
