"""Is this request in the sample?"""

from __future__ import annotations

from gateway.routing.split import uniform

__all__ = ["is_sampled"]


def is_sampled(request_id: str, ratio: float, salt: str) -> bool:
    """Whether the request belongs to a sample of `ratio`; the same answer on every replica.

    A request that is in the sample at one ratio is in it at every higher one.
    """
    if ratio <= 0:
        return False
    return ratio >= 1 or uniform("sample", salt, request_id) < ratio
