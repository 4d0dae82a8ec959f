"""Triton with a model of the store."""
