"""Answers to disk: fields found across pieces, downloads that break off, pages, and what is refused."""

from __future__ import annotations

import gzip
import http.server
import io
import json
import threading

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from provision_data import stream
from provision_data.stream import TRIES, Bar, DownloadError, FieldFinder, save, save_pages


def find(text, path, size=7):
    finder = FieldFinder(path)
    data = text.encode()
    for place in range(0, len(data), size):
        finder.feed(data[place : place + size])
    return finder.value


FIELDS = {
    "a string": ('{"next": "abc"}', "next", "abc"),
    "a number": ('{"data": [1, 2], "next":17}', "next", "17"),
    "null": ('{"next": null}', "next", None),
    "none": ('{"data": []}', "next", None),
    "inside": ('{"data": [], "paging": {"n": 1, "next": "x"}, "z": 0}', "paging.next", "x"),
    "the same name elsewhere": ('{"data": [{"next": "a"}], "a": {"next": 1}, "next": 2}', "next", "2"),
    "the same letters in a string": ('{"text": "\\"next\\": 1, {[", "next": 2}', "next", "2"),
    "an escape in the value": ('{"next": "a\\"b\\\\\\u00e9"}', "next", 'a"b\\é'),
    "a name with an escape": ('{"ne\\u0078t": "x"}', "next", "x"),
    "a list on the way": ('{"paging": [{"next": 1}, {"next": 2}]}', "paging.next", None),
    "an object where a value is wanted": ('{"next": {"next": 1}}', "next", None),
    "the last one counts": ('{"next": 1, "next": 2}', "next", "2"),
    "a list outside": ('[{"next": 1}]', "next", None),
    "lists and objects in each other": (
        '{"a": [[{"next": [{"next": {"b": [[1]]}}]}], {}], "p": {"next": 1}, "next": 3}',
        "next",
        "3",
    ),
    "a backslash at a string's end": ('{"a": "\\\\", "next": 1}', "next", "1"),
}


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
@pytest.mark.parametrize("case", FIELDS)
def test_fields(case, size):
    text, path, value = FIELDS[case]
    assert find(text, path, size) == value


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["next", "a", 'q"', ""]), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["next", "a", "b"]), values), st.integers(1, 9), st.booleans())
def test_what_is_found_is_what_json_says(document, size, ascii_only):
    expected = document.get("next")
    if isinstance(expected, dict | list):
        expected = None
    found = find(json.dumps(document, ensure_ascii=ascii_only), "next", size)
    assert found == (None if expected is None else str(expected))


@pytest.mark.parametrize("text", ['{"a" 1: 2}', "}", '{"next": nothing}'])
def test_what_is_no_json(text):
    with pytest.raises(DownloadError, match="no JSON"):
        find(text, "next")


def test_a_value_that_is_too_long_is_not_kept():
    finder = FieldFinder("next", limit=100)
    finder.feed(b'{"data": "' + b"x" * 10_000 + b'", "next": "')
    with pytest.raises(DownloadError, match="longer than 100 bytes"):
        finder.feed(b"x" * 200)


class Server(http.server.ThreadingHTTPServer):
    """Serves `pages` by path; breaks off behind so many bytes each time `breaks` has one."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.pages, self.breaks, self.asked = {}, [], []
        self.tag, self.ranges, self.ends, self.encoding, self.length = '"1"', True, True, "", ""
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        server.asked.append(self.headers.get("Range"))
        data = server.pages.get(self.path)
        if data is None:
            self.send_error(404)
            return
        begin = 0
        wanted = self.headers.get("Range")
        if wanted and server.ranges and self.headers.get("If-Range") == server.tag:
            begin = int(wanted.removeprefix("bytes=").rstrip("-"))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
        else:
            self.send_response(200)
        if server.encoding:
            data = gzip.compress(data)
            self.send_header("Content-Encoding", server.encoding)
        if server.ends:
            self.send_header("Content-Length", server.length or str(len(data) - begin))
        if server.tag:
            self.send_header("ETag", server.tag)
        self.end_headers()
        end = server.breaks.pop(0) if server.breaks else len(data)
        self.wfile.write(data[begin:end])

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with Server() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


BODY = json.dumps({"data": list(range(60_000)), "next": "abc"}).encode()


def get(server, path, **options):
    return save(f"{server.url}/a", path, sleep=lambda _: None, **options)


def zstd_open(path, mode):
    return pytest.importorskip("zstandard").open(path, mode)


OPENED = {"a.json": open, "a.json.gz": gzip.open, "a.json.zst": zstd_open}


@pytest.mark.parametrize("name", OPENED)
def test_an_answer_is_saved_as_its_name_says(server, tmp_path, name):
    if name.endswith(".zst"):
        pytest.importorskip("zstandard")
    server.pages["/a"] = BODY
    shown = []
    saved = get(server, tmp_path / name, field="next", watch=lambda *progress: shown.append(progress))
    assert (saved.bytes, saved.found) == (len(BODY), "abc")
    with OPENED[name](tmp_path / name, "rb") as file:
        assert file.read() == BODY
    assert shown[-1] == (len(BODY), len(BODY))
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_what_breaks_off_is_gone_on_with(server, tmp_path):
    server.pages["/a"] = BODY
    server.breaks = [100_000, 100_001, 200_000]
    saved = get(server, tmp_path / "a.json.gz", field="next")
    assert gzip.decompress((tmp_path / "a.json.gz").read_bytes()) == BODY
    assert (saved.bytes, saved.found) == (len(BODY), "abc")
    assert server.asked[0] is None
    assert server.asked[1].startswith("bytes=")


@pytest.mark.parametrize("change", ["no ranges", "another answer", "no tag", "a weak tag", "compressed"])
def test_what_cannot_be_gone_on_with_is_begun_anew(server, tmp_path, change):
    server.pages["/a"] = BODY
    server.breaks = [100_000]
    server.ranges = change != "no ranges"
    server.tag = {"no tag": "", "a weak tag": 'W/"1"'}.get(change, server.tag)
    if change == "compressed":
        server.encoding = "gzip"
        server.breaks = [1_000]

    def sleep(_):
        if change == "another answer":
            server.tag, server.pages["/a"] = '"2"', BODY[::-1]

    save(f"{server.url}/a", tmp_path / "a", sleep=sleep)
    assert (tmp_path / "a").read_bytes() == server.pages["/a"]
    assert len(server.asked) == 2
    # With "no ranges" and "another answer" the server decides.
    assert (server.asked[1] is None) == (change not in ("no ranges", "another answer"))


def test_what_broke_off_at_its_very_end_is_asked_for_anew(tmp_path):
    class Answer:
        def __init__(self, status):
            self.status_code, self.ok, self.headers = status, status == 200, {"ETag": '"1"'}

        def iter_content(self, _):
            yield b"whole"
            if len(asked) == 1:
                raise requests.exceptions.ChunkedEncodingError

        def close(self):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

    asked, statuses = [], iter([200, 416, 200])

    class Session:
        def get(self, url, headers, **_):
            asked.append(headers.get("Range"))
            return Answer(next(statuses))

    save("http://a", tmp_path / "a", session=Session(), sleep=lambda _: None)
    assert (tmp_path / "a").read_bytes() == b"whole"
    assert asked == [None, "bytes=5-", None]


@pytest.mark.parametrize("cut", [0, 1, 100_000, len(BODY) - 1])
def test_an_answer_that_ends_before_its_json_is_no_last_page(server, tmp_path, cut):
    server.pages["/a"] = BODY[:cut]
    server.ends = False
    with pytest.raises(DownloadError, match="before its JSON"):
        get(server, tmp_path / "a", field="next")
    assert list(tmp_path.iterdir()) == []


def test_a_length_that_is_no_number_says_nothing(server, tmp_path):
    server.pages["/a"] = BODY
    server.length = "²"
    shown = []
    assert get(server, tmp_path / "a", watch=lambda *progress: shown.append(progress)).bytes == len(BODY)
    assert shown[-1] == (len(BODY), 0)


def test_what_requests_gives_up_on(tmp_path):
    with pytest.raises(DownloadError, match="nowhere:"):
        save("nowhere://a", tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_what_breaks_off_at_the_same_place_is_given_up(server, tmp_path):
    server.pages["/a"] = BODY
    server.ranges = False
    server.breaks = [100_000] * 20
    with pytest.raises(DownloadError, match=f"broke off {TRIES} times"):
        get(server, tmp_path / "a")
    assert len(server.asked) == TRIES + 1
    assert list(tmp_path.iterdir()) == []


def test_a_refusal_leaves_the_file_that_was_there(server, tmp_path):
    (tmp_path / "a").write_text("before")
    with pytest.raises(DownloadError, match="404"):
        get(server, tmp_path / "a")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["before"]


def pages(server, tmp_path, **options):
    return save_pages(
        f"{server.url}/0", tmp_path, field="next", next_url=lambda marker: f"{server.url}/{marker}", **options
    )


def test_pages_are_followed_to_the_last(server, tmp_path, monkeypatch):
    monkeypatch.setattr(stream, "CHUNK", 5)
    for number in range(3):
        page = {"data": [number] * 10, "next": number + 1 if number < 2 else None}
        server.pages[f"/{number}"] = json.dumps(page).encode()
    saved = pages(server, tmp_path)
    assert [each.found for each in saved] == ["1", "2", None]
    assert [each.path.name for each in saved] == [f"page-{number:05}.json.gz" for number in (1, 2, 3)]
    with pytest.raises(DownloadError, match="more than 2 pages"):
        pages(server, tmp_path, limit=2)


def test_pages_in_a_circle_end(server, tmp_path):
    server.pages["/0"] = server.pages["/1"] = b'{"next": 1}'
    with pytest.raises(DownloadError, match="came again"):
        pages(server, tmp_path)


def test_the_bar():
    times = iter([0.0, 1.0, 1.1, 2.0])
    out = io.StringIO()
    bar = Bar(out, lambda: next(times))
    bar(5_000_000, 10_000_000)
    bar(6_000_000, 10_000_000)
    bar(10_000_000, 10_000_000)
    assert out.getvalue().split("\r")[1:] == [
        "[##########          ]  50 %, 5.0 MB, 5.0 MB/s",
        "[####################] 100 %, 10.0 MB, 5.0 MB/s\n",
    ]
    out = io.StringIO()
    Bar(out, iter([0.0, 2.0]).__next__)(4_000_000, 0)
    assert out.getvalue() == "\r4.0 MB, 2.0 MB/s"
