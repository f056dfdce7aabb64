"""`python -m provision` is `provision`."""

from provision.cli.main import main

main()
