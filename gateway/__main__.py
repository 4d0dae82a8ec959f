"""`python -m gateway …` is `tandem …`."""

from gateway.cli import script

script()
