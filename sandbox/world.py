"""Everything one sandbox holds: its projects, keys, messages, faults, and what runs in the background."""

import asyncio
from collections import defaultdict
from collections.abc import Coroutine, Iterator, Mapping
from itertools import count
from random import Random
from typing import Any, Literal
from uuid import UUID

from sandbox.channels import Channel, FrequencyCap, MessageType
from sandbox.courier import Courier
from sandbox.events import Event, EventLog
from sandbox.faults import Faults
from sandbox.keys import KeyKind, KeyRing
from sandbox.outbox import Message, Outbox
from sandbox.project import DataCenter, Project
from sandbox.settings import ProjectSettings, SandboxSettings
from sandbox.users import ProjectType, Users
from sandbox.wire import millis

_Kind = Literal["project", "channel", "message_type", "template", "campaign", "list", "webhook", "scheduled", "content"]
# Far apart, so that an id of one kind is never taken for another's.
_FIRST: dict[_Kind, int] = {
    "project": 1_001,
    "channel": 27_400,
    "message_type": 31_000,
    "template": 255_882,
    "campaign": 4_344_851,
    "list": 1_589_748,
    "webhook": 7_001,
    "scheduled": 891_073_993,
    "content": 600_001,
}


class World:
    """One sandbox. It lives in memory and ends with its process."""

    def __init__(self, settings: SandboxSettings) -> None:
        self.settings = settings
        self.clock = settings.clock
        self.rng = Random(settings.seed)  # noqa: S311 - repeatable by design; the keys open nothing but this sandbox
        self.keys = KeyRing(self.rng)
        self.faults = Faults()
        self.outbox = Outbox(settings.messages_kept, settings.bodies_kept)
        self.projects: dict[int, Project] = {}
        self.courier = Courier(self.clock, settings.webhook_transport, settings.webhook_concurrency, self.spawn)
        self._tasks: set[asyncio.Task[None]] = set()
        self._ids: defaultdict[_Kind, Iterator[int]] = defaultdict()
        self._ids.update({kind: count(first) for kind, first in _FIRST.items()})

    def next_id(self, kind: _Kind) -> int:
        return next(self._ids[kind])

    def hex_id(self) -> str:
        """32 hex digits, as messageIds are."""
        return f"{self.rng.getrandbits(128):032x}"

    def request_id(self) -> str:
        return str(UUID(int=self.rng.getrandbits(128)))

    # Background

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Starts something that outlives the request. It ends with the sandbox."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Ends what still runs: scheduled messages, pending events and webhooks are lost with the sandbox."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.courier.close()

    # Projects

    def add_project(
        self,
        *,
        name: str,
        data_center: DataCenter,
        project_type: ProjectType,
        keys: dict[KeyKind, str],
        settings: ProjectSettings,
    ) -> Project:
        """Raises `KeyTaken`."""
        project_id = self.next_id("project")
        channels, message_types = self._furnish()
        project = self.projects[project_id] = Project(
            id=project_id,
            name=name,
            data_center=data_center,
            keys=self.keys.mint(project_id, keys),
            users=Users(project_type),
            events=EventLog(self.settings.events_kept),
            channels=channels,
            message_types=message_types,
            settings=settings,
        )
        return project

    def remove_project(self, project: Project) -> None:
        del self.projects[project.id]
        self.keys.forget_project(project.id)
        self.outbox.clear(project.id)

    def add_message_type(
        self,
        project: Project,
        name: str,
        channel: Channel,
        *,
        opt_in: bool = False,
        frequency_cap: FrequencyCap | None = None,
        rate_limit_per_minute: int | None = None,
    ) -> MessageType:
        message_type = MessageType(
            self.next_id("message_type"),
            name,
            channel,
            millis(self.clock.now()),
            opt_in=opt_in,
            frequency_cap=frequency_cap,
            rate_limit_per_minute=rate_limit_per_minute,
        )
        project.message_types.append(message_type)
        return message_type

    def _furnish(self) -> tuple[list[Channel], list[MessageType]]:
        """What every new project has."""
        channels = [
            Channel(self.next_id("channel"), "Transactional Channel", "Transactional", "Email"),
            Channel(self.next_id("channel"), "Marketing Channel", "Marketing", "Email"),
            Channel(self.next_id("channel"), "SMS Channel", "Marketing", "SMS"),
        ]
        names = ("Transactional", "Marketing", "SMS")
        created_at = millis(self.clock.now())
        message_types = [
            MessageType(self.next_id("message_type"), name, channel, created_at)
            for name, channel in zip(names, channels, strict=True)
        ]
        return channels, message_types

    # Events

    def emit(
        self,
        project: Project,
        name: str,
        fields: Mapping[str, Any],
        *,
        email: str | None,
        user_id: str | None,
        message: Message | None = None,
        more: Mapping[str, Any] | None = None,
        at: float | None = None,
    ) -> Event:
        """Records that something happened, and lets the webhooks tell of it."""
        now = self.clock.now()
        event = Event(
            name=name,
            email=email,
            user_id=user_id,
            at=now if at is None else at,
            visible_at=now + project.settings.lags.events,
            fields=fields,
            more=more or {},
            transactional_data=message.data_fields if message is not None and not message.is_blast else None,
            campaign_id=message and message.campaign_id,
            is_blast=message is not None and message.is_blast,
        )
        project.events.add(event)
        if message is not None:
            message.events.append(name)
        self.courier.post(project, event, message)
        return event
