"""EventPushWorkflow: pushes a workspace's feed, in order, for as long as there is something to push."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from activities.push import PushActivities
    from contracts.push import PushAnswer, PushRequest
    from contracts.received import Received
    from workflows.failures import given
    from workflows.window import moment, plain, show_push

TRY_TIMEOUT = timedelta(seconds=60)
"""One request to the receiver, whose own timeout is shorter. No heartbeat: a worker that died is noticed as late."""
OWN = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=30))
"""Our store: tried until it is back. A receiver that does not answer is no failure of the activity, but its answer."""
WAITS = tuple(timedelta(seconds=s) for s in (5, 60, 300, 1800, 7200, 18_000))
"""Between tries of one batch; the last one repeats. After the example in the Standard Webhooks specification."""
SPREAD = 0.2
"""Receivers that came back together are not all called at once."""
GIVE_UP_AFTER = timedelta(days=3)
LINGER = timedelta(minutes=10)
"""A run without news ends; the next news starts one."""
MOST_TRIES = 500
"""Then the run continues as new, before its history grows."""


@workflow.defn(name="EventPushWorkflow")
class EventPushWorkflow:
    """try → delivered: the next batch; failed: wait longer each time; after three days: given up, and on."""

    _request: PushRequest

    def __init__(self) -> None:
        self._awake = True
        self._retry = False

    @workflow.run
    async def run(self, received: Received[PushRequest] | None = None) -> None:
        """One batch at a time, so that the receiver gets cursors in order."""
        self._request = given(received)
        tries = 0
        while True:
            self._awake = False
            if self._request.failures == 0:
                show_push(self._request.workspace_id, "delivering", "the next batch")
            answer = await workflow.execute_activity_method(
                PushActivities.push_batch, self._request, start_to_close_timeout=TRY_TIMEOUT, retry_policy=OWN
            )
            tries += 1
            match answer.end:
                case "delivered":
                    self._retry = False
                    self._request = PushRequest(workspace_id=self._request.workspace_id)
                    if not answer.more and not await self._news("delivering"):
                        return
                case "failed":
                    await self._after_failure(answer)
                case "empty" | "off":
                    if not await self._news("delivering" if answer.end == "empty" else "off"):
                        return
            if tries >= MOST_TRIES or workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(self._request)

    @workflow.signal
    def wake(self) -> None:
        """The feed has grown, or the receiver was changed."""
        self._awake = True

    @workflow.signal
    def retry(self) -> None:
        """Somebody has put something right: no more waiting."""
        self._awake = self._retry = True

    async def _news(self, status: str) -> bool:
        """Whether something comes up within a while."""
        show_push(self._request.workspace_id, status, "waits for news, then ends", workflow.now() + LINGER)
        try:
            await workflow.wait_condition(lambda: self._awake, timeout=LINGER)
        except TimeoutError:
            return self._awake
        return True

    async def _after_failure(self, answer: PushAnswer) -> None:
        since = self._request.failing_since or workflow.now()
        failures = self._request.failures + 1
        self._request = self._request.model_copy(
            update={"failing_since": since, "failures": failures, "up_to": answer.up_to}
        )
        if workflow.now() - since >= GIVE_UP_AFTER:
            await workflow.execute_activity_method(
                PushActivities.give_up_batch, self._request, start_to_close_timeout=TRY_TIMEOUT, retry_policy=OWN
            )
            self._request = PushRequest(workspace_id=self._request.workspace_id)
            return
        wait = WAITS[min(failures, len(WAITS)) - 1] * (1 + SPREAD * workflow.random().random())
        if answer.retry_after is not None:
            wait = max(timedelta(seconds=answer.retry_after), WAITS[0])
        # News does not cut the wait short: it is there because the receiver cannot keep up.
        problem = plain(answer.problem or "")
        what = f"{failures} tries failed ({problem}), since {moment(since)} UTC; waits for the next one"
        show_push(self._request.workspace_id, "failing", what, workflow.now() + wait)
        try:
            await workflow.wait_condition(lambda: self._retry, timeout=wait, timeout_summary="next try")
        except TimeoutError:
            return
        self._retry = False
