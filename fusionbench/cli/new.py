import click
@click.command("new")
def new_command() -> None: pass
