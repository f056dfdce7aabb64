"""The commands that show what goes on in a cluster: `logs`, `status --watch` and `report`."""
