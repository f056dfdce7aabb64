"""People's data: whose a path is, what a `sync` transfers, what a backup holds."""
