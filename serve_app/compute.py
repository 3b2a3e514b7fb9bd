"""What a process does that computes forecasts on demand: follows the champion, keeps its models, answers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from serve_app.computing import Computing, plainly, told
from serve_app.following import Following
from serve_app.problems import Refused
from serve_app.schemas.uploads import UploadParameters
from serve_app.state import Config
from serve_app.telemetry import ModelsTelemetry
from serve_app.uploads import Uploads


class Compute:
    """A plain class for a deployment apart from the one that reads: call it with a request, see `plainly`.

    Makes its models ready before a new champion takes the place of the old one: until then, which is longest where a
    library such as TensorFlow is needed for the first time, the one before answers, and says so. `close` stops its
    thread.
    """

    def __init__(self, config: Config) -> None:
        found = config.open_registry()
        uploads: Uploads[UploadParameters] = Uploads(Path(config.storage_root), config.serve, config.plain)

        def open_head() -> Computing:
            computing = Computing(found.open("champion"), uploads.panel)
            computing.warm()
            return computing

        self.following: Following[Computing] = Following(
            lambda: found.alias("champion"), open_head, every_s=config.serve.follow_seconds
        )
        self.telemetry = ModelsTelemetry()
        self.following.on_look = lambda standing, failed: self.telemetry.release.set(standing.serving or 0)
        self.following.start()

    def predict(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """{"body": bytes} or {"refused": {..}}; blocks while it computes."""
        try:
            computing = self.following.book()
        except Refused as refused:
            return told(refused)
        return plainly(computing, request)

    def close(self) -> None:
        self.following.stop()
