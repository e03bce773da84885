"""Templates: base templates, and the copies that campaigns own."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from sandbox.lagged import Lagged
from sandbox.wire import millis

# Content that belongs to no locale.
DEFAULT_LOCALE: Final = ""
TemplateKind = Literal["Base", "Blast", "Triggered"]
Content = Mapping[str, Any]


@dataclass(frozen=True)
class TemplateState:
    """One version of a template; never changed, only replaced."""

    name: str
    message_type_id: int
    creator: str
    updated_at: float
    contents: Mapping[str, Content]
    campaign_data_fields: Mapping[str, Any] | None = None

    def content(self, locale: str | None) -> Content | None:
        """The content for a locale, or that of no locale; None where there is neither."""
        if locale and locale in self.contents:
            return self.contents[locale]
        return self.contents.get(DEFAULT_LOCALE)

    def with_content(self, locale: str | None, changes: Content) -> "TemplateState":
        """Only the given fields change."""
        where = locale or DEFAULT_LOCALE
        merged = {**self.contents.get(where, {}), **changes}
        return replace(self, contents={**self.contents, where: merged})


@dataclass
class Template:
    id: int
    kind: TemplateKind
    client_template_id: str | None
    campaign_id: int | None
    created_at: float
    state: Lagged[TemplateState]


class Templates:
    """A project's templates."""

    def __init__(self) -> None:
        self._by_id: dict[int, Template] = {}
        self._by_client_id: dict[str, list[Template]] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def add(self, template: Template) -> None:
        self._by_id[template.id] = template
        if template.client_template_id is not None:
            self._by_client_id.setdefault(template.client_template_id, []).append(template)

    def remove(self, template: Template) -> None:
        del self._by_id[template.id]
        if template.client_template_id is not None:
            self._by_client_id[template.client_template_id].remove(template)

    def get(self, template_id: int) -> Template | None:
        return self._by_id.get(template_id)

    def sharing(self, client_template_id: str) -> list[Template]:
        """All with this clientTemplateId, oldest first."""
        return list(self._by_client_id.get(client_template_id, ()))

    def all(self) -> list[Template]:
        return list(self._by_id.values())


def shown(template: Template, state: TemplateState) -> dict[str, Any]:
    """A template as lists and `metadata` show it."""
    result: dict[str, Any] = {
        "templateId": template.id,
        "name": state.name,
        "createdAt": millis(template.created_at),
        "updatedAt": millis(state.updated_at),
        "creatorUserId": state.creator,
        "messageTypeId": state.message_type_id,
    }
    if template.campaign_id is not None:
        result["campaignId"] = template.campaign_id
    if template.client_template_id is not None:
        result["clientTemplateId"] = template.client_template_id
    return result
