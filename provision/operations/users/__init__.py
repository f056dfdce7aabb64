"""The cluster's users: who is there, who comes and goes, and their passwords."""
