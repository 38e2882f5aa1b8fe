"""Deploying: options merged in place, and what ends the wait."""

from __future__ import annotations

from typing import Any

import pytest

from runner.clusters.fake.world import World
from runner.errors import FtrunError
from runner.language.plan import Application
from runner.steps.deploy import hopeless, merged, proxies, unseen
from tests.engine.staging import plan_of, play

APP = Application("app", {"name": "app", "deployments": [{"name": "A", "num_replicas": 2}]}, None)
DOCUMENT: dict[str, Any] = {
    "deployments": [
        {
            "app": "app",
            "name": "A",
            "target_replicas": 2,
            "message": "",
            "options": {"max_ongoing_requests": 5},
        },
        {"app": "app", "name": "B", "target_replicas": 1, "message": "", "options": {}},
        {"app": "other", "name": "C", "target_replicas": 1, "message": "", "options": {}},
    ],
    "applications": [{"name": "app", "status": "DEPLOYING", "message": ""}],
    "processes": [{"slot": "head", "state": "up"}],
}


OTHER = Application("other", {"name": "other"}, None)


def deployments(applications: tuple[Application, ...]) -> dict[str, Any]:
    return {each.name: each.config.get("deployments") for each in applications}


def test_options_go_into_the_deployment_named_or_into_each() -> None:
    both = (APP, OTHER)
    assert deployments(merged(both, {"A": {"x": 1}}, DOCUMENT)) == {
        "app": [{"name": "A", "num_replicas": 2, "x": 1}],
        "other": [],
    }
    assert deployments(merged(both, {"*": {"x": 1}, "C": {"x": 2}}, DOCUMENT)) == {
        "app": [{"name": "A", "num_replicas": 2, "x": 1}, {"name": "B", "x": 1}],
        "other": [{"name": "C", "x": 2}],
    }
    assert APP.config["deployments"] == [{"name": "A", "num_replicas": 2}]


def test_options_may_be_for_one_application_only() -> None:
    assert deployments(merged((APP, OTHER), {"*": {"x": 1}}, DOCUMENT, only="other")) == {
        "app": [{"name": "A", "num_replicas": 2}],
        "other": [{"name": "C", "x": 1}],
    }
    with pytest.raises(FtrunError, match='No application "none" runs; there is: app, other'):
        merged((APP, OTHER), {"A": {}}, DOCUMENT, only="none")


def test_a_deployment_that_nobody_knows_is_a_sentence() -> None:
    with pytest.raises(FtrunError, match='no deployment "Z"; app has: A, B; other has: C'):
        merged((APP, OTHER), {"Z": {}}, DOCUMENT)


def test_options_count_once_they_are_seen() -> None:
    assert unseen(DOCUMENT, {"app": {"A": {"max_ongoing_requests": 5}}}) is None
    assert (
        unseen(DOCUMENT, {"app": {"A": {"max_ongoing_requests": 7}}})
        == "A has max_ongoing_requests = 5, not 7"
    )
    assert unseen(DOCUMENT, {"app": {"*": {"num_replicas": 2}}}) == "B has num_replicas = 1, not 2"


def test_what_serve_completes_or_resolves_is_seen_as_asked_for() -> None:
    row = {
        **DOCUMENT["deployments"][0],
        "options": {"autoscaling_config": {"min_replicas": 1, "upscale": 3.0}},
    }
    document = {**DOCUMENT, "deployments": [row]}
    assert unseen(document, {"app": {"A": {"autoscaling_config": {"min_replicas": 1}}}}) is None
    assert "min_replicas" in str(
        unseen(document, {"app": {"A": {"autoscaling_config": {"min_replicas": 2}}}})
    )
    assert unseen(document, {"app": {"A": {"num_replicas": "auto"}}}) is None


def test_a_failed_deployment_or_replicas_that_fit_nowhere_end_the_wait() -> None:
    assert hopeless(DOCUMENT, ["app"]) is None
    failed = {
        **DOCUMENT,
        "applications": [{"name": "app", "status": "DEPLOY_FAILED", "message": "no module x"}],
    }
    assert hopeless(failed, ["app"]) == "application app is DEPLOY_FAILED: no module x"
    stuck = 'Resources required for each replica: {"CPU": 9}, total resources available: {"CPU": 6}.'
    rows = [{**DOCUMENT["deployments"][0], "message": stuck}]
    assert stuck in str(hopeless({**DOCUMENT, "deployments": rows}, ["app"]))
    room = "app/A wants 6 replicas of 9 CPU each, and the nodes have room for 0 (worker-1: 3 CPU)."
    assert room in str(hopeless({**DOCUMENT, "placement": [room]}, ["app"]))
    assert hopeless({**DOCUMENT, "placement": [room]}, ["other"]) is None
    # With a node away it may yet come back.
    away = {**DOCUMENT, "deployments": rows, "processes": [{"slot": "worker-1", "state": "waiting"}]}
    assert hopeless(away, ["app"]) is None


def test_the_head_and_every_node_with_a_replica_need_a_proxy() -> None:
    document = {
        "unknown": [],
        "nodes": [{"slot": "head", "is_head": True, "dead": False}],
        "replicas": [{"slot": "worker-1", "state": "RUNNING"}, {"slot": "worker-2", "state": "STARTING"}],
        "proxies": [{"slot": "head", "status": "HEALTHY"}, {"slot": "worker-1", "status": "STARTING"}],
    }
    assert proxies(document) == "no healthy proxy on worker-1"


@pytest.mark.asyncio
@pytest.mark.looptime
async def test_a_failed_deployment_ends_the_wait_at_once(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    application = World._application

    def failing(self: World, name: str, at: float) -> dict[str, Any]:
        return application(self, name, at) | {"status": "DEPLOY_FAILED", "message": "no module x"}

    monkeypatch.setattr(World, "_application", failing)
    told = await play("- deploy: {wait: 1h}\n", tmp_path)
    assert told.states() == {"steps[0]": "unmet"}
    assert "no module x" in told.messages()["steps[0]"]
    assert told.events[-1].t < 60
    assert told.run.exit_code == 3


BROKEN = "{name: app, import_path: 'broken:app'}"


@pytest.mark.asyncio
@pytest.mark.looptime
async def test_an_update_to_a_broken_version_is_awaited_by_its_status(tmp_path: Any) -> None:
    told = await play(
        plan_of(
            """
            - deploy:
            - probe: {start: users, steady: 1s}
            - deploy: {app: broken.yaml, expect: DEPLOY_FAILED, wait: 60s}
            - assert: {name: the old version serves, probe: users, failed: {max: 0}}
            - deploy: {app: app.yaml}
            - assert: {state: "$.applications[*].status", equals: RUNNING}
            """,
            files={"broken.yaml": BROKEN},
        ),
        tmp_path,
    )
    assert not any(told.messages().values())
    assert told.run.exit_code == 0


@pytest.mark.asyncio
@pytest.mark.looptime
async def test_a_broken_version_that_runs_all_the_same_is_an_unmet_wait(tmp_path: Any) -> None:
    told = await play("- deploy: {expect: DEPLOY_FAILED, wait: 10s}\n", tmp_path)
    assert told.messages()["steps[0]"] == (
        "Waited for app DEPLOY_FAILED, 10s at most, and saw last: application app is RUNNING"
    )


@pytest.mark.asyncio
@pytest.mark.looptime
@pytest.mark.parametrize("what", ['{set: {"*": {max_ongoing_requests: 7}}}', "{}", "{set: {D: {x: 1}}}"])
async def test_an_update_while_the_head_is_down_fails_at_once_and_says_why(tmp_path: Any, what: str) -> None:
    told = await play(
        f"""
        - deploy:
        - pause: 50ms
        - kill: {{node: head}}
          register: fault
        - wait_for: {{state: "$.processes[?(@.slot=='head')].state", equals: waiting}}
        - deploy: {what}
          register: update
          ignore_errors: true
        - assert: {{name: no update meanwhile, that: "update.failed"}}
        - wait_for: {{recovered: fault}}
        - deploy: {what}
          register: later
        - assert: {{name: updates afterwards, that: "not later.failed"}}
        """,
        tmp_path,
    )
    steps = {step.path: step for step in told.run.scenarios[0].steps}
    refused = steps["steps[4]"]
    assert (refused.state, refused.message) == (
        "ignored", "Nobody took the deployment: The head does not answer.",
    )  # fmt: skip
    assert refused.end - refused.start < 1
    assert told.run.exit_code == 0


@pytest.mark.asyncio
@pytest.mark.looptime
async def test_several_applications_are_deployed_at_once_and_scaled_each(tmp_path: Any) -> None:
    told = await play(
        plan_of(
            """
            - deploy: {app: [app.yaml, other.yaml]}
              register: both
            - scale: {deployment: D, replicas: 3, app: other, wait: null}
            - scale: {deployment: D, replicas: 2, app: app, wait: 60s}
            - wait_for: {state: "$.deployments[?(@.app=='other')].target_replicas", equals: 3}
            - assert:
                - {that: "both.applications == ['app', 'other']"}
                - {state: "$.deployments[?(@.app=='app')].target_replicas", equals: 2}
            """,
            files={"other.yaml": "{import_path: 'o:app', route_prefix: /o, deployments: [{name: D}]}"},
        ),
        tmp_path,
    )
    assert told.run.exit_code == 0, told.messages()
