"""A model's files as a bound Module that turns arrays into numbers."""
