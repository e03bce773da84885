"""API keys: each belongs to one project, and so to one data centre, and is of one kind.

Source: Iterable help centre (API keys). The kind "server" may call everything here; "read_only" a few reads; "client"
a handful of calls meant for apps.
"""

from dataclasses import dataclass
from random import Random
from typing import Literal

KeyKind = Literal["server", "read_only", "client"]
KEY_KINDS: tuple[KeyKind, ...] = ("server", "read_only", "client")

# The names in a 401's params.apiKeyType: the field is documented, its values are not.
KIND_NAMES: dict[KeyKind, str] = {"server": "Server", "read_only": "ReadOnly", "client": "JavaScript"}


@dataclass(frozen=True)
class Grant:
    """What a key stands for. `identifier` names the key in errors without telling it."""

    project_id: int
    kind: KeyKind
    identifier: str


class KeyTaken(Exception):
    """A key was asked for that exists already."""


class KeyRing:
    """All keys of all projects."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._grants: dict[str, Grant] = {}

    def mint(self, project_id: int, fixed: dict[KeyKind, str]) -> dict[KeyKind, str]:
        """Makes a project's keys, taking those that are given. Raises `KeyTaken`."""
        keys: dict[KeyKind, str] = {kind: fixed.get(kind) or f"{self._rng.getrandbits(128):032x}" for kind in KEY_KINDS}
        if len(set(keys.values())) < len(keys) or any(key in self._grants for key in keys.values()):
            raise KeyTaken
        for kind, key in keys.items():
            self._grants[key] = Grant(project_id, kind, f"{self._rng.getrandbits(32):08x}")
        return keys

    def replace(self, project_id: int, kind: KeyKind) -> str:
        """Revokes a project's keys of one kind and makes another; the new one."""
        self._grants = {
            key: grant for key, grant in self._grants.items() if (grant.project_id, grant.kind) != (project_id, kind)
        }
        key = f"{self._rng.getrandbits(128):032x}"
        self._grants[key] = Grant(project_id, kind, f"{self._rng.getrandbits(32):08x}")
        return key

    def find(self, key: str) -> Grant | None:
        return self._grants.get(key)

    def forget_project(self, project_id: int) -> None:
        self._grants = {key: grant for key, grant in self._grants.items() if grant.project_id != project_id}
