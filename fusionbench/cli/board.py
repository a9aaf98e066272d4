"""``fusionbench board``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fusionbench.cli.options import json_option, out_option
from fusionbench.core.errors import RejectedError, UsageError

if TYPE_CHECKING:
    from fusionbench.board.remade_pictures import PicturesAgain

_PATH = click.Path(path_type=Path)
_SHOWN = 50  # problems that are printed


@click.command("board", short_help="Turn a folder of results into static pages, or check such pages.")
@click.argument("results", type=_PATH)
@out_option("Folder of the pages.")
@click.option("--title", default="fusionbench", show_default=True, help="Title of the pages.")
@click.option("--anonymous", is_flag=True, help="Leave out submitters, hosts and commands, for double-blind review.")
@click.option("--strict", is_flag=True, help="Refuse all when one result is damaged, instead of setting it aside.")
@click.option(
    "--study", type=_PATH, help="Show which metrics agree with people. [default: RESULTS/study.json, if there]"
)
@click.option(
    "--pictures-from",
    "places",
    metavar="DIR",
    type=_PATH,
    multiple=True,
    help="Fuse pairs again for the pages of single images: a folder of pairs, data sets, weights. Repeatable.",
)
@click.option("--most-pictures", type=click.IntRange(1, 1000), metavar="N", help="Pairs of each benchmark [12].")
@click.option(
    "--private-pictures",
    is_flag=True,
    help="Also pictures of sources that may not be passed on, for pages that stay with you.",
)
@click.option("--sign", "key", metavar="KEY", type=_PATH, help="Sign the index of the pages with KEY (PEM).")
@click.option("--verify", "site", metavar="SITE", type=_PATH, help="Check the pages in SITE instead: exit code 1.")
@click.option("--signer", metavar="PUBLIC_KEY", type=_PATH, help="With --verify: the key that must have signed.")
@json_option("Print where the pages are, or what is wrong, as JSON.")
def board_command(
    results: Path,
    out: Path | None,
    title: str,
    anonymous: bool,
    strict: bool,
    study: Path | None,
    places: tuple[Path, ...],
    most_pictures: int | None,
    private_pictures: bool,
    key: Path | None,
    site: Path | None,
    signer: Path | None,
    as_json: bool,
) -> None:
    """Write static pages for all results below RESULTS: they open from the folder, without a server.

    A result that is damaged, states a mean that its per-image table does not give, or was measured on other images than
    the others is set aside and listed, on the pages and on stderr. board-index.json has the digests of everything.

    Example: fusionbench board quickstart/results -o quickstart/site

    With --pictures-from the pages show pictures of pairs, where none is kept beside the results: the methods that need
    no training here fuse them again, and a picture is shown where its scores are those of the result. They are kept in
    SITE-pictures, for the next time.

    Example: fusionbench board results -o site --pictures-from data

    With --verify the pages in SITE are compared with their index and with what RESULTS gives now.

    Example: fusionbench board quickstart/results --verify quickstart/site
    """
    if (out is None) == (site is None):
        raise UsageError("board needs either -o FOLDER, to write pages, or --verify SITE, to check them")
    pictures = None
    if places:
        from fusionbench.board.remade_pictures import MOST, PicturesAgain

        pictures = PicturesAgain(places, private_pictures, most_pictures or MOST)
    elif private_pictures or most_pictures is not None:
        raise UsageError("--private-pictures and --most-pictures belong to --pictures-from DIR, which names the data")
    if site is not None:
        if key is not None or strict or anonymous:
            raise UsageError("--sign, --strict and --anonymous belong to -o; --verify finds in the index what was used")
        return _verify(results, site, signer, study, pictures, as_json)
    if signer is not None:
        raise UsageError("--signer belongs to --verify; to sign use --sign KEY")
    assert out is not None
    from fusionbench.board import build_board
    from fusionbench.board.site_index import read_index
    from fusionbench.core.progress import say

    how: dict[str, Any] = {"anonymous": anonymous, "strict": strict, "key": key, "study": study, "pictures": pictures}
    page = build_board(results, out, title=title, **how)
    aside = read_index(out)[0].set_aside
    if as_json:
        found = [{"file": one.file, "reason": one.reason} for one in aside]
        click.echo(json.dumps({"index": str(page), "set_aside": found}, ensure_ascii=False))
    else:
        click.echo(str(page))
    if aside:
        say(f"{len(aside)} set aside and listed on the first page; --strict refuses them")


def _verify(
    results: Path,
    site: Path,
    signer: Path | None,
    study: Path | None,
    pictures: PicturesAgain | None,
    as_json: bool,
) -> None:
    from fusionbench.board.verify import verify_board

    report = verify_board(results, site, signer, study, pictures)
    if as_json:
        click.echo(json.dumps(report.as_json(), ensure_ascii=False))
    else:
        for problem in report.problems[:_SHOWN]:
            click.echo(str(problem))
        if len(report.problems) > _SHOWN:
            click.echo(f"and {len(report.problems) - _SHOWN} more; --json lists all")
        if report.ok:
            click.echo(
                f"{report.results} results, {report.files} files: every digest and every number as the results give"
            )
        if report.signer is not None:
            click.echo(f"  signed by key {report.signer}")
        for remark in report.remarks:
            click.echo(f"  {remark}")
    if not report.ok:
        many = "1 problem" if len(report.problems) == 1 else f"{len(report.problems)} problems"
        raise RejectedError(f"{site}: {many}; these pages are not what {results} gives")


@click.command("serve", short_help="Look at the pages through a server on this machine.")
@click.argument("site", type=click.Path(path_type=Path))
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="0 takes any free one.")
@json_option("Print the address as an object before serving.")
def serve_command(site: Path, port: int, as_json: bool) -> None:
    """Serve the pages in SITE on localhost until Ctrl-C. Nobody else can reach them.

    Example: fusionbench serve site
    """
    from functools import partial
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

    from fusionbench.core.progress import say

    if not (site / "index.html").is_file():
        raise UsageError(f"{site}: has no index.html; make the pages with `fusionbench board RESULTS -o {site}`")
    handler = partial(SimpleHTTPRequestHandler, directory=str(site))
    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    except OSError as error:
        raise UsageError(f"port {port} cannot be used: {error.strerror}; name another one with --port") from error
    address = f"http://127.0.0.1:{server.server_port}/"
    click.echo(json.dumps({"url": address}) if as_json else address)
    sys.stdout.flush()
    say("Ctrl-C ends it")
    with server:
        server.serve_forever()
