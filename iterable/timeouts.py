"""How long to wait for Iterable, in seconds."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Giving up before the request left costs nothing; giving up after it makes an unknown outcome. So the first two
    are short and the others generous. All are our choice: Iterable documents none."""

    connect: float = 5.0
    """TCP and TLS. One lost SYN costs a second and a second one two more; a host that needs longer is not there."""
    pool: float = 5.0
    """For a free connection. Longer queues belong to the task queue, which survives a restart."""
    write: float = 10.0
    """For the body. 4 MB, the largest that Iterable takes, at 3 Mbit/s."""
    read: float = 30.0
    """For one piece of the answer. Iterable's own client waits 30 s."""
    total: float = 50.0
    """For everything together, because a server that sends a byte now and then satisfies `read` for ever. No less than
    the sum of the others, so that it never cuts a wait that would have ended in a certain `NotConnected`."""
    export_read: float = 120.0
    """For one piece of an export, in place of `read` and `total`: Iterable computes it while we wait."""
