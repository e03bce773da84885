"""Faults: what goes wrong on purpose, switched on and off while the sandbox runs."""

from dataclasses import dataclass, field
from random import Random
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

FaultKind = Literal[
    "slow",
    "rate_limited",
    "error_before",
    "error_after",
    "reset_before",
    "reset_after",
    "hang_before",
    "hang_after",
]


class FaultSpec(BaseModel):
    """One fault, as it is asked for. Before: nothing was done. After: all was done, and the answer is lost.

    `path` is a documented path ("/api/users/{email}"), a concrete one, or "*". `seconds` is the wait of "slow" (1 where
    not given) and the end of a hang (where not given, the client must give up).
    """

    model_config = ConfigDict(extra="forbid")

    path: str
    kind: FaultKind
    method: str | None = None
    project_id: int | None = None
    rate: Annotated[float, Field(ge=0, le=1)] = 1.0
    count: Annotated[int, Field(ge=0)] | None = None
    status: Annotated[int, Field(ge=400, le=599)] = 500
    seconds: Annotated[float, Field(ge=0, le=3_600)] | None = None
    retry_after: Annotated[int, Field(ge=0)] | None = None
    plain_text: bool = False
    seed: int = 1


@dataclass
class Fault:
    """A fault that is switched on."""

    id: int
    spec: FaultSpec
    fired: int = 0
    _rng: Random = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._rng = Random(self.spec.seed)  # noqa: S311 - repeatable by design

    def fires(self, method: str, paths: tuple[str, str], project_id: int | None) -> bool:
        """Whether it strikes this request; counts it where it does."""
        if not self._matches(method, paths, project_id) or self._spent():
            return False
        if self._rng.random() >= self.spec.rate:
            return False
        self.fired += 1
        return True

    def _matches(self, method: str, paths: tuple[str, str], project_id: int | None) -> bool:
        spec = self.spec
        return (
            (spec.path == "*" or spec.path in paths)
            and (spec.method is None or spec.method.upper() == method)
            and (spec.project_id is None or spec.project_id == project_id)
        )

    def _spent(self) -> bool:
        return self.spec.count is not None and self.fired >= self.spec.count


class Faults:
    """All that are switched on, tried in the order in which they came."""

    def __init__(self) -> None:
        self._faults: dict[int, Fault] = {}
        self._last_id = 0

    def add(self, spec: FaultSpec) -> Fault:
        self._last_id += 1
        fault = self._faults[self._last_id] = Fault(self._last_id, spec)
        return fault

    def remove(self, fault_id: int) -> bool:
        return self._faults.pop(fault_id, None) is not None

    def clear(self) -> None:
        self._faults.clear()

    def all(self) -> list[Fault]:
        return list(self._faults.values())

    def strike(self, method: str, paths: tuple[str, str], project_id: int | None) -> list[Fault]:
        """Those that hit this request: any that are slow, and at most one that does worse."""
        struck: list[Fault] = []
        for fault in self._faults.values():
            if fault.fires(method, paths, project_id):
                struck.append(fault)
                if fault.spec.kind != "slow":
                    break
        return struck
