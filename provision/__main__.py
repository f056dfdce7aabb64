"""`python -m provision` is `provision`."""

from provision.cli.entry import main

main()
