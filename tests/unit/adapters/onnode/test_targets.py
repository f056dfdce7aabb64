"""The file of targets: written whole, and only when it is news."""

from __future__ import annotations

from provision.adapters.onnode.targets import main


def test_it_says_whether_that_was_news(tmp_path, capsys):
    path = tmp_path / "monitoring/targets.json"
    assert main({"path": str(path), "text": "[]\n"}) == 0
    assert main({"path": str(path), "text": "[]\n"}) == 0
    assert main({"path": str(path), "text": "[1]\n"}) == 0
    assert capsys.readouterr().out.split() == ["changed", "same", "changed"]
    assert path.read_text() == "[1]\n"
    assert path.stat().st_mode & 0o777 == 0o644
    assert [each.name for each in path.parent.iterdir()] == ["targets.json"]
