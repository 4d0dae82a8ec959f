"""A configuration file with nothing wrong in it, and what is said of it once a test has changed that."""

from __future__ import annotations

import pytest

from gateway.control.source import ConfigError, parse

SOUND = """\
[backends.tf]
kind = "tfserving"
address = "127.0.0.1:8500"

[models.digits]
split = { unit = ["header:x-user"], salt = "s" }
[models.digits.arms]
tf = { backend = "tf", weight = 50 }
old = { backend = "tf", weight = 0, version = 3 }
[[models.digits.shadow]]
arm = "old"
"""


def problems(text: str) -> list[str]:
    """The problems of a text, as a person sees them."""
    with pytest.raises(ConfigError) as caught:
        parse(text, "t.toml")
    return [str(problem) for problem in caught.value.problems]
