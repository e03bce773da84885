"""Changing what somebody is subscribed to, and telling of it.

Events are told for API changes too, with the source "API" or "ListAPI": a connector that writes subscriptions hears its
own echo (Iterable help centre, unsubscribe sources). Changes through users/update and bulkUpdate tell of nothing.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sandbox.events import subscribe_fields, unsubscribe_fields
from sandbox.project import Project
from sandbox.users import Profile, User
from sandbox.wire import moment
from sandbox.world import World


@dataclass(frozen=True)
class Change:
    """What the sets are to be; None leaves one alone."""

    lists: frozenset[int] | None = None
    unsubscribed_channels: frozenset[int] | None = None
    unsubscribed_types: frozenset[int] | None = None
    subscribed_types: frozenset[int] | None = None

    def wanted(self) -> dict[str, frozenset[int]]:
        return {name: value for name, value in vars(self).items() if value is not None}


def apply(
    world: World, project: Project, user: User, change: Change, *, source: str, campaign_id: int | None = None
) -> None:
    """Stores the sets, then tells of what really changed: at most one event of each direction."""
    before = user.latest
    wanted = change.wanted()
    if change.lists is not None:
        wanted["lists"] = project.lists.place(user, change.lists)
    project.users.change(user, world.clock.now(), project.settings.lags.profiles, **wanted)
    _tell_of_loss(world, project, before, user.latest, source, campaign_id)
    _tell_of_gain(world, project, before, user.latest, source)


def _tell_of_loss(
    world: World, project: Project, before: Profile, after: Profile, source: str, campaign_id: int | None
) -> None:
    lists = before.lists - after.lists
    channels = after.unsubscribed_channels - before.unsubscribed_channels
    types = (after.unsubscribed_types - before.unsubscribed_types) | (before.subscribed_types - after.subscribed_types)
    if lists or channels or types:
        fields: dict[str, Any] = unsubscribe_fields(source, lists=lists, channels=channels, types=types)
        if campaign_id is not None:
            fields["campaignId"] = campaign_id
        _tell(world, project, "emailUnSubscribe", after, fields)


def _tell_of_gain(world: World, project: Project, before: Profile, after: Profile, source: str) -> None:
    lists = after.lists - before.lists
    channels = before.unsubscribed_channels - after.unsubscribed_channels
    types = (before.unsubscribed_types - after.unsubscribed_types) | (after.subscribed_types - before.subscribed_types)
    if lists or channels or types:
        public_id = str(UUID(world.hex_id()))
        now = world.clock.now()
        fields = subscribe_fields(source, now, public_id, lists=lists, channels=channels, types=types)
        _tell(world, project, "emailSubscribe", after, fields)


def _tell(world: World, project: Project, name: str, profile: Profile, fields: dict[str, Any]) -> None:
    whole: dict[str, Any] = {**fields, "createdAt": moment(world.clock.now())}
    if profile.email is not None:
        whole["email"] = profile.email
    world.emit(project, name, whole, email=profile.email, user_id=profile.user_id)
