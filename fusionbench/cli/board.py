"""``fusionbench board``."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command("board", short_help="Turn a folder of results into static pages.")
@click.argument("results", type=click.Path(path_type=Path))
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="Folder of the pages.")
@click.option("--title", default="fusionbench", show_default=True, help="Title of the pages.")
@click.option("--anonymous", is_flag=True, help="Leave out submitters, hosts and commands, for double-blind review.")
@click.option("--json", "as_json", is_flag=True, help="Print where the pages are as JSON.")
def board_command(results: Path, out: Path, title: str, anonymous: bool, as_json: bool) -> None:
    """Write static pages for all results below RESULTS: they open from the folder, without a server.

    Example: fusionbench board quickstart/results -o quickstart/site
    """
    from fusionbench.board import build_board

    index = build_board(results, out, title=title, anonymous=anonymous)
    click.echo(json.dumps({"index": str(index)}) if as_json else str(index))


@click.command("serve", short_help="Look at the pages through a server on this machine.")
@click.argument("site", type=click.Path(path_type=Path))
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="0 takes any free one.")
def serve_command(site: Path, port: int) -> None:
    """Serve the pages in SITE on localhost until Ctrl-C. Nobody else can reach them.

    Example: fusionbench serve site
    """
    from functools import partial
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

    from fusionbench.core.errors import UsageError
    from fusionbench.core.progress import say

    if not (site / "index.html").is_file():
        raise UsageError(f"{site}: has no index.html; make the pages with `fusionbench board RESULTS -o {site}`")
    handler = partial(SimpleHTTPRequestHandler, directory=str(site))
    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    except OSError as error:
        raise UsageError(f"port {port} cannot be used: {error.strerror}; name another one with --port") from error
    click.echo(f"http://127.0.0.1:{server.server_port}/")
    say("Ctrl-C ends it")
    with server:
        server.serve_forever()
