"""Nova's databases lose what was deleted long ago, with its secrets: Nova's own schema in a MariaDB of the tests."""

from __future__ import annotations

import pytest

from .members import FAMILIES, LIMIT, Members
from .world import until

# Nova's image and schema take minutes, for what changes seldom.
pytestmark = [pytest.mark.integration, pytest.mark.acceptance]

ROWS = """
INSERT INTO nova.instances (uuid, user_data, deleted, deleted_at) VALUES
    ('old', 'U0VDUkVU', 1, NOW() - INTERVAL 40 DAY), ('new', 'U0VDUkVU', 2, NOW()), ('live', 'U0VDUkVU', 0, NULL);
INSERT INTO nova_api.instance_mappings (instance_uuid, project_id) VALUES ('old', 'p'), ('new', 'p'), ('live', 'p');
"""


@pytest.fixture
def cloud(tmp_path):
    made = Members(tmp_path, (*FAMILIES, "nova"), ha=False)
    try:
        made.up("mariadb")
        until(lambda: made.sql("mariadb", "SELECT 1 FROM provision.migrated") is not None, LIMIT, "its accounts")
        yield made
    finally:
        made.close()


def test_a_server_that_was_deleted_long_ago_is_forgotten(cloud):
    cloud.compose.run_once("nova-migrate", "migrate")
    assert cloud.sql("mariadb", ROWS) == []
    # The second time there is nothing to do, which is no error either.
    for _ in range(2):
        cloud.compose.run_once("nova-migrate", "forget")
        assert cloud.sql("mariadb", "SELECT uuid FROM nova.instances ORDER BY id") == ["new", "live"]
        assert cloud.sql("mariadb", "SELECT COUNT(*) FROM nova.shadow_instances") == ["0"]
        mapped = cloud.sql("mariadb", "SELECT instance_uuid FROM nova_api.instance_mappings ORDER BY id")
        assert mapped == ["new", "live"]
