"""What a worker counts and measures, beside what the SDK does of itself.

Everything goes through the SDK's meter, which exports it together with the SDK's own metrics at one address and costs a
call into Rust for each value. Labels are words of ours with few values: operations of the API, ends, codes. Never a
workspace, an id or an address.
"""

from temporalio.common import MetricHistogramFloat, MetricMeter
from temporalio.runtime import PrometheusConfig

from contracts.inbox import DrainResult
from iterable.calls import CallRecord
from iterable.errors import KeyRefused

CALL_SECONDS = "connector_iterable_call_seconds"
LAG_SECONDS = "connector_intake_lag_seconds"
ACCEPTED_SECONDS = "connector_time_to_accepted_seconds"
SENT_SECONDS = "connector_time_to_sent_seconds"

_KEY_REFUSED = KeyRefused.__name__
_ENDS = ("taken", "not_taken", "unknown", "recipient_unknown", "campaign_gone")
_DRAINED = ("joined", "unmatched", "set_aside")
_CALL_BUCKETS = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_WAIT_BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)
_BUCKETS = {
    CALL_SECONDS: _CALL_BUCKETS,
    LAG_SECONDS: _WAIT_BUCKETS,
    ACCEPTED_SECONDS: _WAIT_BUCKETS,
    SENT_SECONDS: _WAIT_BUCKETS,
}


def exporting(address: str) -> PrometheusConfig:
    """Answers `/metrics` on `host:port`, from the SDK's own threads: also while Python is busy."""
    return PrometheusConfig(
        bind_address=address,
        counters_total_suffix=True,
        durations_as_seconds=True,
        unit_suffix=True,
        histogram_bucket_overrides=_BUCKETS,
    )


class WorkerMetrics:
    """Of one worker process. With a meter that exports nowhere it costs next to nothing.

    What alerts count is there from the start: Prometheus sees no increase up to a first value.
    """

    def __init__(self, meter: MetricMeter) -> None:
        self._calls: MetricHistogramFloat = meter.create_histogram_float(
            CALL_SECONDS, "Calls of the Iterable API, by operation and how they ended (RateLimited: a 429)"
        )
        self._refused_keys = meter.create_counter(
            "connector_key_refusals", "Calls of the Iterable API that ended because it refuses the key"
        )
        self._refused_keys.add(0)
        self._attempts = meter.create_counter(
            "connector_target_attempts", "Attempts to hand a message to Iterable, by how they ended"
        )
        self._outcomes = meter.create_counter(
            "connector_outcomes", "Looks for the outcome of an attempt whose answer was lost, by what they proved"
        )
        self._drained = meter.create_counter(
            "connector_events_drained", "Events taken from the inbox, by what they met"
        )
        self._lag = meter.create_histogram_float(
            LAG_SECONDS, "From the webhook's arrival to the drain, for the oldest event of each turn"
        )
        self._failures = meter.create_counter(
            "connector_activity_failures", "Activity attempts that failed, by activity and error code"
        )
        for end in _ENDS:
            self._attempts.add(0, {"end": end})
        for name in _DRAINED:
            self._drained.add(0, {"result": name})

    def call(self, record: CallRecord) -> None:
        """One call of the Iterable API."""
        self._calls.record(record.duration_ms / 1000, {"operation": record.operation, "outcome": record.outcome})
        if record.outcome == _KEY_REFUSED:
            self._refused_keys.add(1)

    def attempt(self, end: str, count: int = 1) -> None:
        """Attempts at recipients: an end of the ledger's, or the code of their failure."""
        self._attempts.add(count, {"end": end})

    def outcome(self, verdict: str) -> None:
        """One look for evidence."""
        self._outcomes.add(1, {"verdict": verdict})

    def drained(self, result: DrainResult) -> None:
        """One turn of a drain."""
        for name in _DRAINED:
            count: int = getattr(result, name)
            if count:
                self._drained.add(count, {"result": name})
        if result.lag_seconds is not None:
            self._lag.record(result.lag_seconds)

    def failed(self, activity: str, code: str) -> None:
        """One attempt of an activity."""
        self._failures.add(1, {"activity": activity, "code": code})
