"""The outside calls us: decode, pipeline, encode."""
