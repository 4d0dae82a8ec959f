"""Tandem itself, as it is shipped: the gateway and the torch server."""
