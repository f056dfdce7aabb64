"""note_migrated.py FAMILY INPUTS: write into the database in DATABASE_URL with which inputs a family was migrated."""

import os
import sys
from urllib.parse import urlsplit

import pymysql

family, inputs = sys.argv[1:]
parts = urlsplit(os.environ["DATABASE_URL"])
with pymysql.connect(host=parts.hostname, user=parts.username, password=parts.password, database="provision") as db:
    with db.cursor() as cursor:
        cursor.execute("REPLACE INTO migrated VALUES (%s, %s)", (family, inputs))
    db.commit()
