"""A stand-in for an API that has more to give than fits into memory: JSON of any size, made while it is sent.

It runs in a process of its own (`serving`), whose memory is not that of who asks. It knows ranges, and breaks off as
often as it is asked to.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

RECORD: Final = 256
"""Bytes of a record, with the comma behind it."""
BLOCK: Final = 4_000
"""Records that differ: the answer consists of these, again and again."""
TAGS: Final = "bigdata openstack gophercon machinelearning sdn datascience docker hpc devops analytics".split()
_WORDS: Final = (
    "we how to data cloud talk at today new and the first look on running a cluster with code slides".split()
)
_HEAD: Final = b'{"data": ['


def likes(number: int) -> int:
    """Return what a record of the answer has as its `likes`."""
    return number % BLOCK * 7 % 1_000


@cache
def _block() -> bytes:
    chance = random.Random(1)
    return b"".join(_record(number, chance) for number in range(BLOCK))


def _record(number: int, chance: random.Random) -> bytes:
    record = {
        "id": 620_000_000_000_000_000 + number,
        "user": {"id": chance.randrange(600)},
        "likes": likes(number),
        "tag": TAGS[number % len(TAGS)],
        "text": "",
    }
    room = RECORD - 1 - len(json.dumps(record))
    text = " ".join(chance.choices(_WORDS, k=room))
    return json.dumps({**record, "text": text[: room - 1] + "."}).encode() + b","


@dataclass(frozen=True)
class Page:
    """An answer: so many records, and the number of the page that follows it."""

    records: int
    following: int | None = None

    @property
    def _tail(self) -> bytes:
        return b'], "paging": {"next": ' + json.dumps(self.following).encode() + b"}}"

    @property
    def size(self) -> int:
        """Return its length in bytes."""
        return len(_HEAD) + self._middle + len(self._tail)

    @property
    def _middle(self) -> int:
        # No comma behind the last one.
        return max(self.records * RECORD - 1, 0)

    def pieces(self, begin: int = 0) -> Iterator[memoryview]:
        """Yield it from a place on, a block at a time at the most."""
        yield memoryview(_HEAD)[begin:]
        block = memoryview(_block())
        place = max(begin - len(_HEAD), 0)
        while place < self._middle:
            piece = block[place % len(block) :][: self._middle - place]
            yield piece
            place += len(piece)
        yield memoryview(self._tail)[max(begin - len(_HEAD) - self._middle, 0) :]


class _Handler(BaseHTTPRequestHandler):
    """Answers `/tweets?records=N&page=1&pages=1&breaks=0`: each answer breaks off after so many bytes, if any."""

    def do_GET(self) -> None:
        asked = {key: int(value) for key, value in parse_qsl(urlsplit(self.path).query)}
        number, pages = asked.get("page", 1), asked.get("pages", 1)
        page = Page(asked["records"], number + 1 if number < pages else None)
        mark, begin = f'"{page.records}-{number}-{pages}"', 0
        if self.headers.get("Range") and self.headers.get("If-Range", mark) == mark:
            begin = int(self.headers["Range"].removeprefix("bytes=").rstrip("-"))
        self.send_response(206 if begin else 200)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{page.size - 1}/{page.size}")
        headers = {"Content-Type": "application/json", "ETag": mark, "Content-Length": str(page.size - begin)}
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()
        left = asked.get("breaks") or page.size
        with suppress(ConnectionError):
            for piece in page.pieces(begin):
                self.wfile.write(piece[:left])
                left -= len(piece)
                if left <= 0:
                    break

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - its name there
        """Keep quiet."""


@contextmanager
def serving() -> Iterator[str]:
    """Serve in another process, on a free port of the loopback address; give the address."""
    command = [sys.executable, "-I", __file__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process.stdout.readline().strip()  # type: ignore[union-attr]
        finally:
            process.terminate()


def main() -> None:
    """Say the address, and serve until whoever started it has ended."""
    _block()
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.daemon_threads = True
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        sys.stdin.read()


if __name__ == "__main__":
    main()
