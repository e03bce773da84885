"""Pages for people: what the sandbox is and does, and its outbox."""

from collections.abc import Iterable
from html import escape
from string import Template
from typing import Any, Final, get_args

import orjson

from sandbox.api.serving import OPERATIONS
from sandbox.events import EVENT_NAMES
from sandbox.fates import BOUNCE_STATES, SKIP_REASONS
from sandbox.faults import FaultKind
from sandbox.limits import DOCUMENTED
from sandbox.outbox import Message
from sandbox.rendering import HELPERS
from sandbox.settings import ProjectSettings

_PAGE: Final = Template("""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>$title</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 68rem; padding: 0 1rem; color: #1c2330; }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2rem }
code, pre { font: 13px/1.45 ui-monospace, monospace; background: #f3f5f8; border-radius: 3px }
code { padding: 0 .25em } pre { padding: .75rem; overflow: auto }
table { border-collapse: collapse; width: 100% } td, th { text-align: left; vertical-align: top; padding: .3rem .6rem;
border-bottom: 1px solid #e1e5eb } th { font-weight: 600; white-space: nowrap }
iframe { width: 100%; height: 34rem; border: 1px solid #c9d0da; background: #fff }
.sent { color: #12723f } .skipped, .cancelled { color: #a3401a } .scheduled { color: #6a5200 } .dim { color: #667 }
</style></head><body><h1>$title</h1>
$body
</body></html>
""")

_FATES: Final = (
    (
        "hard-bounce@…",
        "sent, then a hard bounce: unsubscribed from the sending channel and all marketing email channels",
    ),
    ("soft-bounce@…", "sent, then a soft bounce; nothing is unsubscribed"),
    ("bounce-STATE@…", f"sent, then a bounce of any state: {', '.join(BOUNCE_STATES)}"),
    ("complaint@…", "sent, then a complaint, and an unsubscribe from the sending channel"),
    (
        "unsubscribe@…",
        "sent, then a click on the hosted unsubscribe page, then an unsubscribe from the sending channel",
    ),
    ("open@… click@… open-click@…", "sent, then opened, or clicked, or both"),
    ("skip-REASON@…", f"taken, then skipped: {', '.join(SKIP_REASONS)}, or any other word"),
    ("unknown@…", "email/target answers UnknownEmailError until a profile was written and its lag has passed"),
    ("anything else", "sent"),
)

_QUIRKS: Final = (
    "templates/email/upsert rewrites every template that shares the clientTemplateId and tells the ids in prose only.",
    "campaigns/create copies the template. Without listIds the campaign is triggered, <code>listIds: []</code> is "
    "refused, and with lists it is a blast that starts at once.",
    "A campaign created a moment ago does not exist yet, for activation and sends too; activation shows after a lag.",
    "email/target answers 200 before it is known whether the message will be skipped, names no message, and knows no "
    "idempotency key.",
    "A key of the wrong kind or data centre is answered as a dead one is: 401 BadApiKey.",
    "An unknown email is <code>{}</code>, an unknown userId a 400. A wrong path is a page of HTML.",
    "users/updateSubscriptions replaces whole arrays; writes come back as events with the source API or ListAPI.",
    "getSentMessages tells nothing of the request behind a message; emailSend webhooks of triggered sends carry "
    "transactionalData, cut at 12,000 characters.",
    "Webhooks are set up here as in Iterable's web app; the API can neither create one nor tick its events.",
)

_ADMIN: Final = (
    ("POST /_sandbox/projects", "name, data_center (us, eu), type (hybrid, email, userid), keys, any project setting"),
    ("GET, PATCH, DELETE /_sandbox/projects/{id}", "PATCH takes any project setting; objects are merged"),
    ("POST /_sandbox/projects/{id}/webhooks", "endpoint, headers, events, enabled, triggeredSendEnabled, …"),
    ("POST /_sandbox/projects/{id}/keys/{kind}", "revokes that key (server, read_only, client) and makes another"),
    ("PUT /_sandbox/projects/{id}/delivery", "drop, duplicate, reorder, delay_seconds, event_delay_seconds, seed"),
    ("POST /_sandbox/projects/{id}/channels", "name, channel_type, message_medium"),
    ("POST /_sandbox/projects/{id}/message_types", "name, channel_id, opt_in, frequency_cap {days, messages}"),
    ("POST /_sandbox/projects/{id}/campaigns/{id}/activate", "the Activate button of the web app"),
    ("POST /_sandbox/projects/{id}/events", "kind, message_id or email or user_id, fields, at, with_effects"),
    ("POST, GET, DELETE /_sandbox/faults", "path, method, project_id, kind, rate, count, status, seconds, retry_after, "
     "plain_text, seed"),
    ("GET, DELETE /_sandbox/outbox", "project_id, to, campaign_id, after, limit; <a href='/_sandbox/outbox'>look</a>"),
    ("GET /_sandbox/counts", "project_id"),
)  # fmt: skip


def index() -> str:
    """What the sandbox is, for who opens it in a browser."""
    sections = (
        "<p>A stand-in for Iterable. The US API is at <code>/us/api/…</code>, the EU API at <code>/eu/api/…</code>. "
        "All is in memory and ends with the process. <a href='/_sandbox/outbox'>The outbox</a> has every message.</p>",
        "<h2>The recipient's address decides</h2><p>By its local part, in any case; a <code>+tag</code> is ignored.</p>"
        + _table(_FATES),
        "<h2>What is peculiar, as at Iterable</h2><ul>" + "".join(f"<li>{quirk}</li>" for quirk in _QUIRKS) + "</ul>",
        "<h2>Steering it</h2>" + _table(_ADMIN),
        f"<p>Faults: {_codes(get_args(FaultKind))}. Before: nothing was done. After: all was done, the answer is lost. "
        f"Events: {_codes(EVENT_NAMES)}.</p>",
        "<h2>Project settings</h2><p>“Unknown” marks what Iterable does not document.</p>" + _table(_settings()),
        f"<h2>Templates</h2><p>Handlebars, with these helpers: {_codes(HELPERS)}. Any other fails the message.</p>",
        "<h2>Endpoints</h2>" + _table(_endpoints()),
    )
    return _page("Iterable sandbox", "\n".join(sections))


def outbox(messages: list[Message], total: int) -> str:
    """A list of messages."""
    rows = "".join(
        f"<tr><td class=dim>{escape(str(one.shown(with_bodies=False)['createdAt']))}</td>"
        f"<td class={one.status}>{escape(_outcome(one))}</td>"
        f"<td>{escape(one.email or one.user_id or '')}</td>"
        f"<td><a href='/_sandbox/outbox/{escape(one.id)}'>{escape(one.subject or '(no subject)')}</a></td>"
        f"<td>{escape(one.campaign_name or 'proof')}</td><td class=dim>{escape(', '.join(one.events))}</td></tr>"
        for one in messages
    )
    head = "<tr><th>taken</th><th>status</th><th>to</th><th>subject</th><th>campaign</th><th>events</th></tr>"
    shown = f"<p class=dim>{len(messages)} of {total}, newest first. <a href='/'>About</a></p>"
    return _page("Outbox", f"{shown}<table>{head}{rows}</table>")


def message(one: Message) -> str:
    """One message, its HTML in a frame in which nothing runs."""
    shown = one.shown()
    html, text = shown.pop("html"), shown.pop("text")
    facts = [(name, escape(_value(value))) for name, value in shown.items() if value not in (None, "")]
    frame = f"<iframe sandbox src='/_sandbox/outbox/{escape(one.id)}/html' title='HTML'></iframe>"
    parts = (
        "<p><a href='/_sandbox/outbox'>All messages</a></p>",
        _table(facts),
        f"<h2>HTML</h2>{frame}" if html else "",
        f"<h2>Text</h2><pre>{escape(text)}</pre>" if text else "",
        f"<h2>Source</h2><pre>{escape(html)}</pre>" if html else "",
    )
    return _page(one.subject or "(no subject)", "".join(parts))


def _page(title: str, body: str) -> str:
    return _PAGE.substitute(title=escape(title), body=body)


def _table(rows: Iterable[tuple[str, str]]) -> str:
    """The first column is escaped; the second is HTML."""
    return "<table>" + "".join(f"<tr><th>{escape(name)}</th><td>{what}</td></tr>" for name, what in rows) + "</table>"


def _codes(words: Iterable[str]) -> str:
    return ", ".join(f"<code>{escape(word)}</code>" for word in words)


def _settings() -> list[tuple[str, str]]:
    defaults = ProjectSettings().model_dump()
    return [
        (name, f"{escape(field.description or '')} <span class=dim>Default: {escape(_value(defaults[name]))}</span>")
        for name, field in ProjectSettings.model_fields.items()
    ]


def _endpoints() -> list[tuple[str, str]]:
    def limits(name: str) -> str:
        rules = DOCUMENTED.get(name, ())
        return ", ".join(f"{rule.limit} in {rule.seconds:g} s for each {rule.per}" for rule in rules) or "no limit"

    def keys(admits: dict[str, bool]) -> str:
        return ", ".join(name for name, yes in admits.items() if yes)

    return [
        (
            one.name,
            f"{limits(one.name)}; keys: {keys({'server': True, 'read-only': one.read_only, 'client': one.client})}",
        )
        for one in OPERATIONS
    ]


def _value(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _outcome(one: Message) -> str:
    return f"{one.status}: {one.skip_reason}" if one.skip_reason else one.status
