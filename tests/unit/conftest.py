"""What all unit tests share."""

from __future__ import annotations

from hypothesis import settings

# A busy machine makes no example fail: timings are measured in tests/benchmarks.
settings.register_profile("provision", deadline=None)
settings.load_profile("provision")
