"""The Spark application."""
