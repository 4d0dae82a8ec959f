"""We call the outside: encode, one call, decode."""
