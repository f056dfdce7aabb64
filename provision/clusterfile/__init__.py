"""Layer 1, the cluster file: what a user writes in cluster.yaml, checked at the edge and handed on as frozen data."""

from __future__ import annotations

from provision.clusterfile.loading import load

__all__ = ["load"]
