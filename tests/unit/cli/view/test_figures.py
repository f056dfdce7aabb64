"""What a store answers, on the terminal: what the commands' own tests do not reach."""

from __future__ import annotations

from types import SimpleNamespace

from provision.cli.view.figures import show_metrics


def test_nothing_found_is_said(capsys):
    store = SimpleNamespace(query=lambda text: {"resultType": "vector", "result": []})
    show_metrics(store, "nothing", as_json=False)
    assert capsys.readouterr().err == "Nothing has these metrics at this moment.\n"
    show_metrics(store, "nothing", as_json=True)
    assert capsys.readouterr().out == "[]\n"
