"""`python -m jobs.retrain job=ID`: the process of one queued job. It trains in a child, and says what came of it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from demand.errors import SettingsError
from demand.masking import masked
from jobs.entry import FAILED, OK, run
from jobs.fleet import registry_of
from jobs.settings import Settings
from jobs.show import show
from jobs.supervised import supervised
from jobs.trained import all_fingerprints, outcome
from models.job import Ask
from models.ledger import Ledger

TRAIN: tuple[str, ...] = ("-m", "jobs.train")
# Keys of this process and of the schedule's, and those that the job itself decides.
_OWN = ("job", "once", "dry", "until", "run_id", "resume", "validate", "force", "due", "progress")


def body(settings: Settings, told: Sequence[str] | None = None) -> int:
    """Runs the job: code 0 when it ended with success, 1 otherwise; the record says which and why.

    `told` are this process's arguments, from which the training gets its own. Raises SettingsError when no job is named
    or the arguments are not those it was asked with, VersionNotFound when there is none of this id, RegistryError when
    it is not queued or another job runs.
    """
    told = shared_arguments(sys.argv[1:] if told is None else told)
    if settings.job is None:
        raise SettingsError("which job?", key="job", expected="the id of a queued job", hint="See GET /api/jobs")
    ledger = ledger_of(settings)
    queued = ledger.job(settings.job)
    if masked_arguments(told) != queued.ask.told:
        raise SettingsError(
            "a job runs with the settings it was asked with", job=queued.job_id, asked=list(queued.ask.told),
            found=masked_arguments(told),
        )  # fmt: skip
    with ledger.running(queued.job_id) as lease:
        try:
            before = all_fingerprints(settings)
            arguments = training_arguments(told, lease.job.ask, str(lease.job.run_id))
            ended = supervised([*TRAIN, *arguments], settings.schedule.timeout_s, lease.handle)
            result = outcome(lease.job, settings, ended, before)
        except KeyboardInterrupt:
            ledger.finish(lease, "failed", "it was stopped", errors=("it was stopped",))
            raise
        except Exception as error:
            said = masked(f"{type(error).__name__}: {error}")[:2000]
            ledger.finish(lease, "failed", said, errors=(said,))
            raise
        facts = asdict(result)
        done = ledger.finish(lease, facts.pop("status"), facts.pop("message"), **facts)
    show(f"Job       {done.job_id} ended: {done.status}", f"          {done.message}")
    return OK if done.status == "success" else FAILED


def ledger_of(settings: Settings) -> Ledger:
    """The ledger of jobs under the storage root."""
    return Ledger(Path(settings.storage.root) / "jobs", registry_of(settings))


def shared_arguments(told: Sequence[str]) -> tuple[str, ...]:
    """Of a job's arguments those that another job of the same storage gets as well."""
    return tuple(text for text in told if _key(text) not in _OWN)


def masked_arguments(told: Sequence[str]) -> tuple[str, ...]:
    """The arguments as a record may hold them: without passwords."""
    return tuple(masked(text) for text in told)


def training_arguments(told: Sequence[str], ask: Ask, run_id: str) -> list[str]:
    """What `jobs.train` is told: the same, and what the job asks for in the place of what was said about it."""
    own = {"run_id": run_id, "progress": "false", "force": str(ask.force).lower()}
    if ask.only is not None:
        own["only"] = f"[{','.join(ask.only)}]"
    if ask.due is not None:
        own["due"] = f"[{','.join(ask.due)}]"
    return [*(text for text in told if _key(text) not in own), *(f"{key}={value}" for key, value in own.items())]


def _key(argument: str) -> str:
    return argument.partition("=")[0].lstrip("+~")


if __name__ == "__main__":
    run("retrain", body)
