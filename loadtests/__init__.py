"""How does Tandem behave under load, and beside others? See README.md."""
