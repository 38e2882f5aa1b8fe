"""What steps give to those behind them: `set`, `parallel`, and the files that deploy names."""

from __future__ import annotations

from typing import ClassVar

import pytest

from runner.language.compiler import walk
from runner.language.plan import Block
from tests.language.compiling import compiled, problem, problems, steps, where


class TestSet:
    def test_what_is_set_may_be_read_and_set_again(self):
        assert compiled(steps("- set: {n: 1}\n- set: {n: '{{ n + 1 }}'}\n- log: '{{ n }}'"))

    def test_before_it_is_set_a_name_is_undefined(self):
        found = problem(steps("- log: '{{ limt }}'\n- set: {limit: 1}"))
        assert (found.code, found.help) == ("undefined", None)
        found = problem(steps("- set: {limit: 1}\n- log: '{{ limt }}'"))
        assert found.help == "Did you mean `limit`?"

    @pytest.mark.parametrize(
        ("before", "step", "code"),
        [
            ("vars: {a: 1}\n", "- set: {a: 2}", "set"),
            ("", "- {log: x, register: a}\n- set: {a: 2}", "set"),
            ("", "- set: {a: 2}\n- {log: x, register: a}", "register"),
            ("", "- set: {item: 2}", "name"),
            ("", "- set: {a-b: 2}", "name"),
            ("", "- set: {}", "set"),
            ("", "- set: 5", "type"),
        ],
    )
    def test_it_hides_nothing_and_names_what_templates_can_read(self, before, step, code):
        assert code in [each.code for each in problems(before + steps(step))]


class TestParallel:
    def test_its_steps_stand_in_a_block_that_says_so(self):
        plan = compiled(steps("- name: both\n  parallel: [{log: a, register: r}, {block: [{log: b}]}]"))
        [block] = plan.scenarios[0].steps
        assert isinstance(block, Block)
        assert (block.kind, block.parallel, block.modifiers.name) == ("parallel", True, "both")
        assert [step.path for step in walk([block])] == [
            "steps[0].parallel[0]",
            "steps[0].parallel[1].block[0]",
        ]

    def test_what_a_step_registers_is_known_behind_it_and_not_beside_it(self):
        text = "- parallel: [{log: a, register: r}, {log: b}]\n- log: '{{ r }}'"
        assert compiled(steps(text))
        assert problem(steps(text.replace("log: b", "log: '{{ r }}'"))).code == "undefined"
        fault = "- parallel: [{kill: {node: head}, register: f}, {log: b}]\n- wait_for: {recovered: f}"
        assert compiled(steps(fault))
        found = problem(steps(fault.replace("log: b", "wait_for: {recovered: f}")))
        assert found.code == "unknown-fault"

    def test_two_of_them_may_not_register_one_name(self):
        found = problem(steps("- parallel: [{log: a, register: r}, {log: b, register: r}]"))
        assert found.code == "register"
        assert "another step of this `parallel`" in found.message

    @pytest.mark.parametrize(
        ("step", "code"),
        [
            ("- parallel: 5", "step"),
            ("- parallel: []", "step"),
            ("- parallel: [{pause: 5}]", "duration"),
            ("- {parallel: [{pause: 5s}], rescue: [{pause: 5s}]}", "step"),
            ("- {parallel: [{pause: 5s}], block: [{pause: 5s}]}", "step"),
        ],
    )
    def test_wrong_ones_are_refused(self, step, code):
        assert problem(steps(step)).code == code


class TestDeploy:
    APPS: ClassVar = {"a.yaml": "import_path: a:app", "b.yaml": "import_path: b:app\nname: second"}

    def test_several_applications_are_read(self):
        plan = compiled(steps("- deploy: {app: [a.yaml, b.yaml]}\n- deploy: {app: a.yaml}"), self.APPS)
        assert {file: app.name for file, app in plan.scenarios[0].apps.items()} == {
            "a.yaml": "a",
            "b.yaml": "second",
        }

    def test_one_that_is_missing_is_told_at_its_place(self):
        found = problem(steps("- deploy: {app: [a.yaml, c.yaml]}"), self.APPS)
        assert where(found) == ("s.yaml", 4, 28, "file")

    def test_which_it_is_has_to_be_known(self):
        found = problem(steps("- {log: x, register: r}\n- deploy: {app: ['{{ r }}']}"), self.APPS)
        assert where(found) == ("s.yaml", 5, 20, "template")


class TestScript:
    def test_its_text_is_read_before_the_run(self):
        plan = compiled(steps("- script: x.py\n- script: {file: y.sh}"), {"x.py": "1", "y.sh": "ls"})
        assert plan.scenarios[0].scripts == {"x.py": "1", "y.sh": "ls"}
        assert set(plan.sources) == {"s.yaml", "i.yaml", "x.py", "y.sh"}

    @pytest.mark.parametrize(
        ("step", "files", "code"),
        [
            ("- script: x.py", {}, "file"),
            ("- script: x.py", {"x.py": "x" * 100_001}, "too-large"),
            ("- script: x.rb", {"x.rb": ""}, "value"),
            ("- {log: x, register: r}\n- script: '{{ r }}.py'", {}, "template"),
        ],
    )
    def test_one_that_cannot_be_run_is_refused(self, step, files, code):
        assert problem(steps(step), files).code == code


class TestHttp:
    def test_the_endpoint_is_one_that_there_is(self):
        assert compiled(steps("- http: {endpoint: dashboard}\n- http: {endpoint: worker-2}"))
        found = problem(steps("- http: {endpoint: worker-3}"))
        assert where(found) == ("s.yaml", 4, 22, "unknown-endpoint")
