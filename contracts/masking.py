"""People in plain sight: enough to tell two apart, too little to write to one."""

import re

_ADDRESS = re.compile(r"[^\s@<>\"'(),:;]{1,64}@[^\s@<>\"'(),:;]{1,253}")


def masked(address: str) -> str:
    """An address as it may stand in plain sight: `a•••@example.com`."""
    local, _, domain = address.partition("@")
    return f"{local[:1]}•••@{domain}"


def masked_id(user_id: str) -> str:
    """A user id, which may be anything, an address too."""
    return masked(user_id) if "@" in user_id else f"{user_id[:1]}•••"


def without_addresses(text: str | None) -> str | None:
    """Words of others (a bounce's reason, an admin's remark) with the addresses in them masked."""
    if text is None or "@" not in text:
        return text
    return _ADDRESS.sub(lambda found: masked(found.group()), text)
