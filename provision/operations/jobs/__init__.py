"""Programs that run on a cluster without a notebook: submitted, listed, read, ended."""
