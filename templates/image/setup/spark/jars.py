"""Change what is in a jar of Spark's."""

import zipfile
from pathlib import Path


def rewrite(jar: Path, changes, more=()) -> None:
    """Write `jar` anew, in one step: `changes` are functions from bytes to bytes by name, `more` pairs of a name and bytes.

    An installation that was interrupted does so once more.
    """
    new = jar.with_suffix(".new")
    with zipfile.ZipFile(jar) as old, zipfile.ZipFile(new, "w", zipfile.ZIP_DEFLATED) as out:
        for entry in old.infolist():
            if entry.filename in dict(more):
                continue
            content = old.read(entry)
            change = changes.get(entry.filename)
            out.writestr(entry, change(content) if change else content)
        for name, content in more:
            out.writestr(name, content)
    new.chmod(jar.stat().st_mode)
    new.replace(jar)
