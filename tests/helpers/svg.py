"""What stands in a chart of the pages."""

from __future__ import annotations

import xml.etree.ElementTree as ET


def circles(svg: str) -> list[tuple[float, float]]:
    """Centres of the points, without the legend below the chart."""
    root = ET.fromstring(svg.partition("<ul")[0])
    return [(float(c.get("cx", "")), float(c.get("cy", ""))) for c in root.iter("circle")]
