"""``fusionbench verify``: checks a data set against its manifest and its source."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from fusionbench.cli.options import json_option
from fusionbench.core.errors import Rejected, UsageError


@click.command("verify")
@click.argument("folder", type=click.Path(path_type=Path), required=False)
@click.option("--self-test", is_flag=True, help="Only check that this machine makes the bytes that others make.")
@click.option("--files", "only", flag_value="files", help="Only the files: size and sha256.")
@click.option("--content", "only", flag_value="content", help="Only the contents: the digest of every array.")
@click.option("--regenerate", metavar="N|all", help="Also make N samples again from their index and compare.")
@click.option(
    "--source-dir",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of the upstream files, for --regenerate.",
)
@click.option(
    "--signer", metavar="PUBLIC_KEY", type=click.Path(path_type=Path), help="The key that must have signed it."
)
@click.option("--expect", metavar="ID", help="The id or manifest_sha256 that it must have: 12 letters or more.")
@json_option("Print the report as JSON.")
def verify_command(
    folder: Path | None,
    self_test: bool,
    only: str | None,
    regenerate: str | None,
    source_dir: Path | None,
    signer: Path | None,
    expect: str | None,
    as_json: bool,
) -> None:
    """Check the data set in FOLDER: every byte of it, and samples made again. Exit code 1 when something is wrong.

    Whatever follows from recipe, source or shards is compared with them: names, licence, coverage, card and Croissant,
    and which files are there. --signer checks who signed it (`generate --sign`), --expect that it is the one cited.

    FOLDER can be a URL (s3://bucket/data/…): what is there is read anew, with --files without a copy on this machine.

    Example: fusionbench verify data/fusiondigits --regenerate 100
    """
    import json

    if self_test:
        return _self_test(as_json)
    if folder is None:
        raise UsageError("Name the folder of a data set, or use --self-test")
    from fusionbench.core.urls import url_of
    from fusionbench.data.verify import MAX_PROBLEMS, verify_dataset

    if regenerate is not None and regenerate != "all" and not regenerate.isdecimal():
        raise UsageError(f"--regenerate takes a number of samples or 'all', not {regenerate!r}")
    count: int | Literal["all"] = "all" if regenerate == "all" else int(regenerate or 0)
    files, content = only != "content", only != "files"
    if (url := url_of(folder)) is not None and not url.startswith("file://"):
        from fusionbench.data.remote_verify import verify_url

        report = verify_url(url, count, source_dir, files=files, content=content, signer=signer, expect=expect)
    else:
        report = verify_dataset(folder, count, source_dir, files=files, content=content, signer=signer, expect=expect)
    if as_json:
        click.echo(json.dumps(report.as_json()))
    else:
        for problem in report.problems[:MAX_PROBLEMS]:
            click.echo(str(problem))
        if report.ok:
            again = f", {report.regenerated:,} samples made again and equal" if count else ""
            click.echo(f"{report.name} {report.id[:12]}: {report.shards} shards, {report.bytes:,} bytes correct{again}")
            click.echo(f"  id {report.id}\n  manifest_sha256 {report.manifest_sha256}")
            if report.signer is not None:
                click.echo(f"  signed by key {report.signer}")
            for split, coverage in report.coverage.items():
                if coverage:
                    shares = ", ".join(f"{100 * share:.1f} %" for share in coverage)
                    click.echo(f"  {split}: pixels seen by the first 1, 2, … views: {shares}")
        for remark in report.remarks:
            click.echo(f"  {remark}")
    if not report.ok:
        many = "1 problem" if len(report.problems) == 1 else f"{len(report.problems)} problems"
        raise Rejected(f"{report.folder}: {many}; do not use this data set as it is")


def _self_test(as_json: bool) -> None:
    import json

    from fusionbench.data import self_test as selftest

    found = selftest.run()
    if as_json:
        click.echo(json.dumps({"ok": not any(found.values()), "checks": found}))
    else:
        for name, wrong in found.items():
            click.echo(f"{name}: {wrong or 'as known'}")
    if any(found.values()):
        raise Rejected("this machine would make other data than other machines do")
