"""mxspark beside other systems on this machine: the same images out of the same S3 server, the same network."""
