"""A change that several replicas were told to make: taken by all, by none or by some."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.backends.taken import all_taken
from gateway.errors import BackendRefused, BackendUnavailable, GatewayError, InputRefused

ERRORS = (
    BackendUnavailable("it cannot be reached"),
    BackendRefused("it refused", code="ABORTED", details="no"),
    InputRefused("it refused", code="INVALID_ARGUMENT", details="wrong"),
)
ANSWER = st.binary(max_size=2) | st.sampled_from(ERRORS)


@given(st.lists(ANSWER, min_size=1, max_size=5))
def test_only_what_all_have_taken_is_answered(given_: list[bytes | GatewayError]) -> None:
    """Else the error is that of the first who did not take it, and says how many did."""
    answers = {f"host:{number}": answer for number, answer in enumerate(given_)}
    failed = [(at, a) for at, a in answers.items() if isinstance(a, GatewayError)]
    if not failed:
        assert all_taken(answers) == given_[0]
        return
    with pytest.raises(GatewayError) as caught:
        all_taken(answers)
    address, first = failed[0]
    if len(failed) == len(answers):
        assert caught.value is first
        return
    code = first.code if isinstance(first, BackendRefused) else first.grpc_code
    assert isinstance(caught.value, BackendRefused)
    assert caught.value.code == code
    assert f"{len(answers) - len(failed)} of {len(answers)} replicas" in caught.value.details
    assert address in caught.value.details
