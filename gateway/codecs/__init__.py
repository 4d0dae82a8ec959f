"""How do bytes become messages, and messages bytes? Pure, and the same for both ends of a wire."""
