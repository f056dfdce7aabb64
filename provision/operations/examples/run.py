"""The examples: read from this installation, brought to a cluster's master, and run there as a notebook user."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from provision.base import paths
from provision.base.constants import NODE
from provision.base.errors import UsageError
from provision.model.data.places import UserPath
from provision.model.examples.notebooks import read, to_json
from provision.operations.data.transfer import claim, compare, sync
from provision.operations.jobs.submit import Submission, submit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from provision.adapters.remote import Remote
    from provision.base.model import PackagesSpec
    from provision.base.progress import Progress
    from provision.model.examples.notebooks import Example
    from provision.operations.data.transfer import Transferred
    from provision.operations.jobs.submit import Job

RUNNER: Final = "run_notebook.py"
HELPERS: Final = "provision_data"


def examples() -> dict[str, Example]:
    """Return the examples of this installation by name."""
    found = [read(path.stem, path.read_text(encoding="utf-8")) for path in sorted(paths.EXAMPLES.glob("*.py"))]
    return {example.name: example for example in found if example}


def choose(names: Sequence[str]) -> list[Example]:
    """Return the examples of these names, all of them for none. Raises UsageError for a name that there is not."""
    known = examples()
    for name in names:
        if name not in known:
            raise UsageError(f"there is no example {name!r}", f"There are: {', '.join(known)}.")
    return [known[name] for name in dict.fromkeys(names or known)]


def missing_packages(example: Example, packages: PackagesSpec) -> list[str]:
    """Return what an example needs and a cluster's spec does not name."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    lines = [*packages.requirements, *(wheel.name for wheel in packages.wheels)]
    named = {canonicalize_name(Requirement(line).name) for line in lines}
    return [name for name in example.packages if canonicalize_name(name) not in named]


def bring(remote: Remote, progress: Progress, *, user: str = "root", folder: str = NODE.examples) -> Transferred:
    """Have the examples as notebooks, with their helpers, on the master: root's, for everybody to read and copy.

    Another `user` and `folder` in tests only. Raises UsageError when the folder is somebody else's.
    """
    place = UserPath(user, folder)
    with tempfile.TemporaryDirectory() as made:
        local = Path(made)
        _write(local)
        claim(remote, place)
        found = compare(remote, local, place, upload=True, checksum=True)
        return sync(remote, local, place, found, progress, upload=True, delete=True)


def _write(folder: Path) -> None:
    for name, example in examples().items():
        text = json.dumps(to_json(example), indent=1, ensure_ascii=False) + "\n"
        (folder / f"{name}.ipynb").write_text(text, encoding="utf-8")
    shutil.copy(paths.EXAMPLES / RUNNER, folder)
    shutil.copytree(paths.EXAMPLES / HELPERS, folder / HELPERS, ignore=shutil.ignore_patterns("__pycache__"))
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)


def run(
    remote: Remote,
    example: Example,
    *,
    parameters: Mapping[str, Any],
    user: str,
    limits: Mapping[str, str],
    told: Callable[[str], None],
    page: IO[bytes],
    errors: IO[bytes],
) -> Job:
    """Run an example that was brought, as a job of `user`; return the job when it has ended.

    Its page with the outputs goes to `page`, the times of its cells and its error to `errors`. Raises as `submit`.
    """
    program = Submission(
        script=paths.EXAMPLES / RUNNER,
        user=user,
        arguments=(f"{NODE.examples}/{example.name}.ipynb", "--parameters", json.dumps(dict(parameters))),
        runner=(f"{NODE.venv}/bin/python",),
        name=example.name,
    )
    job = submit(remote, program, limits, told, (page, errors))
    if job is None:
        raise AssertionError("a job with an output is waited for")
    return job
