"""What the views of a live cluster show: `status --watch` and `report`."""
