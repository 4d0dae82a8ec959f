"""`forwards_reload`: a TensorFlow Serving alone may have it, and one alone."""

from __future__ import annotations

import pytest

from gateway.control.source import parse
from tests.control.sound import SOUND, problems

FORWARDS = SOUND.replace('kind = "tfserving"', 'kind = "tfserving"\nforwards_reload = true')


def test_it_is_off_unless_it_is_set() -> None:
    assert not parse(SOUND, "t.toml").backends["tf"].forwards_reload
    assert parse(FORWARDS, "t.toml").backends["tf"].forwards_reload


@pytest.mark.parametrize("kind", ["oip", "torchserve"])
def test_no_other_kind_of_backend_has_it(kind: str) -> None:
    (problem,) = problems(FORWARDS.replace("tfserving", kind))
    assert "backends.tf.forwards_reload" in problem
    assert 'is only for kind = "tfserving"' in problem


def test_two_backends_cannot_both_be_meant() -> None:
    other = '[backends.two]\nkind = "tfserving"\naddress = "h:1"\nforwards_reload = true\n'
    (problem,) = problems(FORWARDS + other)
    assert "backends.two.forwards_reload" in problem
    assert "one backend at most, and tf has it" in problem
