"""What is generated of the Helm chart (`make chart`): schema, values.yaml and README from its values (values.py), and
what its templates have in common with mxspark (constants.py)."""
