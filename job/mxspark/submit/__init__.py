"""Starting a job elsewhere, following it, explaining how it is, cancelling it."""
