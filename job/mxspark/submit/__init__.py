"""Starting a job elsewhere: on Kubernetes."""
