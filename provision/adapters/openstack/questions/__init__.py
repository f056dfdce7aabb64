"""Questions to a cloud about one thing each; reads.py has those about a whole cluster."""
