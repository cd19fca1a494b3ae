// The kinds of others, by which what we make of them is admitted in tests. No Go code lives here.
module genops.dev/e2e/tools/kinds

go 1.26.0

require (
	github.com/kedacore/http-add-on v0.12.0
	github.com/kedacore/keda/v2 v2.21.0
	github.com/prometheus-operator/prometheus-operator v0.85.0
	sigs.k8s.io/gateway-api v1.6.3
)
