"""The smaller form of `make fuzz-templates`, and documents that hypothesis makes up."""

from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from tests.images.fuzz import PIECES, check, documents


def test_whatever_is_mutated_only_references_change() -> None:
    found = sum(check(text) for text in islice(documents(seed=20261125), 3_000))
    assert found > 3_000  # they are not all nonsense


@given(st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=5)), max_size=30).map("".join))
def test_whatever_is_made_up_only_references_change(text: str) -> None:
    check(text)
