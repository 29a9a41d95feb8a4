// Package metrics counts what lodge does, for Prometheus. It is told, or asks
// at each scrape; it decides nothing and keeps nothing over a restart. No label
// holds what a tenant or a client wrote, so that their number is bounded.
package metrics
