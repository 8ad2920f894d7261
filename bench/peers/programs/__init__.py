"""The peers' jobs, each in an environment of its own: only what is in that environment can be imported here."""
