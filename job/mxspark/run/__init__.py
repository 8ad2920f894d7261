"""A whole run, from settings to summary."""
