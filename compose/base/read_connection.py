"""read_connection.py FILE SECTION: print the database URL in a configuration file of an OpenStack service."""

import configparser
import sys

parser = configparser.RawConfigParser(strict=False, interpolation=None)
parser.read(sys.argv[1])
print(parser.get(sys.argv[2], "connection"))
