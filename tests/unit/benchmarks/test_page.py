from __future__ import annotations

from dataclasses import replace

import page
import pytest
from results import Chart, Result, Table, read_all

CHART = Chart("seconds", "Time", "s", {"up": {"few": 1.0, "many": 2.0}, "raw": {"many": 4.0}})
MACHINE = {"cores": 2, "memory_gib": 24, "kvm": False, "system": "Debian 12"}
WHOLE = Result(
    name="tried",
    title="Tried",
    order=1,
    text="What was tried. " * 20,
    command="python tried.py",
    tables=(Table(["What", "Time"], [["`up`", "3 s"]], "In a table:"),),
    charts=(CHART,),
    taken={
        "date": "2026-01-02",
        "machine": MACHINE,
        "load": 0.25,
        "versions": {"provision": "0.2.0", "Python": "3.11"},
    },
    after="What it means.",
)


def test_the_page_is_made_from_the_results():
    """Renew it with `python tests/benchmarks/page.py`."""
    found = read_all()
    assert page.PAGE.read_text() == page.page(found)
    wanted = {page.CHARTS / page.file_name(result, chart): chart for result in found for chart in result.charts}
    assert {*page.CHARTS.iterdir()} == {*wanted}
    assert [file.name for file, chart in wanted.items() if not page.drawn(file, chart)] == []


def test_a_section():
    text = page.section(WHOLE)
    assert text.startswith("## Tried\n\nWhat was tried.")
    assert "In a table:\n\n| What | Time |\n| --- | --- |\n| `up` | 3 s |" in text
    assert "![Time](../assets/measurements/tried-seconds.svg)\n\nWhat it means." in text
    assert max(map(len, text.splitlines())) <= page.WIDTH
    assert text.split("\n\n")[-1].replace("\n", " ") == (
        "*Taken on 2026-01-02 by `python tried.py`*: 2 cores, 24 GiB, Debian 12, without KVM; load before it 0.25; "
        "provision 0.2.0, Python 3.11."
    )


@pytest.mark.parametrize(
    ("taken", "said"),
    [
        ({}, "*Taken by `python tried.py`*. Not noted: date, machine, load, versions."),
        (
            {"machine": MACHINE | {"kvm": True}, "date": "2026-01-02", "load": 1},
            "with KVM; load before it 1. Not noted: v",
        ),
    ],
)
def test_what_was_not_noted_is_said(taken, said):
    assert said in page.provenance(replace(WHOLE, taken=taken))


def test_bars_of_a_row_lie_side_by_side():
    found = dict(page.bars(CHART))
    assert found["up"] == [(-0.2, 1.0), (0.8, 2.0)]
    assert found["raw"] == [(1.2, 4.0)]


def test_only_what_has_changed_is_drawn(tmp_path, monkeypatch):
    drawn = []

    def draw(chart, file):
        drawn.append(file.name)
        file.write_text(f"figures {page.digest(chart)}")

    monkeypatch.setattr(page, "draw", draw)
    (tmp_path / "old.svg").touch()
    page.renew([WHOLE], tmp_path)
    page.renew([WHOLE], tmp_path)
    assert drawn == ["tried-seconds.svg"]
    assert not (tmp_path / "old.svg").exists()
    page.renew([replace(WHOLE, charts=(replace(CHART, unit="min"),))], tmp_path)
    assert drawn == ["tried-seconds.svg"] * 2


def test_a_drawing_is_the_same_each_time(tmp_path):
    for name in ("one.svg", "two.svg"):
        page.draw(CHART, tmp_path / name)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
    assert page.drawn(tmp_path / "one.svg", CHART)
    assert not page.drawn(tmp_path / "one.svg", replace(CHART, unit="min"))


def test_what_sums_up_others_was_not_taken_itself():
    assert page.provenance(replace(WHOLE, taken={}, command="")) == ""
