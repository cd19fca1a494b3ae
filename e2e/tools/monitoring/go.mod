// The kinds of Prometheus' own operator, by which monitors and rules are admitted in tests. No Go code lives here.
module genops.dev/e2e/tools/monitoring

go 1.24.0

require github.com/prometheus-operator/prometheus-operator v0.85.0
