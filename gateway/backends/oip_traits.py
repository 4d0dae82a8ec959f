"""What can a server of the Open Inference Protocol do, and what of its models? Pure.

    binary_data       REST: tensors as raw bytes after the JSON part; else everything is JSON
    wide_parameters   gRPC: double and uint64 parameters arrive; else they travel as text
    has_config        ModelConfig tells `max_batch_size`, beyond which Triton refuses a request

A server says so in its metadata; one that says nothing can do none of it.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from gateway.codecs.oip_model import ServerMetadata
from gateway.messages import ModelDescription

__all__ = ["Traits", "traits_of", "with_max_rows"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What a server can do; by default, what the protocol demands of every one."""

    binary_data: bool = False
    wide_parameters: bool = False
    has_config: bool = False


def traits_of(metadata: ServerMetadata) -> Traits:
    """What the server's metadata advertises."""
    spoken = {extension.partition("(")[0] for extension in metadata.extensions}
    return Traits(
        binary_data="binary_tensor_data" in spoken,
        # Triton advertises them, and 2.51 refuses an uint64.
        wide_parameters="parameters" in spoken and metadata.name != "triton",
        has_config="model_configuration" in spoken,
    )


def with_max_rows(described: ModelDescription, max_batch_size: int) -> ModelDescription:
    """The description of a model that takes so many rows at once.

    Triton's 0 is one that does not batch: joining its requests could mix what belongs to two callers.
    """
    if max_batch_size < 1:
        return described.without_rows()
    return dataclasses.replace(described, max_rows=max_batch_size)
