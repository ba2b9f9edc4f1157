// Package check holds what is in deployments/ against what will read it: Kubernetes' own types,
// KEDA's schema, the compose specification, a Dockerfile parser, systemd and promtool. It is a
// module of its own, so that none of these is a dependency of Barograph.
//
// That dashboards, rules and configurations fit the program is tested beside the program, in
// cmd/barograph.
package check
