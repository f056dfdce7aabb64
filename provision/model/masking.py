"""Leave secrets out of text that is shown."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from provision.model.finding import Finding

MASK: Final = "***"
LEAST: Final = 8
"""Letters of a value that is looked for in text: a shorter one stands there by chance."""
SECRET_NAME: Final = re.compile(r"(?i)secret|password|passwd|token|credential|access[._-]?key|account[._-]?key")
"""Names of settings whose values are secrets: Spark's own list (spark.redaction.regex), and clouds' words for keys."""
_LOGINS: Final = (
    # user:password@ of a URL; over HTTP, a token too. Spark's own addresses have a name there: spark://Worker@….
    (r"(?<=://)[^/@\s:]*:[^/@\s]+@", rf"{MASK}@"),
    (r"(?i)(?<=http://|ttps://)[^/@\s]+@", rf"{MASK}@"),
)
_PATTERNS: Final = (
    *_LOGINS,
    # A header of HTTP.
    (r"(?i)(\bauthorization\W{1,4}(?:token|bearer|basic)\s+)[^\s'\"]+", rf"\1{MASK}"),
    # name=value, name: value, "name": "value", ?token=value&…
    (r"(?i)(\b[\w.-]{0,64}(?:secret|password|passwd|token)['\"]?\s*[=:]\s*['\"]?)[^\s'\"&,;)\[*]+", rf"\1{MASK}"),
)


def masked(text: str, values: Iterable[str] = ()) -> str:
    """Replace secrets by ***: these `values`, and what text itself calls a password, a token or a secret."""
    for value in sorted({each for each in values if len(each) >= LEAST}, key=len, reverse=True):
        text = text.replace(value, MASK)
    for pattern, instead in _PATTERNS:
        text = re.sub(pattern, instead, text)
    return text


def findings_masked(findings: Iterable[Finding], values: Iterable[str]) -> list[Finding]:
    """Replace secrets in all that findings say: lines of logs are among it."""
    secrets = frozenset(values)
    return [
        replace(
            each,
            where=masked(each.where, secrets),
            wrong=masked(each.wrong, secrets),
            do=masked(each.do, secrets),
            evidence=tuple(masked(line, secrets) for line in each.evidence),
        )
        for each in findings
    ]


def without_logins(text: str) -> str:
    """Replace users and passwords in URLs by ***."""
    for pattern, instead in _LOGINS:
        text = re.sub(pattern, instead, text)
    return text
