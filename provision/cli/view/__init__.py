"""The commands that show what goes on in a cluster: `logs`, `status --watch`, `report`, `doctor` and `tunnel`."""
