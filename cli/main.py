"""The `connector` command.

Exit codes: 0 done; 1 refused or failed, the message has a code; 2 wrong usage; 3 Temporal, the database or the endpoint
does not answer; 4 not found, a connector (connector_not_installed) or what belongs to one.
"""

import sys
from importlib import import_module
from typing import Any

import typer
from pydantic import ValidationError
from rich.markup import escape
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group

from cli.output import USAGE, err
from runtime.logging import configure_logging

COMMANDS = {
    "cli.local": {
        "demo": "Send three messages through a whole local stack and show what becomes of each.",
        "dev": "Keep a whole local stack up until Ctrl-C.",
        "sandbox": "Run the Iterable stand-in alone.",
    },
    "cli.sends": {
        "send": "Start one send and wait until Iterable has the message.",
        "preview": "Check a send and have Iterable render it, without sending; show how it differs from our own "
        "render.",
    },
    "cli.status": {
        "status": "Show a connector, or one send as the ledger has it.",
        "timeline": "Show what Iterable reported of a send.",
    },
    "cli.broadcasts": {"broadcast": "One template to many recipients."},
    "cli.suppressions": {"suppressions": "Who must not be sent to, and why."},
    "cli.forgetting": {"forget": "Erase a person from the database and never send to them again (GDPR)."},
    "cli.events": {"events": "Look after events: problems, unmatched ones, back-fill, push."},
    "cli.shadows": {"shadows": "The templates and campaigns that stand for contents in Iterable."},
    "cli.install": {
        "install": "Install a connector. The API key is asked for, or read from standard input.",
        "configure": "Change some settings of a connector; all others, and the API key, stay. Refused, everything "
        "stays as it was.",
        "uninstall": "Stop new sends of a workspace. Sends under way end as they will.",
    },
    "cli.upkeep": {
        "test": "Walk every leg that a message takes, and say which one breaks.",
        "pause": "Refuse new sends with connector_disabled until `connector resume`. What is under way ends as it "
        "will.",
        "resume": "Take new sends again.",
        "rotate": "Replace an API key, a webhook token, or the master key.",
    },
    "cli.operating": {
        "doctor": "Check Temporal, the database, the worker, the endpoint and every connector, and say what to do.",
        "migrate": "Bring the database to the newest schema that this release knows. One of a newer release is left as "
        "it is.",
        "search-attributes": "Register the connector's search attributes in the Temporal namespace, as keywords. Safe "
        "to repeat.",
        "payload-keys": "Print the keys of the payload encryption, for a program that starts sends "
        "(docs/payload-encryption.md).",
    },
    "cli.schemas": {"contracts": "Write the JSON Schemas of the contracts to docs/contracts."},
}
"""Module → its commands, with what the list of all says of each. Nothing of theirs is imported for that: Temporal's SDK
and SQLAlchemy, which most of them need, take longer than all else."""


class Commands(TyperGroup):
    """Imports a command's module once it is called."""

    def __init__(self, **attrs: Any) -> None:
        super().__init__(**attrs)
        for told_of in COMMANDS.values():
            self.commands.update({name: TyperCommand(name, help=told) for name, told in told_of.items()})

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that is called, in place of what is listed of it."""
        for module, told_of in COMMANDS.items():
            if args[0] in told_of:
                group = get_group(import_module(module).app)
                self.commands[args[0]] = group.commands.get(args[0], group)
        return super().resolve_command(ctx, args)


app = typer.Typer(cls=Commands, no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)


@app.callback()
def connector() -> None:
    """Sends GenieOS templates through Iterable triggered campaigns."""


def main() -> None:
    """The entry point."""
    configure_logging(level="ERROR")
    try:
        app()
    except ValidationError as error:
        from runtime.settings import Settings, what_is_wrong  # noqa: PLC0415 - whoever raised this has imported it

        if error.title != Settings.__name__:
            raise
        err.print(f"[bold red]error[/] {escape(what_is_wrong(error))}")
        sys.exit(USAGE)


if __name__ == "__main__":
    main()
