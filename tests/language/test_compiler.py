import json
import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from runner.cli.options import Settings
from runner.errors import InvalidInput
from runner.language.compiler import compile_files, walk
from runner.language.pack import Disk, folder
from runner.language.plan import Abort, Block, Expectation, Identity, Position, Retry, Step
from runner.language.text import LIMIT
from runner.steps.catalogue import catalogue
from tests.language.compiling import HEAD, compiled, problem, problems, steps, where

PAUSE = "steps: [{pause: 1s}]\n"
APP = "import_path: main:app\n"


def only(plan) -> Step:
    [step] = walk(plan.scenarios[0].steps)
    return step


class TestAScenario:
    def test_has_what_the_file_says_and_where(self):
        plan = compiled(
            "name: n\ndescription: d\ntags: a\nvars: {x: 1}\ncluster: {workers: 3}\napp: a.yaml\ntimeout: 5m\n"
            "steps:\n  - name: s\n    pause: 2s\n",
            {"a.yaml": APP},
            seed=7,
        )
        [scenario] = plan.scenarios
        assert plan.seed == 7
        assert (scenario.name, scenario.description, scenario.tags, scenario.timeout) == (
            "n",
            "d",
            ("a",),
            300.0,
        )
        assert (scenario.file, scenario.position) == ("s.yaml", Position("s.yaml", 1, 1))
        assert (scenario.vars, scenario.cluster) == ({"x": 1}, {"workers": 3})
        [step] = scenario.steps
        assert (step.path, step.kind, step.modifiers.name) == ("steps[0]", "pause", "s")
        assert step.position == Position("s.yaml", 9, 5)
        assert step.arguments.duration == 2.0
        assert step.raw == {"duration": "2s"}
        assert step.positions["duration",] == Position("s.yaml", 10, 12)

    def test_says_how_often_it_runs_and_when_it_is_given_up(self):
        text = (
            "name: n\nvars: {times: 3}\nrepeat: '{{ times }}'\nabort_when: {probe: users, longest: 1m, failed: 5}\n"
            "probes: {users: {endpoint: service}}\n" + PAUSE
        )
        [scenario] = compiled(text).scenarios
        assert scenario.repeat == 3
        assert scenario.abort_when == Abort("users", longest=60.0, total=None, failed=5)
        assert compiled(text, extra_vars=["times=4"]).scenarios[0].repeat == 4
        assert compiled(text, repeat=9).scenarios[0].repeat == 9
        [once] = compiled(f"name: n\n{PAUSE}").scenarios
        assert (once.repeat, once.abort_when) == (None, None)

    @pytest.mark.parametrize(
        ("key", "said", "words"),
        [
            ("repeat", "0", "at least 1"),
            ("repeat", "2000", "at most 1000"),
            ("repeat", "often", "a whole number"),
            ("abort_when", "{probe: users}", "needs a limit"),
            ("abort_when", "{probe: users, longest: 60}", "has no unit"),
            ("abort_when", "{probe: user, longest: 60s}", "there is no probe `user`"),
        ],
    )
    def test_refuses_wrong_ones(self, key, said, words):
        found = problem(f"name: n\nprobes: {{users: {{endpoint: service}}}}\n{key}: {said}\n{PAUSE}")
        assert words in found.message

    def test_a_file_may_hold_several(self):
        plan = compiled("- name: a\n  steps: [{pause: 1s}]\n- name: b\n  steps: [{pause: 1s}]\n")
        assert [scenario.name for scenario in plan.scenarios] == ["a", "b"]

    def test_two_of_one_name_are_refused_across_files(self):
        found = problem(HEAD + PAUSE, {"t.yaml": HEAD + PAUSE}, files=["s.yaml", "t.yaml"])
        assert where(found) == ("t.yaml", 1, 1, "same-name")
        assert "s.yaml, line 1" in found.message

    def test_a_file_that_is_named_twice_runs_once(self):
        assert len(compiled(HEAD + PAUSE, files=["s.yaml", "s.yaml"]).scenarios) == 1

    @pytest.mark.parametrize(
        ("text", "place"),
        [
            ("5", (1, 1, "scenario")),
            ("name: a\nsteps: []", (2, 8, "value")),
            ("name: a", (1, 1, "missing-key")),
            ("name: 5\nsteps: [{pause: 1s}]", (1, 7, "type")),
            ("name: a\nsteps: 5", (2, 8, "type")),
            ("name: a\nstesp: []\nsteps: [{pause: 1s}]", (2, 1, "unknown-key")),
            ("name: a\nvars: {a-b: 1}\nsteps: [{pause: 1s}]", (2, 8, "name")),
            ("name: a\ntimeout: 5\nsteps: [{pause: 1s}]", (2, 10, "duration")),
        ],
    )
    def test_wrong_shapes_are_refused_where_they_stand(self, text, place):
        assert where(problem(text))[1:] == place

    def test_all_problems_of_all_files_come_at_once_from_top_to_bottom(self):
        found = problems(
            "name: 5\ncolour: red\nsteps:\n  - pause: 1\n  - puase: 1s\n",
            {"t.yaml": "name: [\n", "i.yaml": "cluster: {kind: locl}\n"},
            files=["s.yaml", "t.yaml", "missing.yaml"],
        )
        assert [where(each)[0::3] + where(each)[1:2] for each in found] == [
            ("i.yaml", "unknown-cluster", 1),
            ("s.yaml", "type", 1),
            ("s.yaml", "unknown-key", 2),
            ("s.yaml", "duration", 4),
            ("s.yaml", "unknown-step", 5),
            ("t.yaml", "yaml", 2),
            ("missing.yaml", "file", 0),
        ]

    def test_a_problem_is_rendered_with_its_lines_a_caret_and_help(self):
        found = problem(steps("- probe: {start: users}\n- assert:\n    - {probe: users, longst: {max: 10s}}"))
        assert found.render().splitlines() == [
            "s.yaml:6:24: error[unknown-key]: `longst` is not a key here.",
            "  4 |   - probe: {start: users}",
            "  5 |   - assert:",
            "  6 |       - {probe: users, longst: {max: 10s}}",
            "    |                        ^",
            "  help: Did you mean `longest`?",
        ]


class TestSteps:
    @pytest.mark.parametrize(
        ("step", "code", "words"),
        [
            ("- pause", "step", "A step is a mapping"),
            ("- {}", "step", "does nothing"),
            ("- name: only", "step", "does nothing"),
            ("- {pause: 1s, log: x}", "step", "`pause` and `log`"),
            ("- {wait_fr: x}", "unknown-step", "`wait_fr`"),
            ("- {pause: 1s, wen: x}", "unknown-step", "`wen`"),
            ("- {pause: {durations: 1s}}", "unknown-key", "`durations`"),
            ("- {pause: 5}", "duration", "has no unit"),
            ("- {pause: 1s, retries: 3}", "modifier", "`until`"),
            ("- {pause: 1s, when: a >}", "template", "condition is wrong"),
            ("- {pause: 1s, when: '{{ a }}'}", "template", "no braces"),
            ("- {pause: 1s, register: item}", "name", "`item`"),
            ("- {rescue: [{pause: 1s}]}", "step", "goes with `block`"),
            ("- {block: 5}", "step", "a list of steps"),
            ("- {block: []}", "step", "a list of steps"),
            ("- {probe: users}", "type", "takes a mapping"),
            ("- {kill: {node: haed}}", "type", "`head` or `worker`"),
            ("- {wait_for: {log: {of: gcs, matches: '('}}}", "regex", "regular expression"),
        ],
    )
    def test_wrong_steps_are_refused(self, step, code, words):
        found = problems(steps(step))
        assert code in [each.code for each in found]
        assert any(words in each.message for each in found)

    def test_a_near_name_is_offered(self):
        assert problem(steps("- {wait_fr: {app: RUNNING}}")).help == "Did you mean `wait_for`?"
        assert problem(steps("- {pause: 1s, regster: a}")).help == "Did you mean `register`?"

    def test_modifiers_are_kept(self):
        step = only(
            compiled(
                steps(
                    "- {pause: 1s, name: n, when: [a > 1, true], register: r, until: r > 1, retries: 5, delay: 2s, "
                    "timeout: 9s, ignore_errors: true, tags: [t], vars: {b: 2}, no_log: true, background: true}"
                ),
                extra_vars={"a": 1},
            )
        ).modifiers
        assert (step.name, step.when, step.register, step.retry) == (
            "n",
            ("a > 1", "true"),
            "r",
            Retry("r > 1", 5, 2.0),
        )
        assert (step.timeout, step.ignore_errors, step.tags, step.vars) == (9.0, True, ("t",), {"b": 2})
        assert (step.no_log, step.background) == (True, True)

    def test_blocks_nest_with_modifiers_of_their_own(self):
        [block] = (
            compiled(
                steps(
                    "- name: b\n  loop: [1, 2]\n  block: [{block: [{log: x}]}]\n  rescue: [{log: y}]\n  always: [{log: z}]"
                )
            )
            .scenarios[0]
            .steps
        )
        assert isinstance(block, Block)
        assert (block.modifiers.name, block.modifiers.loop) == ("b", [1, 2])
        assert [step.path for step in walk([block])] == [
            "steps[0].block[0].block[0]",
            "steps[0].rescue[0]",
            "steps[0].always[0]",
        ]

    def test_a_short_form_keeps_the_places_of_what_it_holds(self):
        plan = compiled(
            steps("- probe: {start: users}\n- assert:\n  - {name: a, probe: users, failed: {max: 0}}")
        )
        step = plan.scenarios[0].steps[1]
        assert step.positions["cases", 0, "failed", "max"] == Position("s.yaml", 6, 45)

    def test_deep_blocks_end_in_a_problem(self):
        text = steps("- " + "{block: [" * 80 + "{pause: 1s}" + "]}" * 80)
        assert problem(text).code == "too-deep"

    def test_references_are_checked(self):
        found = problems(
            steps(
                "- wait_for: {recovered: falt}\n- kill: {node: head}\n  register: fault\n- assert: [{probe: usres, count: {max: 1}}]"
            )
        )
        assert [each.code for each in found] == ["unknown-fault", "unknown-probe"]
        assert found[1].help == "Did you mean `users`?"

    def test_a_fault_may_be_referred_to_once_it_is_registered(self):
        assert compiled(steps("- kill: {node: head}\n  register: fault\n- wait_for: {recovered: fault}"))

    def test_a_name_is_registered_once_on_a_straight_path(self):
        text = "- {pause: 1s, register: a}\n- {pause: 1s, register: a}"
        found = problem(steps(text))
        assert where(found) == ("s.yaml", 5, 27, "register")
        assert compiled(steps(text.replace("register: a}\n", "register: a, when: true}\n")))

    def test_a_result_may_not_hide_a_variable(self):
        assert problem("vars: {a: 1}\n" + steps("- {pause: 1s, register: a}")).code == "register"


class TestVariables:
    def test_static_templates_are_rendered_in_order_with_their_types(self):
        plan = compiled(
            "vars: {n: 2, twice: '{{ n * 2 }}', wait: '{{ twice }}s'}\n"
            "cluster: {workers: '{{ n }}'}\n" + steps("- {pause: '{{ wait }}', name: 'wait {{ wait }}'}")
        )
        assert plan.scenarios[0].cluster == {"workers": 2}
        assert only(plan).arguments.duration == 4.0
        assert only(plan).modifiers.name == "wait 4s"
        assert only(plan).raw == {"duration": "{{ wait }}"}

    def test_those_of_the_command_line_win_everywhere(self):
        plan = compiled(
            "vars: {n: 2, m: '{{ n }}'}\n" + steps("- {log: '{{ n }} {{ m }}', vars: {n: 3}}"),
            extra_vars=["n=9"],
        )
        assert only(plan).arguments.text == "9 9"
        assert only(plan).modifiers.vars == {}
        assert plan.scenarios[0].vars == {"n": 9, "m": 9}

    def test_steps_and_blocks_hide_those_around_them(self):
        plan = compiled(
            "vars: {n: 1}\n"
            + steps(
                "- vars: {n: 2}\n  block: [{log: '{{ n }}x'}, {log: '{{ n }}x', vars: {n: 3}}]\n- {log: '{{ n }}x'}"
            )
        )
        assert [step.arguments.text for step in walk(plan.scenarios[0].steps)] == ["2x", "3x", "1x"]

    def test_the_inventory_has_some_too(self):
        inventory = {"i.yaml": "cluster: {kind: local}\nvars: {n: 5}\n"}
        assert only(compiled(steps("- {log: '{{ n }}s'}"), inventory)).arguments.text == "5s"

    def test_what_depends_on_the_run_waits_for_it(self):
        plan = compiled(steps("- {log: a, register: r}\n- {log: '{{ r }} {{ item }}', loop: '{{ r.list }}'}"))
        step = plan.scenarios[0].steps[1]
        assert step.arguments is None
        assert step.raw == {"text": "{{ r }} {{ item }}"}
        assert step.modifiers.loop == "{{ r.list }}"

    def test_what_depends_on_it_through_a_variable_waits_too(self):
        plan = compiled(steps("- {log: a, register: r}\n- {log: '{{ v }}', vars: {v: '{{ r.x }}'}}"))
        assert plan.scenarios[0].steps[1].arguments is None

    def test_the_rest_of_a_deferred_step_is_checked_all_the_same(self):
        found = problem(steps("- {log: a, register: r}\n- {exec: {command: '{{ r }}', timeout: 5}}"))
        assert where(found)[1:] == (5, 42, "duration")

    @pytest.mark.parametrize(
        "step",
        [
            "- {log: '{{ gcz }}'}",
            "- {log: a, when: gcz == 1}",
            "- {log: a, vars: {b: '{{ gcz }}'}}",
            "- {log: a, loop: ['{{ gcz }}']}",
            "- {log: '{{ item }}', vars: {gcz: 1}}",
            "- {log: '{{ later }}'}\n- {log: x, register: later}",
            "- {assert: [{that: gcz > 1}]}",
        ],
    )
    def test_an_undefined_one_is_refused(self, step):
        assert "undefined" in [each.code for each in problems("vars: {gcs: 1}\n" + steps(step))]

    def test_a_near_name_is_offered(self):
        found = problem("vars: {gcs: 1}\n" + steps("- {log: '{{ gcz }}'}"))
        assert (found.message, found.help) == ("Nothing defines `gcz` here.", "Did you mean `gcs`?")

    def test_a_default_makes_a_name_optional(self):
        assert only(compiled(steps("- {log: '{{ x | default(5) }}s'}"))).arguments.text == "5s"

    @pytest.mark.parametrize("template", ["{{ a", "{% if %}", "{{ a | nosuch }}", "{{ 1 / 0 }}"])
    def test_a_wrong_template_is_refused(self, template):
        assert problem("vars: {a: 1}\n" + steps(f"- log: '{template}'")).code == "template"

    def test_modifiers_that_shape_the_run_have_to_be_known(self):
        found = problem(steps("- {log: a, register: r}\n- {log: a, timeout: '{{ r }}'}"))
        assert where(found)[1:] == (5, 23, "template")

    def test_extra_variables_come_as_texts_or_files(self):
        plan = compiled(
            "vars: {a: 0, b: 0, c: 0}\n" + steps("- log: x"),
            {"v.yaml": "b: [1]\n"},
            extra_vars=["a=1.5", "@v.yaml", "c=x=y"],
        )
        assert plan.scenarios[0].vars == {"a": 1.5, "b": [1], "c": "x=y"}

    @pytest.mark.parametrize("given_text", ["novalue", "1a=2", "=3", "@missing.yaml", "@i2.yaml", "unread=1"])
    def test_extra_variables_that_mean_nothing_are_refused(self, given_text):
        assert problem(steps("- log: x"), {"i2.yaml": "[1]"}, extra_vars=[given_text]).code in (
            "option",
            "file",
        )


class TestProbes:
    def test_defaults_are_filled_in(self):
        plan = compiled(
            "name: a\nprobe_defaults: {path: /p, rate: 10, timeout: 1s, headers: {A: b}, identity: body}\n"
            "probes:\n  u: {endpoint: service}\n"
            "  v: {endpoint: 'https://x/', rate: 50, slow: 200ms, blind_after: 1s, headers: {C: d}, connection: "
            "[new, reused], identity: {json: [a, 0]}, expect: [404, 2xx], max_in_flight: 3, method: POST, body: b}\n"
            + PAUSE
        )
        u, v = plan.scenarios[0].probes.values()
        assert (u.endpoint, u.path, u.rate, u.timeout, u.slow_after, u.blind_after) == (
            "service",
            "/p",
            10,
            1,
            0.25,
            0.2,
        )
        assert (u.connections, u.method, u.identity) == (("new",), "GET", Identity("body"))
        assert (u.expect, u.max_in_flight, u.recover_after) == (Expectation(((200, 299),)), 64, 1.0)
        assert u.position == Position("s.yaml", 4, 6)
        assert (v.rate, v.slow_after, v.blind_after, v.headers) == (50, 0.2, 1.0, {"A": "b", "C": "d"})
        assert (v.connections, v.identity) == (("new", "reused"), Identity("json", ["a", 0]))
        assert v.expect == Expectation(((404, 404), (200, 299)))
        assert (v.max_in_flight, v.method, v.body) == (3, "POST", "b")

    @pytest.mark.parametrize(
        ("said", "code"),
        [
            ("rate: -1", "rate"),
            ("rate: 0", "rate"),
            ("rate: 20/s", "rate"),
            ("timeout: 2", "duration"),
            ("timeout: 0s", "value"),
            ("slow: 3s", "probe"),
            ("connection: old", "value"),
            ("path: predict", "value"),
            ("method: GTE", "value"),
            ("expect: 99", "status"),
            ("expect: {body: '['}", "regex"),
            ("identity: {json: [a], header: b}", "identity"),
            ("headers: {'a b': c}", "header"),
            ("endpoint: servce", "unknown-endpoint"),
            ("endpoint: worker-3", "unknown-endpoint"),
        ],
    )
    def test_wrong_ones_are_refused(self, said, code):
        base = "" if said.startswith("endpoint") else "endpoint: service, "
        assert code in [each.code for each in problems(f"name: a\nprobes: {{u: {{{base}{said}}}}}\n" + PAUSE)]

    def test_without_an_endpoint_it_is_refused(self):
        assert where(problem("name: a\nprobes:\n  u: {rate: 5}\n" + PAUSE))[1:] == (3, 6, "missing-key")

    def test_an_external_cluster_has_the_endpoints_that_the_inventory_gives(self):
        inventory = {"i.yaml": "cluster: {kind: external}\nendpoints: {db: 'http://127.0.0.1:1'}\n"}
        assert compiled("name: a\nprobes: {u: {endpoint: db}}\n" + PAUSE, inventory)
        assert (
            problem("name: a\nprobes: {u: {endpoint: service}}\n" + PAUSE, inventory).code
            == "unknown-endpoint"
        )

    def test_a_path_of_the_command_line_is_asked_for_in_every_probe(self):
        plan = compiled(
            "name: a\nprobes: {u: {endpoint: service, path: /a}, v: {endpoint: head}}\n" + PAUSE, path="/z"
        )
        assert [probe.path for probe in plan.scenarios[0].probes.values()] == ["/z", "/z"]

    def test_a_probe_that_asks_serve_itself_goes_on_asking_it(self):
        plan = compiled("name: a\nprobes: {u: {endpoint: head, path: /-/healthz}}\n" + PAUSE, path="/z")
        assert plan.scenarios[0].probes["u"].path == "/-/healthz"


class TestIncludes:
    def test_the_steps_of_another_file_stand_in_a_block(self):
        plan = compiled(
            "vars: {a: 1, b: 2}\n"
            + steps("- {log: x, register: r}\n- {name: n, include: {file: sub/i.yaml, vars: {a: 3}}}"),
            {
                "sub/i.yaml": "- log: '{{ a }}{{ b }}'\n- log: '{{ r }}'\n- include: j.yaml\n",
                "sub/j.yaml": "- log: z",
            },
        )
        block = plan.scenarios[0].steps[1]
        assert (block.path, block.modifiers.name, block.modifiers.vars) == ("steps[1]", "n", {"a": 3})
        inner = list(walk([block]))
        assert [step.path for step in inner] == [
            "steps[1].block[0]",
            "steps[1].block[1]",
            "steps[1].block[2].block[0]",
        ]
        assert inner[0].arguments.text == "32"
        assert inner[0].position == Position("sub/i.yaml", 1, 3)
        assert inner[2].position.file == "sub/j.yaml"

    def test_loops_of_includes_are_refused(self):
        found = problem(
            steps("- include: a.yaml"), {"a.yaml": "- include: b.yaml", "b.yaml": "- include: ./a.yaml"}
        )
        assert where(found) == ("b.yaml", 1, 12, "include-loop")
        assert "a.yaml -> b.yaml -> a.yaml" in found.message

    def test_includes_that_multiply_are_refused(self):
        files = {f"a{n}.yaml": f"- include: a{n + 1}.yaml\n" * 10 for n in range(9)} | {"a9.yaml": "- log: x"}
        assert "too-many" in [each.code for each in problems(steps("- include: a0.yaml"), files)]

    def test_a_missing_file_is_told_where_it_is_included(self):
        found = problem(steps("- include: nowhere.yaml"))
        assert where(found) == ("s.yaml", 4, 14, "file")

    @pytest.mark.parametrize("content", ["a: 1", "5"])
    def test_an_included_file_holds_steps(self, content):
        assert where(problem(steps("- include: a.yaml"), {"a.yaml": content})) == ("a.yaml", 1, 1, "include")

    def test_mistakes_in_it_stand_at_their_own_place(self):
        found = problem(steps("- include: a.yaml"), {"a.yaml": "- pause: 1s\n- puase: 1s\n"})
        assert where(found) == ("a.yaml", 2, 3, "unknown-step")


class TestApplications:
    def test_one_is_read_beside_the_scenario(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        plan = compiled(
            "",
            {
                "sub/s.yaml": HEAD + "app: apps/a.yaml\n" + PAUSE,
                "sub/apps/a.yaml": APP + "deployments: [{name: D, num_replicas: 2}]",
            },
            files=["sub/s.yaml"],
        )
        app = plan.scenarios[0].app
        assert (app.name, app.folder) == ("a", tmp_path / "sub" / "apps")
        assert app.config == {
            "name": "a",
            "import_path": "main:app",
            "route_prefix": "/",
            "deployments": [{"name": "D", "num_replicas": 2}],
        }

    def test_those_of_deploy_steps_are_read_too(self):
        plan = compiled(steps("- deploy: {app: b.yaml}"), {"b.yaml": "name: bee\n" + APP})
        assert plan.scenarios[0].apps["b.yaml"].name == "bee"

    @pytest.mark.parametrize(
        "text", [HEAD + "app: nowhere.yaml\n" + PAUSE, steps("- deploy: {app: nowhere.yaml}")]
    )
    def test_a_missing_one_is_told_where_it_is_named(self, text):
        found = problem(text)
        assert (found.file, found.code) == ("s.yaml", "file")
        assert "nowhere.yaml: There is no such file." in found.message
        assert found.line > 1

    @pytest.mark.parametrize(
        "content",
        ["name: a", "import_path: main", "import_path: 5", "applications: []", APP + "route: /", "- 1"],
    )
    def test_wrong_ones_are_refused_in_their_file(self, content):
        assert {each.file for each in problems(HEAD + "app: a.yaml\n" + PAUSE, {"a.yaml": content})} == {
            "a.yaml"
        }

    def test_one_of_the_command_line_takes_its_place(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "main.py").touch()
        text = (
            "name: a\napp: nowhere.yaml\nprobe_defaults: {identity: body}\n"
            "probes: {u: {endpoint: service}, v: {endpoint: head, identity: {header: X-Pid}}}\n" + PAUSE
        )
        scenario = compiled(text, app="main:app").scenarios[0]
        assert (scenario.app.name, scenario.app.folder) == ("main", tmp_path)
        assert scenario.app.config["import_path"] == "main:app"
        assert [probe.identity for probe in scenario.probes.values()] == [None, Identity("header", "X-Pid")]

    @pytest.mark.parametrize("app", ["main", "nowhere:app", "a b:app", ":", "../x:app"])
    def test_one_of_the_command_line_has_to_be_there(self, app, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert problem(HEAD + PAUSE, app=app).code == "application"


class TestInventories:
    def test_one_says_where(self):
        plan = compiled(
            HEAD + PAUSE,
            {
                "i.yaml": "cluster: {kind: external, command_timeout: '{{ t }}s'}\nvars: {t: 5}\nallow: [exec]\n"
                "endpoints: {service: 'http://127.0.0.1:1'}\ncommands: {c: {act: a, undo: b}, d: {act: e}}\n"
            },
        )
        inventory = plan.inventory
        assert (inventory.name, inventory.file, inventory.kind) == ("i", "i.yaml", "external")
        assert inventory.cluster == {"command_timeout": "5s"}
        assert inventory.commands == {"c": {"act": "a", "undo": "b"}, "d": {"act": "e"}}
        assert (inventory.allow, inventory.endpoints) == (("exec",), {"service": "http://127.0.0.1:1"})

    @pytest.mark.parametrize(
        ("text", "code"),
        [
            ("[]", "inventory"),
            ("vars: {a: 1}", "missing-key"),
            ("cluster: {workers: 2}", "missing-key"),
            ("cluster: {kind: extrenal}", "unknown-cluster"),
            ("cluster: {kind: local, wrkers: 2}", "unknown-key"),
            ("cluster: {kind: local, workers: two}", "type"),
            ("cluster: {kind: local, restart_delay: {head: 5}}", "duration"),
            ("cluster: {kind: external}\nendpoints: {a: 'ftp://x'}", "url"),
            ("cluster: {kind: external}\nendpoints: {a: 'http://x:99999'}", "url"),
            ("cluster: {kind: external}\ncommands: {a: {undo: b}}", "missing-key"),
            ("cluster: {kind: local}\nallow: [exce]", "value"),
            ("cluster: {kind: local}\n---\ncluster: {kind: external}", "documents"),
        ],
    )
    def test_wrong_ones_are_refused(self, text, code):
        assert code in [each.code for each in problems(HEAD + PAUSE, {"i.yaml": text})]

    def test_a_missing_one_is_told_with_those_there_are(self):
        found = problem(HEAD + PAUSE, inventory="loca")
        assert (found.code, found.help) == ("file", "Did you mean `local`?")

    def test_the_scenario_overlays_its_cluster(self):
        found = problem("name: a\ncluster: {workers: 99}\n" + PAUSE)
        assert where(found) == ("s.yaml", 2, 20, "value")
        assert problem("name: a\ncluster: {kind: local}\n" + PAUSE).code == "cluster"

    def test_commands_are_checked(self):
        inventory = {"i.yaml": "cluster: {kind: external}\ncommands: {stop: {act: a}}\n"}
        assert compiled(HEAD + "steps: [{kill: {command: stop}}]", inventory)
        assert problem(HEAD + "steps: [{kill: {command: stpo}}]", inventory).help == "Did you mean `stop`?"


class TestTags:
    TEXT = "tags: [s]\n" + steps(
        "- {log: a, tags: x}\n- {tags: y, block: [{log: b}, {log: c, tags: z}]}\n- {log: d, tags: always}\n- {log: e}"
    )

    @pytest.mark.parametrize(
        ("tags", "skip", "left"),
        [
            ((), (), "abcde"),
            (("s",), (), "abcde"),
            (("x",), (), "ad"),
            (("y",), (), "bcd"),
            (("z", "x"), (), "acd"),
            ((), ("y",), "ade"),
            (("s",), ("z",), "abde"),
        ],
    )
    def test_steps_inherit_and_are_chosen(self, tags, skip, left):
        plan = compiled(self.TEXT, tags=tags, skip_tags=skip)
        assert "".join(step.arguments.text for step in walk(plan.scenarios[0].steps)) == left

    def test_the_paths_of_steps_stay_as_written(self):
        assert [step.path for step in compiled(self.TEXT, tags=("x",)).scenarios[0].steps] == [
            "steps[0]",
            "steps[2]",
        ]

    def test_nothing_left_is_a_problem(self):
        assert problem(self.TEXT, skip_tags=("s",)).code == "tags"


class TestFilesOnDisk:
    def on_disk(self, *files: str, **options):
        return compile_files(
            files,
            source=Disk(LIMIT),
            catalogue=catalogue(),
            clusters=Settings(),
            inventory="local",
            **options,
        )

    @pytest.mark.parametrize("name", ["head_node", "replica", "worker_node"])
    @pytest.mark.parametrize("gcs", ["redis", "rocksdb", "none"])
    def test_the_built_in_scenarios_compile_by_their_name(self, name, gcs, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        [scenario] = self.on_disk(name, extra_vars=[f"gcs={gcs}"]).scenarios
        assert scenario.cluster["gcs_fault_tolerance"] == gcs
        assert (scenario.app.folder / "sleepy_pid.py").is_file()
        assert any(step.is_fault for step in walk(scenario.steps))
        assert any(tag.startswith("claim:") for tag in scenario.tags)

    def test_a_folder_means_the_scenarios_directly_in_it(self, tmp_path):
        (tmp_path / "a.yaml").write_text(HEAD + PAUSE)
        (tmp_path / "b.yml").write_text("- name: two\n  steps: [{pause: 1s}]\n")
        (tmp_path / "steps.yaml").write_text("- pause: 1s\n")
        (tmp_path / "app.yaml").write_text(APP)
        (tmp_path / "sub").mkdir()
        (tmp_path / "sub" / "c.yaml").write_text("broken: [")
        assert [scenario.name for scenario in self.on_disk(str(tmp_path)).scenarios] == ["one", "two"]

    def test_a_folder_without_one_is_a_problem(self, tmp_path):
        with pytest.raises(InvalidInput, match="holds no scenario"):
            self.on_disk(str(tmp_path))

    def test_the_examples_of_inventories_compile(self):
        for path in folder("inventories").iterdir():
            text = HEAD + PAUSE
            scenario = Path(str(path)).read_text(encoding="utf-8")
            if "apiVersion" in scenario:
                continue  # what Kubernetes is to be given
            assert compiled(text, {"i.yaml": scenario}).inventory.kind in ("local", "external", "kubernetes")

    def test_what_cannot_be_read_is_told(self, tmp_path, monkeypatch):
        (tmp_path / "dir.yaml").mkdir()
        (tmp_path / "link.yaml").symlink_to("nowhere")
        (tmp_path / "big.yaml").write_bytes(b"#" * 10_000_000)
        (tmp_path / "i.yaml").write_text(HEAD + "steps: [{include: dir.yaml}]")
        for name, words in {
            "link.yaml": "link to a file that does not exist",
            "big.yaml": "larger than 1 MB",
            "gone.yaml": "no such file",
            "i.yaml": "a directory, not a file",
            "a\0b": "not a file name",
        }.items():
            with pytest.raises(InvalidInput, match=words):
                self.on_disk(os.path.join(tmp_path, name))


KEYS = [
    *compiled(HEAD + PAUSE).scenarios[0].__slots__,
    *catalogue(),
    "block",
    "rescue",
    "always",
    "include",
    "file",
]
WORDS = st.sampled_from(
    [
        *KEYS,
        "when",
        "loop",
        "register",
        "users",
        "start",
        "until",
        "service",
        "endpoint",
        "5s",
        "{{a}}",
        "$.a",
    ]
)
junk = st.recursive(
    WORDS | st.none() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=25,
)


@settings(deadline=None)
@given(junk, junk, junk)
@example({"a": "{{a}}"}, [{"block": [{"block": None}]}], {})
def test_no_value_makes_compiling_fail_otherwise(top, steps_given, probes):
    document = {"name": "n", "vars": top, "steps": steps_given, "probes": probes}
    for text in (document, {**document, **top} if isinstance(top, dict) else top, steps_given):
        with suppress(InvalidInput):
            compiled(json.dumps(text))


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_make_compiling_fail_otherwise(raw):
    with pytest.raises(InvalidInput):
        compiled(raw)


def test_what_a_scenario_requires_reaches_the_plan():
    assert compiled(HEAD + "requires: [partition]\n" + PAUSE).scenarios[0].requires == ("partition",)


def test_an_application_known_only_during_the_run_is_refused():
    text = steps("- exec: ls\n  register: found\n- deploy: {app: '{{ found.stdout }}'}")
    assert where(problem(text))[3] == "template"
