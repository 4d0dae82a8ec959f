"""The servers behind the gateway, and the export that makes what they serve."""
