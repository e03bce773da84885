"""Lists of users, and who is on them."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from sandbox.users import User
from sandbox.wire import bad_params, millis


@dataclass
class MailingList:
    id: int
    name: str
    description: str
    created_at: float
    # A dict, because it keeps the order in which people came.
    members: dict[User, None] = field(default_factory=dict[User, None])

    def shown(self) -> dict[str, object]:
        return {
            "id": self.id,
            "name": self.name,
            "description": self.description,
            "createdAt": millis(self.created_at),
            "listType": "Standard",
        }


class Lists:
    """A project's lists. Membership stands in the profile too; both are changed together, here."""

    def __init__(self) -> None:
        self._by_id: dict[int, MailingList] = {}

    def add(self, mailing_list: MailingList) -> None:
        self._by_id[mailing_list.id] = mailing_list

    def all(self) -> list[MailingList]:
        return list(self._by_id.values())

    def get(self, list_id: int) -> MailingList | None:
        return self._by_id.get(list_id)

    def require(self, list_id: int) -> MailingList:
        """Raises a 400 (its spelling was seen in Iterable's own client)."""
        found = self._by_id.get(list_id)
        if found is None:
            raise bad_params(f"error.lists.invalidListId({list_id})")
        return found

    def remove(self, mailing_list: MailingList) -> None:
        del self._by_id[mailing_list.id]

    def place(self, user: User, wanted: Iterable[int]) -> frozenset[int]:
        """Puts the user on exactly these lists; returns their ids for the profile."""
        ids = frozenset(wanted)
        for list_id in user.latest.lists - ids:
            mailing_list = self._by_id.get(list_id)
            if mailing_list is not None:
                mailing_list.members.pop(user, None)
        for list_id in ids:
            self.require(list_id).members[user] = None
        return ids

    def drop_user(self, user: User) -> None:
        """Takes a deleted user off every list."""
        for list_id in user.latest.lists:
            mailing_list = self._by_id.get(list_id)
            if mailing_list is not None:
                mailing_list.members.pop(user, None)
