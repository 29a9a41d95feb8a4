// Package traces sends what lodge does as OpenTelemetry spans to a collector.
// It is made only when an endpoint is given; without it nothing of this costs
// anything. It decides nothing, and a collector that is away costs spans only.
package traces
