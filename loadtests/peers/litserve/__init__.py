"""LitServe with a model of the store."""
