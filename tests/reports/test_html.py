from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from lxml import html as lxml_html

from runner.reports import html
from runner.timeline.run import Blind, Bracket, Chart, Happening, Member, Span, Window
from tests.reports.example import (
    END,
    HEAD_DOWN,
    RUNS,
    could_not_start,
    head_node_failure,
    several,
    without_fault_tolerance,
)


def page(run) -> lxml_html.HtmlElement:
    return lxml_html.fromstring(html.render(run))


def text(run) -> str:
    return " ".join(" ".join(page(run).itertext()).split())


@pytest.mark.parametrize("name", RUNS)
def test_the_same_run_makes_the_same_page(name):
    assert html.render(RUNS[name]()) == html.render(RUNS[name]())


def test_the_verdict_and_its_sentence_come_first():
    for name, word in (("passed", "passed"), ("failed", "failed"), ("error", "unknown")):
        top = page(RUNS[name]()).find(".//header")
        assert word in top.find("h1").text_content()
    said = page(without_fault_tolerance()).get_element_by_id("said").text_content()
    assert said.startswith("Failed: “workers keep serving while the head is down”")


def test_it_says_all_that_the_run_holds():
    found = text(head_node_failure())
    for expected in (
        "26.55 s [26.50-26.61]",
        "52.326 s [52.301-52.352]",
        "78.877 s [78.851-78.906]",
        "refused 428, unreachable 96, timeout 7",
        "stall, steal",
        "at most 0 failed requests",
        "0 failed of 4 301 on 4 series",
        "scenarios/head_node.yaml:29",
        "Wait until the head is gone",
        "service/new simulated",
        "1.78 s",
        "ray version 2.60.0",
        "ray commit c7ce5f1b0a9d",
        "layout namespaces",
        "head is dead: its gcs_server ended by SIGKILL",
        "ftrun scenarios/head_node.yaml",
        "84.912 s (+32.6 s)",
    ):
        assert expected in found, expected


def test_brackets_in_the_summary_are_not_broken_across_lines():
    said = page(head_node_failure()).get_element_by_id("said")
    assert [each.text for each in said.iterfind("span")] == ["50 ms [0-104]", "26.55 s [26.50-26.61]"]
    assert "<" not in said.text_content()


def test_a_happening_names_its_slot():
    run = head_node_failure()
    scenario = replace(run.scenarios[0], happenings=(Happening(8.0, "supervisor", "worker-1", "up"),))
    tree = page(replace(run, scenarios=(scenario,)))
    assert tree.xpath("//*[@class='note']/text()") == ["worker-1 up"]


def test_an_open_window_has_no_end():
    assert "still down at the end" in text(without_fault_tolerance())


def test_steps_that_were_never_reached_are_there():
    assert "not reached" in text(without_fault_tolerance())


def test_times_count_from_the_scenarios_start():
    run = head_node_failure()
    scenario = run.scenarios[0]
    moved = replace(scenario, start=scenario.start - 100.0)
    assert "152.326 s [152.301-152.352]" in text(replace(run, scenarios=(moved,)))


def test_several_scenarios_have_an_overview_that_leads_to_each():
    tree = page(several())
    links = [link.get("href") for link in tree.iterfind(".//table//a")]
    assert links == ["#scenario-1", "#scenario-2", "#scenario-3", "#scenario-4"]
    assert all(tree.get_element_by_id(link[1:]) is not None for link in links)


def test_a_run_without_scenarios_has_a_page():
    assert "The disk is full." in text(replace(could_not_start(), scenarios=(), message="The disk is full."))


def test_a_probe_that_was_started_twice_has_two_lanes():
    run = head_node_failure()
    scenario = run.scenarios[0]
    twice = replace(scenario, probes=(scenario.probes[2], scenario.probes[2]))
    lanes = page(replace(run, scenarios=(twice,))).xpath(
        "//*[starts-with(@aria-label, 'head/new, downtime')]"
    )
    assert len(lanes) == 2


def test_text_of_others_stays_text():
    run = without_fault_tolerance()
    scenario = run.scenarios[0]
    hostile = "</title></svg><script>alert(1)</script>\"'\x00\x1b[31m"
    excerpt = HEAD_DOWN.excerpt
    quoted = replace(
        HEAD_DOWN,
        excerpt=replace(
            excerpt,
            errors=tuple(replace(each, detail=hostile) for each in excerpt.errors),
            samples=tuple(replace(each, who=hostile, detail=hostile) for each in excerpt.samples),
        ),
    )
    scenario = replace(
        scenario,
        name=hostile,
        description=hostile,
        happenings=(Happening(1.0, hostile, hostile, hostile),),
        cluster={hostile: hostile},
        assertions=tuple(
            replace(each, name=hostile, actual=hostile, why=hostile) for each in scenario.assertions
        ),
        members=(replace(scenario.members[0], name=hostile, slot=hostile),),
        recoveries=(
            replace(
                scenario.recoveries[0],
                causes=tuple(
                    replace(each, cause=hostile, who=hostile, evidence=hostile)
                    for each in scenario.recoveries[0].causes
                ),
            ),
        ),
        probes=(
            replace(
                scenario.probes[2],
                name=hostile,
                series=(replace(scenario.probes[2].series[0], series=hostile, windows=(quoted,)),),
            ),
        ),
    )
    rendered = html.render(replace(run, run=hostile, message=hostile, scenarios=(scenario,)))
    assert rendered.count("<script") == 1
    assert "alert(1)" in rendered
    assert not re.search(r"[\x00\x1b]", rendered)


@pytest.mark.parametrize("name", RUNS)
def test_nothing_is_loaded_and_every_picture_has_words(name):
    tree = page(RUNS[name]())
    assert not tree.xpath("//@src")
    assert all(link.startswith(("#", "data:")) for link in tree.xpath("//@href"))
    assert "default-src 'none'" in tree.xpath("//meta[@http-equiv]/@content")[0]
    assert not tree.xpath("//@style")
    for svg in tree.xpath("//svg[not(ancestor::svg)]"):
        # What can be followed to its window is a group: a reader of the screen must not skip its links.
        role = "group" if svg.xpath(".//a") else "img"
        assert (svg.get("role") == role and svg.get("aria-label")) or svg.xpath(
            "ancestor-or-self::*[@aria-hidden='true']"
        )


@pytest.mark.parametrize("name", RUNS)
def test_every_link_leads_somewhere_and_no_name_is_given_twice(name):
    tree = page(RUNS[name]())
    names = tree.xpath("//@id")
    assert len(names) == len(set(names))
    assert {link[1:] for link in tree.xpath("//@href") if link.startswith("#")} <= set(names)


def test_it_says_how_long_each_was_down_and_why_before_anything_else():
    tree = page(head_node_failure())
    tiles = [" ".join(tile.text_content().split()) for tile in tree.find_class("tile")]
    assert "users50 ms [0-104]1 of 1 084 requests failed" in tiles[0]
    assert "workersnone seen" in tiles[0]
    assert "0 of 4 301 requests failed, 2 slow" in tiles[0]
    assert "all as before after 32.6 s. Of the longest downtime, 26.6 s of head/new:" in tiles[1]
    assert "2head process starting9.30 s35 %" in tiles[1]
    assert "?unexplained6.95 s26 %" in tiles[1]


def test_a_waterfall_has_phases_with_brackets_causes_with_shares_and_what_is_unexplained():
    (table,) = page(head_node_failure()).find_class("fall")
    rows = [" ".join(" ".join(row.itertext()).split()) for row in table.iterfind("tbody/tr")]
    assert rows[0].startswith("users down service/new 50 ms")
    assert rows[4].startswith("mitigation all traffic good again +26.56 s [26.53-26.59]")
    assert rows[7].startswith(
        "2 head process starting head 9.30 s 35 % +5.01 s to +14.31 s supervisor started again; up"
    )
    assert rows[9].startswith("worker reconnecting worker-1 1.21 s +14.31 s to"), "off the path: no share"
    assert rows[-1] == "? unexplained 6.95 s 26 % Nothing was seen."
    gaps = table.xpath(".//tr[@class='unexplained']/td[@class='draw']//*[@class='gap']")
    assert len(gaps) == 3
    # From the controller's recovery on: what is off the path, like the worker that reconnects, explains nothing.
    assert float(gaps[1].get("x").rstrip("%")) == pytest.approx(14.614 / (32.596 * 1.02) * 100, abs=0.01)


def test_a_recovery_that_never_came_is_not_claimed():
    (table,) = page(without_fault_tolerance()).find_class("fall")
    said = " ".join(table.text_content().split())
    assert said.count("not seen") == 2
    assert "replicas are 0, not 6" in said
    assert "not over" in said


def test_members_have_lanes_in_words_and_in_pictures():
    tree = page(head_node_failure())
    (lane,) = tree.xpath("//svg[@aria-label='proxy head: not up 26.4 s']")
    assert [bar.get("class") for bar in lane.find_class("bar")] == [
        "bar starting",
        "bar up",
        "bar dead",
        "bar starting",
        "bar up",
    ]
    (table,) = tree.xpath("//*[@aria-label='Members over time']//tbody")
    rows = [" ".join(" ".join(row.itertext()).split()) for row in table]
    assert rows[3] == (
        "controller controller head starting 17.000 s , up 18.100 s , dead 52.330 s , starting 66.630 s , up 66.930 s"
    )


def test_a_replica_that_is_gone_for_good_is_not_shown_as_if_it_were_waited_for():
    run = head_node_failure()
    scenario = run.scenarios[0]
    spans = (
        Span(20.0, 52.4, "up", "RUNNING"),
        Span(52.4, 52.5, "dead", "ended"),
        Span(52.5, 66.0, "unknown", "nobody can say"),
        Span(66.0, END, "dead", "no longer listed"),
    )
    lanes = {}
    for role in ("replica", "proxy"):
        member = Member("it", role, "worker-1", spans)
        (lane,) = page(replace(run, scenarios=(replace(scenario, members=(member,)),))).xpath(
            "//svg[starts-with(@aria-label, 'it: ')]"
        )
        lanes[role] = lane.get("aria-label"), [bar.get("class") for bar in lane.find_class("bar")]
    assert lanes["replica"] == ("it: gone", ["bar up", "bar gone", "bar unknown", "bar gone"])
    assert lanes["proxy"] == (
        "it: not up 38.3 s, unknown 13.5 s",
        ["bar up", "bar dead", "bar unknown", "bar dead"],
    )


def test_what_the_cluster_did_is_told_before_lines_of_logs_and_all_of_it_is_marked():
    run = head_node_failure()
    scenario = run.scenarios[0]
    logs = tuple(Happening(53 + number / 10, "gcs", "head", f"line {number}") for number in range(300))
    scenario = replace(
        scenario, happenings=(*logs, Happening(80.0, "supervisor", "worker-1", "started again"))
    )
    tree = page(replace(run, scenarios=(scenario,)))
    assert tree.find_class("note")[0].text == "worker-1 started again"
    (rug,) = tree.find_class("rug")
    assert len(rug[0].get("d").split("M")) - 1 > 200
    assert "started again" in tree.xpath("string(//*[@aria-label='What the cluster did'])")


def test_a_window_shows_its_samples_its_errors_word_for_word_and_what_the_cluster_said():
    tree = page(head_node_failure())
    (link,) = tree.xpath("//*[starts-with(@aria-label, 'head/new, downtime')]//a/@href")
    row = tree.get_element_by_id(link[1:])
    said = " ".join(" ".join(row.getnext().itertext()).split())
    for expected in (
        "428 × refused #1 ConnectionRefusedError: [Errno 111] Connection refused",
        "52.351 s 0.52 ms refused #1",
        "523 requests left out",
        "78.751 s 2.00 s timeout",
        "78.902 s 3.6 ms good 200 4712",
        "52.330 s supervisor head head is dead: its gcs_server ended by SIGKILL",
    ):
        assert expected in said, expected
    assert "started worker-1" not in said, "too long before it"


def test_only_the_longest_windows_are_shown_closely_where_there_are_too_many():
    run = head_node_failure()
    scenario = run.scenarios[0]
    series = scenario.probes[2].series[0]
    many = tuple(replace(HEAD_DOWN, longest=float(number)) for number in range(30))
    probe = replace(scenario.probes[2], series=(replace(series, windows=many),))
    tree = page(replace(run, scenarios=(replace(scenario, probes=(probe,)),)))
    rows = tree.xpath("//tr[starts-with(@id, 'window-1-')]")
    closer = [row.getnext() is not None and row.getnext().get("class") == "closer" for row in rows]
    assert len(rows) == 30
    assert closer[-1]
    assert not closer[0]


def test_repetitions_are_dots_and_rows_that_lead_to_each():
    tree = page(RUNS["repeated"]())
    (table,) = tree.xpath("//*[@aria-label='Distribution over the repetitions']//tbody")
    rows = [" ".join(" ".join(row.itertext()).split()) for row in table]
    assert rows[-1].startswith("fault to recovery 2 times measured repetition 1: 32.6 s repetition 2: 42.1 s")
    assert rows[-1].endswith("33 s [0-33] 42.1 s [41.3-42.1] 42.1 s [41.3-42.1]")
    assert [dot.get("class") for dot in table[-1].iter("circle")] == ["turn", "turn worst"]
    (table,) = tree.xpath("//*[@aria-label='Repetitions']//tbody")
    assert table.xpath(".//a/@href") == ["#scenario-2", "#scenario-3"]
    assert "ftrun scenarios/head_node.yaml -e gcs=redis --seed 2754410 --repeat 1" in table[1].text_content()
    (first,) = [
        row for row in tree.xpath("//table[@class='overview']//tr") if "attempt 1" in row.text_content()
    ]
    assert first.get("class") == "not", "another attempt counts in its place"


def test_a_known_fail_has_a_word_and_a_sign_of_its_own():
    tree = page(RUNS["known"]())
    (row,) = [
        row
        for row in tree.xpath("//*[@aria-label='Assertions']//tbody/tr")
        if "known until" in row.text_content()
    ]
    word = row.find_class("word")[0]
    assert word.get("class") == "word known"
    assert word.text_content() == "\N{ALMOST EQUAL TO} known"


def test_availability_claims_no_more_than_is_known():
    (table,) = page(head_node_failure()).find_class("availability")
    rows = [[cell.text_content() for cell in row] for row in table.iterfind("tbody/tr")]
    assert rows[0] == ["users service/new", "90-96 %", "98.96-99.6 %", "99.79-99.93 %"]
    assert rows[1] == ["workers worker-1/new", "100 %", "100 %", "100 %"]


def wild(columns: int, seed: int) -> Chart:
    """The worst that a million samples can look like: no two neighbours alike."""
    random = np.random.default_rng(seed)
    half = np.exp(random.normal(-5, 1, columns))
    return Chart(
        0.0, END, random.integers(0, 5, columns).astype(np.uint8), half, half * random.uniform(1, 90, columns)
    )


@pytest.mark.parametrize("lanes", [1, 6, 20])
def test_a_million_wild_samples_make_a_page_below_200_kb(lanes):
    run = head_node_failure()
    scenario = run.scenarios[0]
    first = scenario.probes[2].series[0]
    windows = tuple(
        Window(
            Bracket(at, at, at), Bracket(at + 0.01, at + 0.01, at + 0.01), 0.0, 0.02, False, {"refused": 3}
        )
        for at in np.linspace(45, 95, 3000).tolist()
    )
    blind = tuple(Blind(at, at + 0.2, ("stall",)) for at in np.linspace(45, 95, 2000).tolist())
    series = tuple(
        replace(
            first,
            series=f"worker-{lane}/new",
            samples=1_000_000 // lanes,
            windows=windows,
            blind=blind,
            chart=wild(1200, lane),
        )
        for lane in range(lanes)
    )
    steps = tuple(replace(scenario.steps[lane % 15], path=f"steps[{lane}]") for lane in range(1000))
    happenings = tuple(
        Happening(lane / 10, "supervisor", "head", f"line {lane} " * 20) for lane in range(1000)
    )
    probe = replace(scenario.probes[2], series=series)
    scenario = replace(scenario, probes=(probe,), steps=steps, happenings=happenings)
    rendered = html.render(replace(run, scenarios=(scenario,)))
    assert len(rendered.encode()) < 200_000
    assert "more are in run.json" in rendered


def test_a_window_shorter_than_a_pixel_is_still_drawn():
    tree = page(head_node_failure())
    (lane,) = tree.xpath("//*[starts-with(@aria-label, 'service/new, downtime')]")
    assert lane.xpath(".//*[@class='bad']")
    assert "vector-effect:non-scaling-stroke" in html.render(head_node_failure())


def test_a_window_says_its_length_in_its_lane_where_there_is_room():
    tree = page(head_node_failure())
    (lane,) = tree.xpath("//*[starts-with(@aria-label, 'head/new, downtime')]")
    assert lane.xpath("string(.//*[@class='length'])") == "26.6 s"
    assert HEAD_DOWN.open is False


@pytest.mark.parametrize("name", RUNS)
def test_what_is_left_out_of_the_markup_is_nothing_to_whoever_reads_it(name, monkeypatch):
    def read(tree: lxml_html.HtmlElement) -> list[tuple[str, dict[str, str], str]]:
        return [
            (str(each.tag), dict(each.attrib), " ".join((each.text or "").split()))
            for each in tree.iter()
            if each.tag not in ("script", "style")
        ]

    lean = page(RUNS[name]())
    monkeypatch.setattr(html, "_lean", lambda text: text)
    assert read(lean) == read(page(RUNS[name]()))


def test_six_faults_make_a_page_below_200_kb_and_a_scenario_more_takes_half_as_much_as_one_alone():
    run = head_node_failure()
    scenario = run.scenarios[0]
    spans = tuple(
        Span(20.0 + 8 * turn, 28.0 + 8 * turn, ("up", "dead", "starting")[turn % 3], f"process {turn}")
        for turn in range(9)
    )
    members = tuple(Member(f"SleepyPid {number:08}", "replica", "worker-1", spans) for number in range(20))
    cause = scenario.recoveries[0].causes[0]
    # What the logs of a real cluster say is long.
    causes = tuple(
        replace(
            cause, cause=f"cause {number}", evidence=f"Replica(id='{number:08}') is here. " * 10, share=0.05
        )
        for number in range(20)
    )
    recovery = replace(scenario.recoveries[0], causes=causes)
    faults = tuple(replace(scenario.faults[0], name=f"fault {number}") for number in range(6))
    recoveries = tuple(replace(recovery, fault=fault.name) for fault in faults)
    hard = replace(scenario, members=members, faults=faults, recoveries=recoveries)
    assert len(html.render(replace(run, scenarios=(hard,))).encode()) < 200_000
    one, forty = (
        len(html.render(replace(run, scenarios=(scenario,) * number)).encode()) for number in (1, 40)
    )
    assert (forty - one) / 39 < one / 2


def test_what_all_clusters_of_a_run_have_in_common_is_said_once():
    run = head_node_failure()
    first = run.scenarios[0]
    other = replace(first, name="other", cluster={**first.cluster, "layout": "loopback"})
    fewer = replace(first, name="fewer", cluster={"kind": "local"})
    sections = page(replace(run, scenarios=(first, first, other, fewer))).findall(".//section")
    said = [
        " ".join(" ".join(each.itertext()).split()).partition("Cluster and versions ")[2] for each in sections
    ]
    assert "ray version 2.60.0" in said[0]
    assert said[1].startswith("As of ")
    assert said[1].endswith(".")
    assert said[2].endswith(", but for layout loopback")
    assert said[3] == "kind local", "what it lacks is not taken from another"
