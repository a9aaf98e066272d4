"""What a shell runs to complete words: click's scripts, that of fish with what it takes to complete lists.

``_FUSIONBENCH_COMPLETE=fish_source fusionbench`` prints the script; the shell's calls come back with
``_FUSIONBENCH_COMPLETE=fish_complete``. It is imported for these calls alone.
"""

from __future__ import annotations

from typing import ClassVar

from click.shell_completion import FishComplete, add_completion_class


class FishLists(FishComplete):
    """Completion for fish whose answers keep their commas, as in ``--metrics en,vif``, in names and in what is said.

    click's script takes what stands between the first two commas of an answer.
    """

    source_template: ClassVar[str] = FishComplete.source_template.replace(
        'string split "," $completion', 'string split --max 1 "," $completion'
    )


def use_own_shells() -> None:
    """Let the calls of a shell in this process be answered by the classes here."""
    add_completion_class(FishLists)
