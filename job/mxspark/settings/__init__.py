"""What a job is, validated, and where each value comes from."""
