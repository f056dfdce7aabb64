"""Print how many networks the database in DATABASE_URL, Neutron's, knows."""

import os
from urllib.parse import urlsplit

import pymysql

parts = urlsplit(os.environ["DATABASE_URL"])
name = parts.path.removeprefix("/")
with (
    pymysql.connect(host=parts.hostname, user=parts.username, password=parts.password, database=name) as db,
    db.cursor() as cursor,
):
    cursor.execute("SELECT COUNT(*) FROM networks")
    print(*cursor.fetchone())
