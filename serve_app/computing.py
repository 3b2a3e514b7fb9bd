"""Forecasts on demand: the fitted models of one release in memory, asked about one history at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from demand.errors import DataError, DemandError, ModelError
from demand.panel import Floats, Panel
from evaluation.adjusted import adjustments_in
from evaluation.formulas import intervals
from evaluation.on_demand import Answer, OnDemand
from models.release import Release
from serve_app.histories import like, series_of, stranger, with_plan
from serve_app.problems import Refused, public, strict_json, without_places, word_of
from serve_app.schemas.predictions import PredictionAnswer, PredictionRequest, read_request
from serve_app.schemas.units import listed, units

LEAST_SHARE = 0.01  # of a forecast: readers of a plan that weigh less cannot be said to act
FROM_ANOTHER = "taken from release"  # how the note of a style that was rolled back by itself begins
OpenUpload = Callable[[str], Panel]


class Computing:
    """One release that computes; opened once, then asked by one thread at a time (others wait).

    release: compared with its manifest. upload: the panel of a data_id; raises Refused (404) for one that is not there.
    The release's panel is read at once; a model is loaded when it is first needed, TensorFlow only where the served
    ensemble gives lstm or tide a weight. Raises RegistryError and StorageError when the release cannot be used.
    """

    def __init__(self, release: Release, upload: OpenUpload | None = None) -> None:
        self.number = release.number
        self._models = OnDemand(release)
        self._upload = upload
        self._lock = threading.Lock()  # prophet and numpy's own generator are shared by the whole process

    @classmethod
    def open(cls, release_path: Path, number: int, upload: OpenUpload | None = None) -> Computing:
        """The release in a folder, every file compared with the manifest, and its models ready to answer."""
        computing = cls(Release.open(release_path, number), upload)
        computing.warm()
        return computing

    def warm(self) -> None:
        """Loads a model of every kind that has a say in any style, and its library. Raises as an answer would."""
        with self._lock, threadpool_limits(1):
            for style in self._models.who_use_all():
                self._answer(PredictionRequest(style=style))

    @property
    def etag(self) -> str:
        """Names the release's bytes, as a book's does."""
        return self._models.release.manifest_sha256[:16]

    def predict(self, request: PredictionRequest | Mapping[str, Any]) -> bytes:
        """The answer, strict JSON; the same request gives the same bytes.

        Raises Refused: 400 a parameter, 404 a style or upload, 409 a horizon, model or plan that this release cannot
        answer, 422 a history.
        """
        asked = request if isinstance(request, PredictionRequest) else read_request(dict(request))
        with self._lock, threadpool_limits(1):  # as many threads as when it was made: they can move the last digits
            return strict_json(self._answer(asked))

    def _answer(self, asked: PredictionRequest) -> dict[str, Any]:
        periods, days = self._periods(asked.horizon)
        level, low, high = self._interval(asked.confidence_level)
        history, source = self._history(asked)
        plan = self._plan(asked, history, periods)
        try:
            answer = self._models.answer(with_plan(history, plan, self._horizon), own=source == "release")
        except DataError as error:
            raise Refused(422, "bad_history", str(error), "history") from None
        except ModelError as error:
            raise Refused(409, "no_forecast", str(error)) from None
        return self._told(asked, answer, history, source, plan, periods, days, (level, low, high))

    # ---- what is asked ----------------------------------------------------------------------------------------------

    @property
    def _horizon(self) -> int:
        return self._models.question.spec.horizon

    def _periods(self, asked: int | None) -> tuple[int, int]:
        """Periods and days ahead. Raises Refused (409) beyond the release's horizon, naming the maximum."""
        calendar = self._models.panel.calendar
        most = round(self._horizon * calendar.days_per_period)
        if asked is None:
            return self._horizon, most
        if asked > most:
            raise Refused(
                409, "horizon_not_in_release",
                f"release {self.number} forecasts at most {most} days, not {asked}. Ask for fewer, or set "
                f"default_forecast_horizon={asked} and train anew: python -m jobs.train force=true", "horizon", [most],
            )  # fmt: skip
        return min(self._horizon, calendar.periods_in(asked)), asked

    def _interval(self, asked: float | None) -> tuple[float | None, int, int]:
        """The stated share and the places of its two levels. Raises Refused (400) for one the models do not give."""
        found = {round(share, 6): (low, high) for share, low, high in intervals(self._models.question.spec.levels)}
        if asked is None:
            configured = float(self._models.config.get("confidence_level", 0.0))
            asked = configured if round(configured, 6) in found else max(found, default=None)
        if asked is None:
            return None, 0, 0
        if round(asked, 6) not in found:
            words = "its models give no bounds: it was trained with confidence_intervals=false" if not found else (
                "its models give no quantiles for it; train with confidence_level= or levels="
            )  # fmt: skip
            raise Refused(
                400, "bad_parameter", f"release {self.number} cannot state bounds of {asked:g}: {words}",
                "confidence_level", sorted(found),
            )  # fmt: skip
        low, high = found[round(asked, 6)]
        return round(asked, 6), low, high

    def _history(self, asked: PredictionRequest) -> tuple[Panel, str]:
        """The one series that is asked about, and where it is from."""
        known = self._models.panel
        if asked.style is not None and (asked.history is not None or asked.data_id is None):
            own = None if "\0" in asked.style else self._models.history_of(asked.style)
            if own is None:
                shown = asked.style if len(asked.style) <= 60 else asked.style[:57] + "..."
                hint = "Leave style out to forecast a history that the release does not know" if asked.history else (
                    "See /api/styles?search= for the names, or send its history"
                )  # fmt: skip
                raise Refused(404, "unknown_style", f"no style is called {shown!r}. {hint}", "style")
            if asked.history is None:
                return own, "release"
        if asked.history is not None:
            gaps = str(self._models.config.get("cleaning", {}).get("gaps", "zero"))
            return series_of(asked.history, asked.style, known, gaps), "request"
        assert asked.data_id is not None
        if self._upload is None:
            raise Refused(404, "unknown_data_id", "this service keeps no uploads", "data_id")
        return like(_one_of(self._upload(asked.data_id), asked.style), known), "upload"

    def _plan(self, asked: PredictionRequest, history: Panel, periods: int) -> dict[str, Floats]:
        """Column -> its planned values, one a period. Raises Refused: 409 where no model could act on them."""
        if not asked.planned:
            return {}
        readers = self._models.reads_ahead(str(history.ids[0]))
        unread = [name for name in asked.planned if name not in readers]
        if unread:
            words = f"Those that can be planned: {', '.join(readers)}" if readers else (
                "None can: a column acts when it is among columns.future in training, and the served models read it"
            )  # fmt: skip
            raise Refused(
                409, "cannot_act", f"no served model reads planned values of {', '.join(unread)[:200]}. {words}",
                "planned", sorted(readers),
            )  # fmt: skip
        plan = {}
        for name, value in asked.planned.items():
            values = value if isinstance(value, list) else [value] * periods
            if len(values) != periods:
                raise Refused(
                    400, "bad_parameter", f"planned.{name} has {len(values)} values for {periods} periods: give one "
                    "for all, or one for each", f"planned.{name}", [1, periods],
                )  # fmt: skip
            if np.isnan(history.future[name][: len(history.y)]).all():
                raise Refused(
                    409, "cannot_act", f"the history has no {name}, so nothing says what a change of it does. Give it "
                    "in the rows' columns", f"planned.{name}",
                )  # fmt: skip
            plan[name] = np.array(values, dtype=np.float64)
        return plan

    # ---- what is told -----------------------------------------------------------------------------------------------

    def _told(
        self, asked: PredictionRequest, answer: Answer, history: Panel, source: str, plan: Mapping[str, Floats],
        periods: int, days: int, interval: tuple[float | None, int, int],
    ) -> dict[str, Any]:  # fmt: skip
        made, (level, low, high) = answer.forecast, interval
        release, card = self._models.release, self._models.card
        dates = [str(day)[:10] for day in history.calendar.dates(history.end + 1 + np.arange(periods))]
        nothing = [None] * periods
        lower = listed(made.quantiles[0, :periods, low]) if level is not None else nothing
        upper = listed(made.quantiles[0, :periods, high]) if level is not None else nothing
        kind = str(made.made_by[0])
        measured = card["metrics"].get(kind)
        first, last = (str(history.calendar.dates([at])[0])[:10] for at in (history.start[0], history.end))
        told = {
            "status": "success",
            "generated_at": str(release.manifest["created"]),
            "release": self.number,
            "evaluation_id": None if measured is None else str(measured["evaluation_id"]),
            "units": units(history.unit, (), ("confidence_level", "weight"), confidence_level=level),
            "style": None if str(history.ids[0]) == stranger(self._models.panel) else str(history.ids[0]),
            "forecast_horizon": f"{days} days",
            "confidence_level": level,
            "forecast": [
                {"date": day, "predicted_value": mean, "lower_bound": below, "upper_bound": above}
                for day, mean, below, above in zip(dates, listed(made.mean[0, :periods]), lower, upper, strict=True)
            ],
            "made_by": kind,
            "fallback_level": int(made.level[0]),
            "reason": without_places(str(made.reason[0])),
            "members": [{"model": name, "weight": w} for name, w in answer.weights.items()],
            "weights_of": answer.basis,
            "unusable": [{"model": name, "reason": without_places(why)} for name, why in answer.unusable.items()],
            "history": {
                "source": source,
                "first_date": first,
                "last_date": last,
                "periods": len(history.y),
                "unknown_periods": int(np.isnan(history.y).sum()),
                "total": float(np.nansum(history.y)),
            },
            "planned": self._acted(plan, answer, history),
            "notes": self._notes(answer, history),
        }
        PredictionAnswer.model_validate(told)  # a fault of ours is found here, not by the client
        return told

    def _acted(self, plan: Mapping[str, Floats], answer: Answer, history: Panel) -> list[dict[str, Any]]:
        """Who read the plan, with what weight. Raises Refused (409) when that is next to nothing."""
        readers = self._models.reads_ahead(str(history.ids[0])) if plan else {}
        told = []
        for name in plan:
            kind = str(answer.forecast.made_by[0])
            shares = answer.weights or {kind: 1.0}
            read_by = [reader for reader in readers[name] if shares.get(reader, 0.0) > 0]
            weight = sum(shares[reader] for reader in read_by)
            if weight < LEAST_SHARE:
                raise Refused(
                    409, "cannot_act", f"planned {name} would not move this forecast: the models that read it "
                    f"({', '.join(readers[name])}) carry {weight:.1%} of it", f"planned.{name}",
                )  # fmt: skip
            told.append({"column": name, "read_by": read_by, "weight": weight})
        return told

    def _notes(self, answer: Answer, history: Panel) -> list[str]:
        columns = {**history.past, **history.future}
        absent = [name for name, values in columns.items() if np.isnan(values[: len(history.y)]).all()]
        notes = [f"{name} is unknown in this history" for name in sorted(absent)]
        stored = self._models.remarks.get(str(history.ids[0]), "")
        if stored.startswith(FROM_ANOTHER):
            notes.append(f"The forecast that is served for this style was {stored}; this one is made by release "
                         f"{self.number}'s own models")  # fmt: skip
        for done in adjustments_in(stored):
            notes.append(f"The forecast that is served for this style was {done}; this one is made by the models alone")
        return notes + [note for note in [str(answer.forecast.note[0])] if note]


def _one_of(panel: Panel, style: str | None) -> Panel:
    """The series of an upload that is asked about. Raises Refused (400, 404)."""
    if style is None:
        if panel.n_series > 1:
            raise Refused(
                400, "bad_parameter", f"the upload holds {panel.n_series} styles: name one with style", "style",
                panel.ids[:20].tolist(),
            )  # fmt: skip
        return panel
    row = -1 if "\0" in style else int(panel.index_of(np.array([style]))[0])
    if row < 0:
        raise Refused(404, "unknown_style", "the upload has no such style", "style", panel.ids[:20].tolist())
    return panel.take([row])


def plainly(computing: Computing, request: Mapping[str, Any]) -> dict[str, Any]:
    """`predict` for another process: {"body": bytes}, or what `told` says of a refusal.

    Errors of ours are never raised: they would lose their words on the way.
    """
    try:
        return {"body": computing.predict(request)}
    except Refused as refused:
        return told(refused)
    except DemandError as error:  # the release itself cannot be read
        return told(Refused(503, word_of(error), public(error)))


def told(refused: Refused) -> dict[str, Any]:
    """A refusal as plain values: {"refused": arguments of Refused by name}."""
    names = ("status_code", "error", "detail", "parameter", "allowed", "status", "headers")
    return {"refused": {name: getattr(refused, name) for name in names}}
