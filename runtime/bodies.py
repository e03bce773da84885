"""Large template bodies stay out of Temporal's histories: the SDK's external storage, over the store's templates.

A body is named by its content (`template_ref`), so it is kept once however often it is sent, sealed as every template
is. The SDK calls external storage experimental; a reference in a history is the SDK's own message with our claim,
`workspace_id` and `template_ref`. Only what `TemplateBody` carries goes there: requests and results, which clients in
other languages write and read, stay in the histories.
"""

from collections.abc import Sequence

from temporalio.api.common.v1 import Payload
from temporalio.converter import (
    ExternalStorage,
    PayloadConverter,
    StorageDriver,
    StorageDriverClaim,
    StorageDriverRetrieveContext,
    StorageDriverSelectContext,
    StorageDriverStoreContext,
)

from activities.fingerprints import template_ref
from contracts.target import TemplateBody
from runtime.codec import BODY, EncryptingCodec
from store.store import Store

SMALLEST = 32 * 1024
"""Bytes, encrypted and compressed where that is on. Smaller ones cost less in the history than in the database."""


class BodyLost(Exception):
    """The store no longer has a body that a history refers to."""


class TemplateBodies(StorageDriver):
    """Keeps bodies in the table of templates."""

    def __init__(self, store: Store, codec: EncryptingCodec | None, converter: PayloadConverter) -> None:
        self._store = store
        self._codec = codec
        self._converter = converter

    def name(self) -> str:
        """In every reference; never changes."""
        return "connector-templates"

    def type(self) -> str:
        """The same for every driver of this kind."""
        return "genieos.templates"

    async def store(self, context: StorageDriverStoreContext, payloads: Sequence[Payload]) -> list[StorageDriverClaim]:
        """Where the store does not answer, the workflow task is tried again."""
        del context
        claims: list[StorageDriverClaim] = []
        for payload in payloads:
            opened = payload if self._codec is None else self._codec.open(payload)
            body: TemplateBody = self._converter.from_payload(opened, TemplateBody)
            ref = template_ref(body.template)
            async with self._store.read() as tx:
                is_there = await tx.templates.holds(body.workspace_id, ref)
            if not is_there:
                async with self._store.begin() as tx:
                    await tx.templates.put(body.workspace_id, ref, body.template)
            claims.append(StorageDriverClaim({"workspace_id": body.workspace_id, "template_ref": ref}))
        return claims

    async def retrieve(
        self, context: StorageDriverRetrieveContext, claims: Sequence[StorageDriverClaim]
    ) -> list[Payload]:
        """In plain: what the codec is given next may be plain. Raises `BodyLost`."""
        del context
        found: list[Payload] = []
        for claim in claims:
            workspace_id, ref = claim.claim_data["workspace_id"], claim.claim_data["template_ref"]
            async with self._store.read() as tx:
                template = await tx.templates.get(workspace_id, ref)
            if template is None:
                raise BodyLost(f"the store of {workspace_id} has no template {ref}")
            body = TemplateBody(workspace_id=workspace_id, template=template)
            found.extend(self._converter.to_payloads([body]))
        return found


def external_bodies(driver: TemplateBodies) -> ExternalStorage:
    """External storage for large bodies, and for nothing else."""

    def select(context: StorageDriverSelectContext, payload: Payload) -> StorageDriver | None:
        del context
        return driver if BODY in payload.metadata else None

    return ExternalStorage(drivers=[driver], driver_selector=select, payload_size_threshold=SMALLEST)
