"""The service keeps what its OpenAPI description says: thousands of requests made from it, good, bad and in order."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from schemathesis import GenerationMode
from schemathesis.checks import load_all_checks, not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.python import asgi
from schemathesis.specs.openapi import checks as of_openapi

from serve_app.tokens import Role, TokenFile
from tests.contracts.service import Service, make_storage, strict

pytestmark = pytest.mark.slow

AT = "http://127.0.0.1:8000"
LEAST = 2000  # cases
MADE = 60  # of each operation and mode, beside the systematic ones
OPEN = {"/health", "/health/ready"}
CONFORMS = [
    not_a_server_error, of_openapi.status_code_conformance, of_openapi.content_type_conformance,
    of_openapi.response_schema_conformance, of_openapi.response_headers_conformance,
]  # fmt: skip
JUDGED = [
    *CONFORMS, of_openapi.negative_data_rejection, of_openapi.positive_data_acceptance, of_openapi.unsupported_method,
    of_openapi.allow_header_conformance, of_openapi.missing_required_header,
]  # fmt: skip
SETTINGS = settings(
    derandomize=True, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)


@pytest.fixture(scope="module")
def storage(tmp_path_factory):
    root = tmp_path_factory.mktemp("contract")
    make_storage(root)
    return root


@pytest.fixture
def serve(storage, monkeypatch):
    """Makes a service over the releases; each is closed at the end."""
    made = []

    def make(**told):
        made.append(Service(storage, monkeypatch, **told))
        return made[-1]

    yield make
    for one in made:
        one.close()


def described(service, **headers):
    """The description as a client reads it."""
    load_all_checks()
    schema = schemathesis.openapi.from_asgi("/openapi.json", service.app, headers={"Host": "127.0.0.1", **headers})
    checks = schema.config.checks
    checks.negative_data_rejection.expected_statuses += ["408", "413"]
    checks.positive_data_acceptance.expected_statuses += ["422"]  # a history or a file: no schema says what is in it
    return schema


def operations(schema):
    return [found.ok() for found in schema.get_all_operations()]


def release_dependent(case, answer):
    """Whether a well formed request was refused for what no schema knows: see each line."""
    said = strict(answer.content) if answer.status_code == 400 else {}
    whole_floats = any(isinstance(value, float) and value.is_integer() for value in _leaves(case.body))
    return (
        said.get("parameter") == "confidence_level"  # the levels of this release
        or str(said.get("parameter", "")).startswith("planned.")  # as many values as periods
        or (whole_floats and "valid integer" in said.get("detail", ""))  # 7.0 is 7 to JSON Schema, not to us
    )


def _leaves(value):
    if isinstance(value, dict):
        for inner in value.values():
            yield from _leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner)
    else:
        yield value


class Judge:
    """Sends cases, judges each answer; what is wrong is kept, so that one run tells all of it."""

    def __init__(self, session, place):
        self.session, self.place = session, place
        self.faults, self.cases, self.statuses = {}, Counter(), Counter()

    def __call__(self, case):
        answer = case.call(session=self.session, base_url=AT)
        label = case.operation.label
        self.cases[label] += 1
        self.statuses[answer.status_code] += 1
        checks = [one for one in JUDGED if one is not of_openapi.positive_data_acceptance
                  or not release_dependent(case, answer)]  # fmt: skip
        try:
            assert self.place not in answer.text, "a place of the machine is told"
            if answer.content and "json" in answer.headers["content-type"][0]:
                said = strict(answer.content)
                if answer.status_code >= 400:
                    assert said["status"] in ("error", "no_data")
                    assert re.fullmatch(r"[a-z][a-z0-9_]*", said["error"]), said["error"]
                    assert said["detail"]
                    assert len(answer.content) < 5000
            case.validate_response(answer, checks=checks)
        except (FailureGroup, AssertionError, ValueError, KeyError) as fault:
            faults = fault.exceptions if isinstance(fault, FailureGroup) else [fault]
            for one in faults:
                key = (label, type(one).__name__, answer.status_code)
                self.faults.setdefault(key, f"{one}\n{case.as_curl_command()[:600]}\n-> {answer.content[:300]!r}")


def test_when_requests_are_made_from_the_description_then_every_answer_keeps_it(serve):
    service = serve()
    schema = described(service)
    with asgi.get_client(service.app) as session:
        judge = Judge(session, str(service.state.storage_root))
        for operation in operations(schema):
            for case in schema.iter_coverage_cases(
                operation, generation_modes=list(GenerationMode), generation_config=schema.config.generation
            ):
                judge(case)
            for mode in GenerationMode:
                # an operation without parameters has nothing to make wrong, and but one right request
                @seed(0)
                @settings(SETTINGS, max_examples=MADE)
                @given(case=operation.as_strategy(mode))
                def made(case):
                    judge(case)

                try:
                    made()
                except Unsatisfiable:
                    assert mode is GenerationMode.NEGATIVE
    assert judge.faults == {}, "\n\n".join(f"{key}: {words}" for key, words in judge.faults.items())
    assert len(judge.cases) == len(operations(schema)) >= 27
    assert sum(judge.cases.values()) >= LEAST
    assert {200, 202, 400, 404, 405, 409, 413, 415, 422} <= judge.statuses.keys()


def test_when_an_operation_is_described_then_an_example_that_keeps_its_own_schema_is_beside_it(serve):
    schema = described(serve()).raw_schema
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            told = [(code, kind, one) for code, answer in operation["responses"].items() if code.startswith("2")
                    for kind, one in answer.get("content", {}).items()]  # fmt: skip
            told += [("body", kind, one) for kind, one in operation.get("requestBody", {}).get("content", {}).items()
                     if kind not in ("multipart/form-data", "application/octet-stream")]  # fmt: skip
            assert told, (method, path)
            for code, kind, one in told:
                examples = [one["example"]] if "example" in one else [e["value"] for e in one["examples"].values()]
                assert examples, (method, path, code, kind)
                for example in examples:
                    form = {"components": schema["components"], **one["schema"]}
                    Draft202012Validator(form).validate(example)


def test_when_the_service_is_described_then_every_status_has_a_form_and_refusals_share_one(serve):
    schema = described(serve()).raw_schema
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            for code, told in operation["responses"].items():
                forms = [one["schema"] for one in told.get("content", {}).values()]
                assert forms or code == "304", (method, path, code)
                assert all(forms), (method, path, code)
                if code >= "400":
                    assert "#/components/schemas/Problem" in str(forms), (method, path, code)
    assert schema["components"]["schemas"]["Problem"]["required"] == ["status", "error", "detail", "request_id"]


def test_when_a_method_is_not_described_then_405_names_those_that_are(serve):
    service = serve()
    schema = described(service)
    with asgi.get_client(service.app) as session:
        for path in schema.raw_schema["paths"]:
            known = {name.upper() for name in schema.raw_schema["paths"][path]}
            known |= {"HEAD"} if "GET" in known else set()
            for method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"} - known:
                answer = session.request(method, AT + re.sub(r"\{\w+\}", "x", path))
                assert answer.status_code == 405, (method, path)
                assert set(answer.headers["allow"].split(", ")) == known, (method, path)


def test_when_a_token_is_needed_then_no_operation_answers_without_one_or_with_one_too_small(serve, storage):
    service = serve(require_token=True)
    token = TokenFile(storage).make("reader", "read", 1)
    schema = described(service, Authorization=f"Bearer {token}")
    assert schema.raw_schema["security"] == [{"token": []}]
    found = {}
    with asgi.get_client(service.app) as session:
        for operation in operations(schema):
            role = Role.open if operation.path in OPEN else None
            for name, headers in {"nobody": {}, "wrong": {"Authorization": "Bearer lc_x"}}.items():
                service.state.access.guesses._left.clear()
                case = operation.Case(path_parameters=dict.fromkeys(re.findall(r"\{(\w+)\}", operation.path), "x"))
                answer = case.call(session=session, base_url=AT, headers=headers)
                case.validate_response(answer, checks=CONFORMS)
                assert (answer.status_code == 200) is (role is Role.open), (name, operation.label)
                if role is None:
                    assert answer.status_code == 401
                    assert strict(answer.content)["error"] == "no_valid_token"
            if role is None:
                answer = case.call(session=session, base_url=AT, headers={"Authorization": f"Bearer {token}"})
                case.validate_response(answer, checks=CONFORMS)
                found[operation.label] = answer.status_code

        @seed(0)
        @settings(SETTINGS, max_examples=5)
        @given(st.data())
        def made(data):
            for operation in operations(schema):
                service.state.access.guesses._left.clear()
                case = data.draw(operation.as_strategy(GenerationMode.POSITIVE))
                case.headers = {name: value for name, value in (case.headers or {}).items()
                                if name.lower() != "authorization"}  # fmt: skip
                answer = case.call(session=session, base_url=AT)
                assert (answer.status_code in (401, 403)) is (operation.path not in OPEN), operation.label

        made()
    changing = {label for label, status in found.items() if status == 403}
    assert changing == {
        "POST /api/retrain-ml", "POST /api/releases/promote", "POST /api/releases/rollback", "POST /api/upload_csv",
        "DELETE /api/uploads/{data_id}", "POST /api/custom-features", "DELETE /api/custom-features/{data_id}",
    }  # fmt: skip


# ---- one after another ----------------------------------------------------------------------------------------------


class Conversation(RuleBasedStateMachine):
    """A client that uploads, looks, forecasts, deletes, trains and compares in any order, and knows what is there."""

    service: Service
    schema: Any
    steps: Counter[str]

    uploads = Bundle("uploads")
    jobs = Bundle("jobs")

    @initialize()
    def begin(self):
        self.session = asgi.get_client(self.service.app).__enter__()
        self.kept, self.ended, self.running = set(), set(), None

    def teardown(self):
        if self.running:
            self.service.end(self.running)

    def ask(self, method, path, status, body=None, query="", **more):
        """The answer, which has this status and keeps the description."""
        url = AT + re.sub(r"\{(\w+)\}", lambda name: more[name[1]], path) + query
        kind = {"data": body, "headers": {"Content-Type": "text/csv"}} if isinstance(body, bytes) else {"json": body}
        answer = self.session.request(method, url, **({} if body is None else kind))
        assert answer.status_code == status, (method, url, answer.text[:300])
        self.schema[path][method].Case().validate_response(answer, checks=CONFORMS)
        self.steps[f"{method} {path} {status}"] += 1
        return strict(answer.content)

    @rule(target=uploads, level=st.integers(1, 9), days=st.integers(40, 80))
    def upload(self, level, days):
        lines = [f"2025-{3 + day // 30:02d}-{1 + day % 30:02d},A,{level + day % 7}" for day in range(days)]
        file = "\n".join(["date,style,qty", *lines]).encode()
        data_id = self.ask("POST", "/api/upload_csv", 200, file, query="?freq=D")["data_id"]
        self.kept.add(data_id)
        return data_id

    @rule(data_id=uploads)
    def report(self, data_id):
        there = data_id in self.kept
        said = self.ask("GET", "/api/uploads/{data_id}", 200 if there else 404, data_id=data_id)
        assert said.get("data_id") == (data_id if there else None)

    @rule(data_id=uploads, horizon=st.sampled_from([1, 7, 30]))
    def predict(self, data_id, horizon):
        there = data_id in self.kept
        asked = {"data_id": data_id, "horizon": horizon}
        said = self.ask("POST", "/api/predictions", 200 if there else 404, asked)
        assert not there or (len(said["forecast"]), said["history"]["source"]) == (horizon, "upload")

    @rule(data_id=uploads)
    def delete(self, data_id):
        self.ask("DELETE", "/api/uploads/{data_id}", 200 if data_id in self.kept else 404, data_id=data_id)
        self.kept.discard(data_id)

    @rule(target=jobs, body=st.sampled_from([None, {}, {"model": "xgboost"}, {"model": "all", "force": False}]))
    def retrain(self, body):
        job_id = self.ask("POST", "/api/retrain-ml", 202, body)["job_id"]
        assert self.running in (None, job_id)  # one at a time: a second request is the same job
        assert job_id not in self.ended
        self.running = job_id
        return job_id

    @rule(job_id=jobs)
    def status(self, job_id):
        said = self.ask("GET", "/api/retrain-ml/{job_id}", 200, job_id=job_id)
        assert said["status"] == ("failed" if job_id in self.ended else "queued")
        assert said["release"] is None

    @precondition(lambda self: self.running is not None)
    @rule()
    def end(self):
        self.service.end(self.running)
        self.ended.add(self.running)
        said = self.ask("GET", "/api/jobs", 200, query="?limit=1")
        assert (said["jobs"][0]["job_id"], said["jobs"][0]["status"]) == (self.running, "failed")
        self.running = None

    @rule(back=st.booleans(), again=st.booleans())
    def move(self, back, again):
        champion = self.ask("GET", "/api/releases", 200)["champion"]
        number = champion if again else 3 - champion  # there are two
        path = f"/api/releases/{'rollback' if back else 'promote'}"
        said = self.ask("POST", path, 409 if again else 200, {"release": number, "reason": "a test"})
        assert again or (said["champion_before"], said["champion"]) == (champion, number)
        assert self.ask("GET", "/health", 200)["release"] == self.ask("GET", "/api/releases", 200)["champion"] == number

    @rule(turned=st.booleans())
    def compare(self, turned):
        numbers = [one["release"] for one in self.ask("GET", "/api/releases", 200)["releases"]]
        now, before = numbers[:2][::-1] if turned else numbers[:2]
        said = self.ask("GET", "/api/releases/compare", 200, query=f"?release={now}&against={before}")
        assert (said["now"]["release"], said["before"]["release"]) == (now, before)
        self.ask("GET", "/api/releases/compare", 404, query=f"?release={now}&against={max(numbers) + 1}")


def test_when_requests_follow_one_another_then_each_answer_is_what_the_ones_before_made_of_it(serve):
    service = serve(ends=False)
    Conversation.service, Conversation.schema, Conversation.steps = service, described(service), Counter()
    told = settings(SETTINGS, max_examples=25, stateful_step_count=20)
    run_state_machine_as_test(seed(0)(Conversation), settings=told)
    reached = {
        "POST /api/upload_csv 200", "GET /api/uploads/{data_id} 200", "GET /api/uploads/{data_id} 404",
        "POST /api/predictions 200", "POST /api/predictions 404", "DELETE /api/uploads/{data_id} 200",
        "DELETE /api/uploads/{data_id} 404", "POST /api/retrain-ml 202", "GET /api/retrain-ml/{job_id} 200",
        "POST /api/releases/promote 200", "POST /api/releases/rollback 200", "POST /api/releases/promote 409",
        "GET /api/jobs 200", "GET /api/releases/compare 200", "GET /api/releases/compare 404",
    }  # fmt: skip
    assert reached <= Conversation.steps.keys(), Conversation.steps
    assert sum(Conversation.steps.values()) >= 300
