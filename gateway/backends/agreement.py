"""What do replicas say of a model that do not all say the same? Pure.

While a new version is rolled out the replicas differ. The version that most of them describe is the one
described; the others take none of the model's batches until they agree.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from gateway.codecs.oip_model import newest_first
from gateway.errors import GatewayError, UnknownModel
from gateway.messages import ModelDescription

__all__ = ["agreed"]


def agreed(
    answers: Sequence[ModelDescription | GatewayError],
) -> tuple[ModelDescription, frozenset[int]]:
    """The description that most replicas give, and which replicas lack it.

    Of two that as many give, the newer version. Which replica cannot answer now is not held against it
    here: it is out anyway, and will have the model when it is back.

    Raises:
        UnknownModel: those that answered do not have the model.
        BackendError: none answered.
    """
    described = {i: a for i, a in enumerate(answers) if isinstance(a, ModelDescription)}
    if not described:
        errors = [answer for answer in answers if isinstance(answer, GatewayError)]
        raise next((error for error in errors if isinstance(error, UnknownModel)), errors[0])
    votes = Counter(answer.version for answer in described.values())
    most = max(votes.values())
    version = newest_first(version for version, count in votes.items() if count == most)[0]
    lacking = {i for i, answer in described.items() if answer.version != version}
    lacking |= {i for i, answer in enumerate(answers) if isinstance(answer, UnknownModel)}
    chosen = next(answer for answer in described.values() if answer.version == version)
    return chosen, frozenset(lacking)
