"""What is an address, and what is none?"""

from __future__ import annotations

import pytest

from gateway.control.addresses import split_address


@pytest.mark.parametrize(
    ("address", "expected"),
    [("a:1", ("a", 1)), ("[::1]:65535", ("::1", 65535)), ("0.0.0.0:0", ("0.0.0.0", 0))],
)
def test_addresses_are_split(address: str, expected: tuple[str, int]) -> None:
    """Host and port; brackets of IPv6 come off."""
    assert split_address(address) == expected


@pytest.mark.parametrize(
    "address", ["", "a", ":1", "a:", "a:65536", "a:-1", "a:x", "::1:80", "a:²"]
)
def test_other_addresses_are_refused(address: str) -> None:
    """Each is a ValueError that shows what was got."""
    with pytest.raises(ValueError, match="got"):
        split_address(address)
