"""mosec with a model of the store."""
