"""The Helm chart's values: typed in one place (values.py), from which its schema, values.yaml and README are generated (`make chart`)."""
