"""Draws the rooms of fusionbench and the imports between them, as docs/images/architecture.svg.

    python tools/draw_architecture.py            # writes the figure and docs/images/architecture.json, its numbers
    python tools/draw_architecture.py --check    # exit code 1 where rooms or arrows changed since the figure was drawn

The order of the rooms is that of the contract in .importlinter; the imports are read from the code, those inside
functions too. A number on an arrow is the number of pairs of modules, one of which imports the other.
"""

from __future__ import annotations

import argparse
import configparser
import json
import sys
from pathlib import Path
from typing import Any

import grimp

ROOT = Path(__file__).resolve().parents[1]
FIGURE = Path("docs/images/architecture.svg")
NUMBERS = Path("docs/images/architecture.json")
LARGEST_CHANGE = 1.5  # of the modules of a room, before a figure counts as out of date
PURPOSES = {
    "core": "errors, files, images, registries, types, workers",
    "synth": "integer functions: masks, noise, crops, overlays",
    "sources": "upstream images, one file per data set",
    "data": "recipes, build, shards, streams",
    "metrics": "one metric per file, dialects",
    "results": "schema, bootstrap, comparison, gate",
    "models": "vae, pairs, classical, trivial",
    "training": "loop, schedule, checkpoints, devices",
    "evaluation": "protocols, suites, image folders",
    "submissions": "pack, check, accept, sandbox",
    "board": "results folder → static pages",
    "cli": "one file per group of verbs",
}
COLOURS = (
    "#4e79a7",
    "#f28e2b",
    "#59a14f",
    "#e15759",
    "#76b7b2",
    "#9c755f",
    "#b07aa1",
    "#bab000",
    "#2f6f4f",
    "#5b5bd6",
)  # of the importing room, in turn


def rooms_in_order(config: Path, package: str) -> list[str]:
    """The layers of the contract `rooms`, lowest first."""
    parser = configparser.ConfigParser()
    parser.read(config, encoding="utf-8")
    layers = parser["importlinter:contract:rooms"]["layers"].split()
    return [layer.removeprefix(f"{package}.") for layer in reversed(layers)]


def measure(rooms: list[str], package: str, folder: Path) -> dict[str, Any]:
    """Modules and lines of every room, and how many pairs of modules of two rooms import each other.

    ``folder`` is that of the package, whose parent has to be on ``sys.path``.
    """
    graph = grimp.build_graph(package, cache_dir=None, exclude_type_checking_imports=False)
    members = {room: {f"{package}.{room}", *graph.find_descendants(f"{package}.{room}")} for room in rooms}
    sizes = {}
    for room in rooms:
        files = sorted((folder / room).glob("**/*.py"))
        sizes[room] = {
            "modules": len(files),
            "lines": sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files),
        }
    imports: dict[str, dict[str, int]] = {}
    for importer in rooms:
        found = [graph.find_modules_directly_imported_by(module) for module in sorted(members[importer])]
        counts = {room: sum(len(each & members[room]) for each in found) for room in rooms if room != importer}
        imports[importer] = {room: count for room, count in counts.items() if count}
    return {"rooms": sizes, "imports": imports}


def changes(drawn: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Why a figure is out of date: other rooms, other arrows, or a room that is of another size by far."""
    if list(drawn["rooms"]) != list(now["rooms"]):
        return [f"the rooms were {', '.join(drawn['rooms'])} and are {', '.join(now['rooms'])}"]
    found = []
    for room, size in now["rooms"].items():
        few, many = sorted((size["modules"], drawn["rooms"][room]["modules"]))
        if many > LARGEST_CHANGE * few:
            found.append(f"{room} had {drawn['rooms'][room]['modules']} modules and has {size['modules']}")
        gone = sorted(drawn["imports"][room].keys() - now["imports"][room].keys())
        new = sorted(now["imports"][room].keys() - drawn["imports"][room].keys())
        found += [f"{room} no longer imports {other}" for other in gone] + [f"{room} imports {other}" for other in new]
    return found


def draw(numbers: dict[str, Any], path: Path) -> None:
    """Write the figure: rooms below each other, every arrow from the importing room up to the imported one."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib.figure import Figure
    from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
    from matplotlib.path import Path as Curve

    rooms = list(numbers["rooms"])
    step, height, right = 1.0, 0.66, 6.1
    with matplotlib.rc_context({"svg.hashsalt": "fusionbench", "font.family": "DejaVu Sans"}):
        figure = Figure(figsize=(10.4, 8.9), facecolor="white")
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.set_xlim(-0.2, 14.1)
        axes.set_ylim(len(rooms) * step - 0.5, -0.8)
        largest = max(count for row in numbers["imports"].values() for count in row.values())
        for i, importer in enumerate(rooms):
            colour = COLOURS[i % len(COLOURS)]
            for imported, count in numbers["imports"][importer].items():
                j = rooms.index(imported)
                # each pair of rooms has its own middle and reach, so that no two numbers lie on one another
                middle, reach = (i + j) / 2 * step, right + 0.30 + 0.64 * abs(i - j)
                begin, end = (right, i * step - 0.12), (right + 0.02, j * step + 0.12)
                control = reach + (reach - right) / 3  # a cubic curve reaches 3/4 of the way to its control points
                curve = Curve(
                    [begin, (control, begin[1]), (control, end[1]), end],
                    [Curve.MOVETO, Curve.CURVE4, Curve.CURVE4, Curve.CURVE4],
                )
                width = 0.5 + 3.5 * count / largest
                arrow = FancyArrowPatch(
                    path=curve, arrowstyle="-|>", mutation_scale=8, lw=width, color=colour, alpha=0.55, zorder=1
                )
                axes.add_patch(arrow)
                axes.text(
                    *(reach, middle), str(count), ha="center", va="center", fontsize=8.5, color="black", zorder=3,
                    bbox={"boxstyle": "round,pad=0.16", "fc": "white", "ec": colour, "lw": 0.8},
                )  # fmt: skip
        for i, room in enumerate(rooms):
            top = i * step - height / 2
            shape = FancyBboxPatch(
                (0, top), right, height, boxstyle="round,pad=0,rounding_size=0.12", fc="#f4f6f8", ec="#37474f", zorder=2
            )
            axes.add_patch(shape)
            size = numbers["rooms"][room]
            axes.text(0.16, i * step - 0.13, room, fontsize=12, fontweight="bold", va="center", zorder=4)
            axes.text(
                *(right - 0.16, i * step - 0.13), f"{size['modules']} modules, {size['lines']:,} lines", fontsize=9,
                ha="right", va="center", color="#37474f", zorder=4,
            )  # fmt: skip
            axes.text(0.16, i * step + 0.17, PURPOSES.get(room, ""), fontsize=9, va="center", color="#37474f", zorder=4)
        axes.text(0, -0.55, "Rooms, lowest first", fontsize=9.5, color="#37474f")
        axes.text(
            right + 0.1,
            -0.55,
            "arrows: imports, which point upwards only; numbers: pairs of modules",
            fontsize=9.5,
            color="#37474f",
        )
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Draw docs/images/architecture.svg from the imports.")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit code 1 when the figure is out of date"
    )
    check = parser.parse_args(arguments).check
    sys.path.insert(0, str(ROOT))
    now = measure(rooms_in_order(ROOT / ".importlinter", "fusionbench"), "fusionbench", ROOT / "fusionbench")
    if check:
        found = changes(json.loads((ROOT / NUMBERS).read_text(encoding="utf-8")), now)
        for line in found:
            print(f"{NUMBERS}: {line}; run python tools/draw_architecture.py", file=sys.stderr)
        return int(bool(found))
    (ROOT / NUMBERS).write_text(json.dumps(now, indent=1) + "\n", encoding="utf-8")
    draw(now, ROOT / FIGURE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
