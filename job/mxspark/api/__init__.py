"""What people call from Python: a job, its table, and a model without a job."""
