"""A configuration file with nothing wrong in it, for tests to change one thing of."""

from __future__ import annotations

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
