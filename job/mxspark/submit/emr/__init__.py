"""A job on EMR on EKS."""
