"""A person by one of their names: an address or a user id, with the keyed hash that stands for it everywhere else."""

from dataclasses import dataclass, field
from typing import Literal, Self

from store.keyring import KeyedHasher

Kind = Literal["email", "user_id"]


@dataclass(slots=True)
class Person:
    """`value` is personal data: sealed where it is kept, and never part of a repr. Not frozen: that would take
    a second longer for every million of them."""

    recipient_hash: str
    kind: Kind
    value: str = field(repr=False)

    @classmethod
    def by_email(cls, hasher: KeyedHasher, email: str) -> Self:
        """In lower case, as it is hashed: one person is kept one way, whoever reports them."""
        return cls(hasher.of_email(email), "email", email.strip().lower())

    @classmethod
    def by_user_id(cls, hasher: KeyedHasher, user_id: str) -> Self:
        """User ids are case-sensitive at Iterable."""
        return cls(hasher.of_user_id(user_id), "user_id", user_id)

    @classmethod
    def all_of(cls, hasher: KeyedHasher, email: str | None, user_id: str | None) -> list[Self]:
        """Every name a person is known by; the address first."""
        found = [cls.by_email(hasher, email)] if email else []
        return [*found, cls.by_user_id(hasher, user_id)] if user_id else found

    @property
    def email(self) -> str | None:
        """The address, where this name is one."""
        return self.value if self.kind == "email" else None

    @property
    def user_id(self) -> str | None:
        """The user id, where this name is one."""
        return self.value if self.kind == "user_id" else None
