"""minilm: which sentences mean nearly the same? all-MiniLM-L6-v2, a real sentence transformer."""
