"""A page of Horizon for its administrators: what monitoring sees of the cloud, and which alerts fire."""
