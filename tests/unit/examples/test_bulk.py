"""The stand-in with more than fits into memory: what it sends is JSON of the size that it says, from any place on."""

from __future__ import annotations

import json

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from provision_data.bulk import BLOCK, RECORD, Page, likes, serving
from provision_data.stream import save_pages


def whole(page, begin=0):
    return b"".join(page.pieces(begin))


@pytest.mark.parametrize("records", [0, 1, 2, BLOCK, BLOCK + 3])
def test_a_page_is_json(records):
    page = Page(records, 7)
    data = whole(page)
    assert len(data) == page.size
    document = json.loads(data)
    assert document["paging"] == {"next": 7}
    assert len(document["data"]) == records
    assert [each["likes"] for each in document["data"]] == [likes(number) for number in range(records)]


def test_pages_of_any_size_are_made_a_block_at_a_time():
    pieces = Page(10**9).pieces()
    assert max(len(next(pieces)) for _ in range(5)) == BLOCK * RECORD


@given(st.integers(0, 3 * BLOCK), st.data())
def test_what_is_gone_on_with_is_the_rest(records, data):
    page = Page(records)
    begin = data.draw(st.integers(0, page.size))
    assert whole(page, begin) == whole(page)[begin:]


def test_it_serves_pages_from_another_process_and_breaks_off(tmp_path):
    with serving() as url:
        page = f"{url}/tweets?records=2000&pages=3&breaks=200000&page="
        saved = save_pages(
            f"{page}1", tmp_path, field="paging.next", next_url=page.__add__, suffix=".json", sleep=lambda _: None
        )
        assert [each.found for each in saved] == ["2", "3", None]
        assert [json.loads(each.path.read_text())["paging"]["next"] for each in saved] == [2, 3, None]
        assert requests.get(f"{url}/tweets?records=0", timeout=10).json() == {"data": [], "paging": {"next": None}}
    with pytest.raises(requests.ConnectionError):
        requests.get(url, timeout=10)
