"""A word cloud: words in sizes that say how often they come, beside each other, with matplotlib alone."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Box = tuple[float, float, float, float]
"""Left, bottom, width, height."""


def place(sizes: Sequence[tuple[float, float]], width: float, height: float) -> list[Box | None]:
    """Return a box for each (width, height), as near to the middle as it is free; None where there is no room left.

    The first ones get the best places.
    """
    taken: list[Box] = []
    boxes: list[Box | None] = []
    for wide, high in sizes:
        box = _first_free(wide, high, width, height, taken)
        boxes.append(box)
        if box is not None:
            taken.append(box)
    return boxes


def _first_free(wide: float, high: float, width: float, height: float, taken: Sequence[Box]) -> Box | None:
    """Walk along a spiral from the middle, as wide as the picture is, until a box is free."""
    angle = 0.0
    while angle < 60 * math.pi:
        radius = angle / (60 * math.pi)
        left = width / 2 * (1 + radius * math.cos(angle)) - wide / 2
        bottom = height / 2 * (1 + radius * math.sin(angle)) - high / 2
        inside = left >= 0 and bottom >= 0 and left + wide <= width and bottom + high <= height
        if inside and not any(
            left < x + w and x < left + wide and bottom < y + h and y < bottom + high for x, y, w, h in taken
        ):
            return left, bottom, wide, high
        angle += 0.3 / (0.3 + radius)
    return None


def draw(counts: Mapping[str, int], words: int = 60) -> Any:
    """Draw the words that come most often, and return the figure."""
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(10, 5.5))
    width, height = figure.bbox.width, figure.bbox.height
    # Its points are pixels; a notebook shows no figure without axes.
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(0, height))
    axes.set_axis_off()
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:words]
    most = ranked[0][1]
    colors = plt.colormaps["viridis"]
    texts = []
    for rank, (word, count) in enumerate(ranked):
        size = 9 + 37 * math.sqrt(count / most) ** 1.5
        texts.append(axes.text(0, 0, word, fontsize=size, color=colors(0.85 * rank / len(ranked))))
    extents = [text.get_window_extent() for text in texts]
    margin = 4
    boxes = place([(each.width + margin, each.height + margin) for each in extents], width, height)
    for text, extent, box in zip(texts, extents, boxes, strict=True):
        if box is None:
            text.remove()
        else:
            # What is below the line, as in a g, belongs to the box too.
            text.set_position((box[0] + margin / 2 - extent.x0, box[1] + margin / 2 - extent.y0))
    return figure
