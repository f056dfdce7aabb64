"""Errors of the kernel's own that a notebook shows as sentences."""


class Told(Exception):
    """An error that is shown as its sentence alone, without the way that led there."""

    def _render_traceback_(self):
        return [str(self)]
