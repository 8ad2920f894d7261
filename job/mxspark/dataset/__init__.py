"""Keys in, rows out."""
