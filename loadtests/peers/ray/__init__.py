"""Ray Serve with a model of the store."""
