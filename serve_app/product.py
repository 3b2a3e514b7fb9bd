"""The whole product over HTTP: answers, training, the release desk, forecasts on demand, uploads and the pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request

from models.ledger import SCHEDULE
from serve_app.app import make_app
from serve_app.custom_features import CustomTables, custom_features_router
from serve_app.dashboard.api import InProcess, Others
from serve_app.dashboard.routes import dashboard_router
from serve_app.desk import desk_router
from serve_app.mounted import today
from serve_app.orders import orders_router
from serve_app.predictions import ComputeCall, predictions_router
from serve_app.retrain import Retraining, listed, retrain_router, scheduled
from serve_app.schemas.parameters import JobsParameters, read
from serve_app.state import State
from serve_app.substitutes import PATH as SUBSTITUTES
from serve_app.substitutes import YarnDesk, substitutes_router
from serve_app.upload_routes import uploads_router
from serve_app.uploads import Uploads


def build(state: State, compute_call: ComputeCall, named: bool = True) -> FastAPI:
    """The application with every route of the product.

    compute_call: whoever holds the models. named: whether an answer carries the name of its request (Ray adds its own).
    """
    retraining = Retraining.of(state.config, state.registry)
    yarns = YarnDesk(state.config)
    others: Others = {
        SUBSTITUTES: yarns.of_pairs,
        "/api/jobs": lambda pairs: _jobs(retraining, pairs),
        "/api/schedule": lambda pairs: scheduled(retraining.ledger.root / SCHEDULE),
    }

    def api_of(request: Request) -> InProcess:
        return InProcess(state.book, state.releases, today(), others, state.trying.book_of)

    routers = [
        retrain_router(state, retraining), desk_router(state), 
        predictions_router(compute_call, state.predictions),
        substitutes_router(yarns), orders_router(state),
        uploads_router(Uploads(state.storage_root, state.settings, state.config.plain)),
        custom_features_router(CustomTables(state.storage_root, state.settings)), dashboard_router(api_of),
    ]  # fmt: skip
    return make_app(state, routers, named=named)


def _jobs(retraining: Retraining, pairs: Sequence[tuple[str, str]]) -> Mapping[str, Any]:
    """The answer of GET /api/jobs."""
    part = read(JobsParameters, pairs)
    return listed(retraining, part.limit, part.offset)
