"""``fusionbench config``: which settings hold, and where each of them is from."""

from __future__ import annotations

import json
import os
from typing import Any

import click

from fusionbench.cli.options import json_option, settings_of


@click.command("config", short_help="Show settings: roots, device, jobs, plugins, and where each is from.")
@json_option("An object: file, settings with value and origin, and the environment variables.")
@click.pass_context
def config_command(context: click.Context, as_json: bool) -> None:
    """Show the settings that hold here, with the option that each is the default of, and where it is from.

    An option of the command line comes first, then an environment variable, then the file, then fusionbench's own
    default. The file is the one of --config or FUSIONBENCH_CONFIG, else config.toml in your own configuration folder;
    none in the working folder is read.

    Example: fusionbench config --config mine.toml
    """
    from fusionbench.core.settings import OTHER_VARIABLES, SETTINGS, user_config_file

    settings = settings_of(context)
    rows: dict[str, dict[str, Any]] = {}
    for key, known in SETTINGS.items():
        found = settings.get(key)
        value = known.default if found is None else found.value
        rows[key] = {
            "value": value,
            "origin": "default" if found is None else found.origin,
            "variable": known.variable,
            "option": known.option,
            "about": known.about,
        }
    shown = {name: os.environ.get(name) for name in OTHER_VARIABLES}
    if (secret := shown["FUSIONBENCH_ROUND_SECRET"]) is not None:
        shown["FUSIONBENCH_ROUND_SECRET"] = "(set)" if secret else ""
    own = str(user_config_file())
    file = None if settings.file is None else str(settings.file)
    if as_json:
        body = {"file": file, "user_file": own, "settings": rows, "variables": shown}
        click.echo(json.dumps(body, indent=1, ensure_ascii=False))
        return
    from fusionbench.core.io import escaped

    click.echo(f"file: {escaped(file)}" if file else f"file: none (yours would be {escaped(own)})")
    for key, row in rows.items():
        value = ";".join(row["value"]) if isinstance(row["value"], list) else row["value"]
        click.echo(f"{key} = {'none' if value is None else escaped(str(value))}  [{escaped(row['origin'])}]")
        click.echo(f"    {row['about']}; {row['variable']}, {row['option']}")
    click.echo("environment alone:")
    for name, about in OTHER_VARIABLES.items():
        value = "not set" if shown[name] is None else escaped(str(shown[name]) or "(empty)")
        click.echo(f"    {name}: {value} ({about})")
