"""Erasing a person: forget."""

from typing import Annotated

import typer

from activities.forgetting import forget
from cli.database import insist_on_all, installed, opened
from cli.output import USAGE, say, stop
from cli.suppressions import person_named
from runtime.process import run
from store.person import Person

app = typer.Typer()

Workspace = Annotated[str, typer.Argument(help="The GenieOS workspace.")]


@app.command(name="forget")
def forget_command(
    workspace: Workspace,
    address: Annotated[str | None, typer.Argument(help="The person's email address.")] = None,
    user_id: Annotated[
        str | None, typer.Option(help="The person's user id, in place of or beside the address.")
    ] = None,
) -> None:
    """Erase a person from the database and never send to them again (GDPR).

    Where the project knows people by user ids, so does the database: an address alone finds nobody there. Iterable has
    its own record: forget the person there too. Temporal's histories end with the namespace's retention.
    """
    if address is None and user_id is None:
        stop(USAGE, "give an address, --user-id, or both")

    async def do() -> None:
        async with opened() as store:
            await insist_on_all(store)
            row = await installed(store, workspace)
            if user_id is None and row.settings.project_type == "userid":
                stop(USAGE, f"{workspace} knows people by user ids: give --user-id; the address may stand beside it")
            people: list[Person] = []
            if address is not None:
                people.append(person_named(store.hasher, address, user_id=False))
            if user_id is not None:
                people.append(person_named(store.hasher, user_id, user_id=True))
            done = await forget(store, workspace, people, source="admin")
        say(f"erased from {done.events} events and {done.sends} sends; {done.waiting} waiting events removed")
        say("nothing is sent to this person any more; what was erased cannot be brought back")

    run(do())
