"""Which sizes are tested: what the compiler specialises for (1, 2, around 16) and the bound."""

from __future__ import annotations

ROWS = (1, 2, 15, 16, 17, 64)
LENGTH = 5
