"""Monitoring: what dashboards and alerts are made of, what the store of metrics answers, and how it is shown."""
