"""Settings of a connector: what is refused by itself, and what only together."""

from typing import Any

import pytest
from pydantic import ValidationError

from contracts.connector import ConnectorSettings


def settings(**changes: Any) -> ConnectorSettings:
    return ConnectorSettings.model_validate({"data_center": "us", "transactional_message_type_id": 1, **changes})


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({}, None),
        ({"transactional_message_type_id": None}, "message type"),
        ({"data_center": "eu", "project_type": "email"}, "EU data center"),
        ({"push_removals": True}, "all_list_id"),
        ({"push_removals": True, "all_list_id": 1}, None),
        ({"profile_fields": ["first_name"]}, "profile_policy"),
        ({"default_reply_to": "a@b.test"}, "default_from_email"),
        ({"default_from_email": "a@b.test", "allowed_senders": ["acme.test"]}, "allowed_senders"),
        ({"default_from_email": "a@acme.test", "allowed_senders": ["acme.test"]}, None),
    ],
)
def test_what_does_not_fit_together_is_named(changes: dict[str, Any], named: str | None) -> None:
    problems = settings(**changes).contradictions()
    assert problems == [] if named is None else named in " ".join(problems)


@pytest.mark.parametrize(
    ("allowed", "address", "may"),
    [
        ([], "anybody@example.test", True),
        (["acme.test"], "Hello@ACME.test", True),
        (["acme.test"], "hello@mail.acme.test", False),
        (["acme.test"], "hello@notacme.test", False),
        (["hello@acme.test"], "hello@acme.test", True),
        (["hello@acme.test"], "other@acme.test", False),
        (["acme.test"], "{{team}}@acme.test", True),
        (["hello@acme.test"], "{{team}}@acme.test", False),
        (["acme.test"], "hello@{{domain}}", False),
        (["acme.test"], "acme.test", True),  # no address at all: refused elsewhere
    ],
)
def test_allowed_senders(allowed: list[str], address: str, may: bool) -> None:
    assert settings(allowed_senders=allowed).may_send_from(address) is may


def test_networks_are_kept_in_one_form() -> None:
    kept = settings(ip_allowlist=["203.0.113.7", "2001:DB8::/32", "198.51.100.0/24"]).ip_allowlist
    assert kept == ["203.0.113.7/32", "2001:db8::/32", "198.51.100.0/24"]


@pytest.mark.parametrize("network", ["203.0.113.7/24", "acme.test", "", "203.0.113.0/33", "::/129"])
def test_what_is_no_network_is_refused(network: str) -> None:
    with pytest.raises(ValidationError):
        settings(ip_allowlist=[network])
