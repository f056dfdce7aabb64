"""Answers of an API to disk as they arrive: compressed, resumed where they broke off, a page after the other.

Whatever the size of an answer, a few pieces of it are in memory at a time. The marker of the next page, which is
somewhere in the JSON, is found while the bytes pass by, also where it lies across two pieces.
"""

from __future__ import annotations

import gzip
import json
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, cast

import requests

if TYPE_CHECKING:
    from collections.abc import Callable

CHUNK: Final = 1 << 16
TRIES: Final = 5
"""How often in a row a download may break off without a byte of progress."""


class DownloadError(Exception):
    """A download cannot go on."""


@dataclass(frozen=True)
class Saved:
    """What was written."""

    path: Path
    bytes: int
    """Of the answer, before they were compressed."""
    found: str | None = None
    """The value of the field that was looked for."""


def _passed_over(depth: int) -> bytes:
    """Return a pattern for any JSON in which each bracket that opens closes, `depth` of them around each other."""
    plain = rb'[^"{}\[\]]++|"(?:[^"\\]++|\\.)*+"'
    if not depth:
        return rb"(?:%b)*+" % plain
    inner = _passed_over(depth - 1)
    return rb"(?:%b|\{%b\}|\[%b\])*+" % (plain, inner, inner)


class FieldFinder:
    """Finds the value of a field in JSON that comes in pieces, as `paging.next`, without keeping more than a value.

    It knows where in the document it is: neither the same name elsewhere, nor the same letters in a string, are taken
    for the field. Values are strings, numbers, booleans or null; the last one counts.
    """

    def __init__(self, path: str, limit: int = 1 << 16) -> None:
        self.value: str | None = None
        self._path = path.split(".")
        self._limit = limit
        self._above: list[str | None] = []
        """The keys that lead to the object that it is in; None for what is in a list."""
        self._near = False
        """Whether the field, or what it is in, may be here."""
        self._in_string = False
        self._escaped = False
        self._token = bytearray()
        self._key: str | None = None
        self._began = False

    # Most of a piece is passed over in one go. Where the field cannot be, whole objects and lists are; a bracket whose
    # other one is not in this piece, or that has too many others in it, ends that. Elsewhere it goes up to the next
    # letter that means something. (++ and *+ do not try again, and so need no memory for it.)
    _FAR: Final = re.compile(_passed_over(depth=3), re.DOTALL)
    _NEAR: Final = re.compile(rb'[^{}\[\]",:]*+')
    _STRING: Final = re.compile(rb'[^"\\]*+')

    def feed(self, piece: bytes) -> None:
        """Look at the next piece. Raises DownloadError when it is no JSON."""
        place = 0
        while place < len(piece):
            if self._in_string:
                place = self._go_through_string(piece, place)
                continue
            pattern = self._NEAR if self._near or not self._above else self._FAR
            end = pattern.match(piece, place).end()  # type: ignore[union-attr]
            self._keep(piece[place:end])
            if end < len(piece):
                self._mark(piece[end : end + 1])
            place = end + 1

    def end(self) -> None:
        """Say that there is no more. Raises DownloadError when the JSON is not whole."""
        if self._above or self._in_string or not self._began:
            raise DownloadError("the answer ends before its JSON does")

    def _go_through_string(self, piece: bytes, place: int) -> int:
        """Go to the end of a string, or of the piece; return the place behind it."""
        if self._escaped:
            self._keep(piece[place : place + 1])
            self._escaped = False
            return place + 1
        end = self._STRING.match(piece, place).end() + 1  # type: ignore[union-attr]
        self._keep(piece[place:end])
        last = piece[end - 1 : end]
        if end <= len(piece):
            self._escaped, self._in_string = last == b"\\", last != b'"'
        return end

    def _mark(self, letter: bytes) -> None:
        match letter:
            case b'"':
                self._in_string = True
                self._keep(letter)
            case b"{" | b"[":
                self._enter(self._key if self._above else "", letter)
            case b":":
                self._key = str(_decoded(self._token))
                self._token.clear()
            case _:
                self._end_value()
                if letter != b",":
                    self._leave()

    def _enter(self, key: str | None, letter: bytes) -> None:
        self._began = True
        self._above.append(key if letter == b"{" else None)
        self._look_around()

    def _leave(self) -> None:
        if not self._above:
            raise DownloadError("the answer is no JSON: a bracket too many")
        self._above.pop()
        self._look_around()

    def _look_around(self) -> None:
        above = self._above[1:]
        self._near = bool(self._above) and None not in self._above[:1] and above == self._path[: len(above)]
        self._token.clear()
        self._key = None

    def _end_value(self) -> None:
        if self._near and self._key is not None and self._token.strip() and self._is_it(self._key):
            value = _decoded(self._token)
            self.value = None if value is None else str(value)
        self._token.clear()
        self._key = None

    def _is_it(self, key: str) -> bool:
        return [*self._above[1:], key] == self._path

    def _keep(self, text: bytes) -> None:
        if self._near and (self._key is None or self._is_it(self._key)):
            if len(self._token) + len(text) > self._limit:
                raise DownloadError(
                    f"a key, or the value of {'.'.join(self._path)}, is longer than {self._limit} bytes"
                )
            self._token += text


def _decoded(token: bytearray) -> Any:
    try:
        return json.loads(token.strip())
    except ValueError:
        raise DownloadError(f"the answer is no JSON: {bytes(token[:60])!r}") from None


def save(
    url: str,
    path: Path,
    *,
    field: str = "",
    session: requests.Session | None = None,
    watch: Callable[[int, int], None] | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Saved:
    """Save an answer as it arrives, and the value of a `field` of it. The name says how: `.gz`, `.zst`, or as it is.

    A connection that breaks off is taken up where it ended, if the server can (Range) and the answer is still the same
    (ETag, or its time). Else it is begun anew. The file has its name once it is whole. Headers and credentials, and
    which statuses are tried again (`urllib3.Retry`), are the `session`'s. Raises DownloadError.
    """
    session = session or requests.Session()
    finder = FieldFinder(field)
    part = path.with_name(path.name + ".part")
    done = furthest = failures = 0
    mark = ""
    out = _open(part)
    try:
        while True:
            try:
                with _ask(session, url, done, mark) as answer:
                    if done and answer.status_code != requests.codes.partial_content:
                        # It cannot be gone on with: from the beginning.
                        out.close()
                        out, done, finder = _open(part), 0, FieldFinder(field)
                    mark, whole = _mark(answer), _whole(answer, done)
                    for piece in answer.iter_content(CHUNK):
                        out.write(piece)
                        if field:
                            finder.feed(piece)
                        done += len(piece)
                        if watch:
                            watch(done, whole)
                if field:
                    finder.end()
                break
            except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
                failures = 0 if done > furthest else failures + 1
                furthest = max(done, furthest)
                if failures >= TRIES:
                    raise DownloadError(f"{url} broke off {TRIES} times: {error}") from None
                sleep(min(2**failures, 30))
            except requests.RequestException as error:
                raise DownloadError(f"{url}: {error}") from None
        out.close()
        part.replace(path)
    finally:
        # What is begun is of no use; a full disk may not even let it be closed.
        with suppress(OSError):
            out.close()
        part.unlink(missing_ok=True)
    return Saved(path, done, finder.value)


def _ask(session: requests.Session, url: str, done: int, mark: str) -> requests.Response:
    # Not compressed on its way: places in it are places in what is written.
    asked = {"Accept-Encoding": "identity"}
    if done and mark:
        asked |= {"Range": f"bytes={done}-", "If-Range": mark}
    answer = session.get(url, headers=asked, stream=True, timeout=60)
    if answer.status_code == requests.codes.requested_range_not_satisfiable and done:
        answer.close()
        return _ask(session, url, 0, "")
    going_on = answer.status_code == requests.codes.partial_content
    if answer.ok and (not going_on or answer.headers.get("Content-Range", "").startswith(f"bytes {done}-")):
        return answer
    with answer:
        raise DownloadError(f"{url} answered {answer.status_code}{' from another place' if going_on else ''}")


def _mark(answer: requests.Response) -> str:
    """Return by what the server knows whether its answer is still the same; "" where it cannot be gone on with."""
    mark = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
    return "" if _is_encoded(answer) or mark.startswith("W/") else mark


def _is_encoded(answer: requests.Response) -> bool:
    """Whether the server compressed all the same: its places and length are not those of what is written then."""
    return answer.headers.get("Content-Encoding", "identity") != "identity"


def _whole(answer: requests.Response, done: int) -> int:
    if _is_encoded(answer):
        return 0
    length = answer.headers.get("Content-Length", "")
    return done + int(length) if length.isdecimal() else 0


def _open(path: Path) -> IO[bytes]:
    """Open a file for writing, compressed as the name without `.part` says."""
    suffix = Path(path.stem).suffix
    if suffix == ".gz":
        return cast("IO[bytes]", gzip.open(path, "wb", compresslevel=3))
    if suffix == ".zst":
        import zstandard

        return cast("IO[bytes]", zstandard.open(path, "wb"))
    return path.open("wb")


def save_pages(
    first: str,
    folder: Path,
    *,
    field: str,
    next_url: Callable[[str], str],
    suffix: str = ".json.gz",
    limit: int = 10_000,
    **options: Any,
) -> list[Saved]:
    """Save page after page into a folder, as `page-00001` and so on, until one has no `field` or null in it.

    `next_url` makes the next page's address of the field's value. Raises DownloadError, also for a marker that comes
    again, and beyond `limit` pages.
    """
    folder.mkdir(parents=True, exist_ok=True)
    saved: list[Saved] = []
    seen: set[str] = set()
    url = first
    while True:
        page = save(url, folder / f"page-{len(saved) + 1:05}{suffix}", field=field, **options)
        saved.append(page)
        if page.found is None:
            return saved
        if page.found in seen or len(saved) >= limit:
            raise DownloadError(f"{field} {page.found!r} came again, or there are more than {limit} pages")
        seen.add(page.found)
        url = next_url(page.found)


class Bar:
    """A progress bar in a terminal or a notebook: a line that is written anew, a few times a second at the most."""

    def __init__(self, out: IO[str], clock: Callable[[], float] = time.monotonic) -> None:
        self._out = out
        self._clock = clock
        self._began = clock()
        self._shown = float("-inf")

    def __call__(self, done: int, whole: int) -> None:
        """Show how far it is."""
        now = self._clock()
        ended = bool(whole) and done >= whole
        if now - self._shown < 0.3 and not ended:
            return
        self._shown = now
        rate = done / max(now - self._began, 1e-3)
        share = f"[{'#' * (20 * done // whole):20}] {100 * done // whole:3} %, " if whole else ""
        self._out.write(f"\r{share}{done / 1e6:.1f} MB, {rate / 1e6:.1f} MB/s" + ("\n" if ended else ""))
        with suppress(OSError):
            self._out.flush()
