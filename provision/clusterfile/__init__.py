"""The cluster file: reads and checks cluster.yaml, and returns it as frozen data (base/model.py)."""

from __future__ import annotations

from provision.clusterfile.loading import load

__all__ = ["load"]
