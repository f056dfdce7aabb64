"""A bad spec gives one UsageError that names file, line, field, what is wrong and what to do."""

from __future__ import annotations

import pytest

from provision.base.errors import UsageError
from provision.clusterfile import load


@pytest.fixture
def refused(tmp_path):
    """Load a file of this text, and check the error: the line that is named, parts of the message, part of the hint."""

    def check(text, line, parts, hint):
        file = tmp_path / "cluster.yaml"
        file.write_text(text)
        with pytest.raises(UsageError) as caught:
            load(file)
        error = caught.value
        assert error.exit_code == 2
        assert str(file) in error.message
        if line:
            assert f"{file}:{line}:" in error.message
        for part in parts:
            assert part in error.message
        assert hint in error.hint
        return error

    return check
