"""A job on Kubernetes."""
