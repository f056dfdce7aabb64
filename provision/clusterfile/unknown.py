"""Fields that are not there: the one that was meant, or where a secret goes instead."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Final, get_args

from pydantic import BaseModel

from provision.clusterfile.document import Path, Problem
from provision.clusterfile.models import ClusterModel

if TYPE_CHECKING:
    from collections.abc import Iterator

_SECRET: Final = re.compile(r"secret|passw(or)?d|token|credential", re.IGNORECASE)
_SURE: Final = 0.9
"""Likeness of names of which one is the other, mistyped: below it `password` would be `must_change_password`."""
_OIDC: Final = "Write `client_secret_file: FILE`, beside this file, or `client_secret_env: VARIABLE` of the environment"
_LDAP: Final = "Write `bind_password_file: FILE`, beside this file, or `bind_password_env: VARIABLE` of the environment"
_SECRETS: Final[dict[Path, str]] = {
    ("hub", "login", "oidc"): f"{_OIDC}.",
    ("hub", "login", "ldap"): f"{_LDAP}.",
    ("hub", "login"): "What the Hub shows to a login server is in files, or in the environment: see "
    "`oidc.client_secret_file` and `ldap.bind_password_file`.",
    ("hub",): "Remove it: `up` makes a first password for each user, and `provision users passwd` sets another.",
}


def problem(where: Path) -> Problem:
    """Say what to write instead of a field that there is not."""
    known, name = list(_fields(where[:-1])), str(where[-1])
    sure = difflib.get_close_matches(name, known, n=1, cutoff=_SURE)
    if _SECRET.search(name) and not sure:
        return Problem(where, "there is no such field: a spec holds no secrets", _instead(where))
    near = sure or difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    fix = f"Did you mean `{near[0]}`?" if near else f"Fields here are: {', '.join(known)}."
    return Problem(where, "there is no such field", fix)


def _instead(where: Path) -> str:
    for length in range(len(where), 0, -1):
        if where[:length] in _SECRETS:
            return _SECRETS[where[:length]]
    return "Remove it: passwords and keys are made by `up`, and those of a cloud are in clouds.yaml."


def _fields(where: Path) -> Iterator[str]:
    model: type[BaseModel] = ClusterModel
    for part in where:
        if isinstance(part, int):
            continue
        model = _model_in(model.model_fields[part].annotation)
    yield from model.model_fields


def _model_in(annotation: object) -> type[BaseModel]:
    """Find the model inside `Model`, `Model | None` or `list[Annotated[Model, …]]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inside in get_args(annotation):
        try:
            return _model_in(inside)
        except LookupError:
            continue
    raise LookupError(annotation)
