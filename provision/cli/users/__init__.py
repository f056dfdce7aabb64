"""`provision users`: who may use the cluster's notebooks."""
