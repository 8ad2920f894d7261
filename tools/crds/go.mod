// Modules of which only the descriptions of custom resources are read, never built (tests/chart/schemas.py).
module mxspark.test/crds

go 1.21

require (
	sigs.k8s.io/gateway-api v1.6.3
)
