"""What does a server that batches refuse, beyond what its graphs refuse?

TensorFlow Serving's own batching (`--enable_batching`) joins calls along the first dimension of their tensors,
and so refuses what has none, or more rows than its largest batch. The stand-in runs every call by itself: its
callers see these refusals, not the speed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gateway.errors import InvalidRequest
from gateway.tensors import Array
from serving.tf_serving.served import ModelFailed

__all__ = ["check_outputs", "rows_of"]


def rows_of(feeds: Sequence[Array], most: int) -> int:
    """How many rows a call's inputs share.

    Raises:
        InvalidRequest: there is no input, one has no rows, they have not the same number, or more than `most`.
    """
    if not feeds:
        raise InvalidRequest("Batching Run() must have at least one input tensor")
    if any(feed.ndim == 0 for feed in feeds):
        raise InvalidRequest("Batching Run() input tensors must have at least one dimension")
    rows = {len(feed) for feed in feeds}
    if len(rows) != 1:
        raise InvalidRequest("Batching Run() input tensors must have equal 0th-dimension size")
    (size,) = rows
    if size > most:
        raise InvalidRequest(f"Task size {size} is larger than maximum input batch size {most}")
    return size


def check_outputs(values: Sequence[Any], rows: int) -> None:
    """See that every output has the rows of the inputs.

    Raises:
        ModelFailed: one has not; the graph cannot be batched.
    """
    for value in values:
        if np.ndim(value) == 0:
            raise ModelFailed("FAILED_PRECONDITION", "Batched output tensor has 0 dimensions")
        if len(value) != rows:
            raise ModelFailed(
                "FAILED_PRECONDITION",
                "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension"
                " sizes of the input tensors",
            )
