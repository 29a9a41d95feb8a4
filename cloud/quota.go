package cloud

import "slices"

// Resource is what a quota limits.
type Resource string

// The resources. Those of nouns that cannot be made yet are limits for later.
const (
	ResourceInstances   Resource = "instances"
	ResourceVCPUs       Resource = "vcpus"
	ResourceMemory      Resource = "memory_mib"
	ResourceDisk        Resource = "disk_gib"
	ResourceImages      Resource = "images"
	ResourceVolumes     Resource = "volumes"
	ResourceNetworks    Resource = "networks"
	ResourcePorts       Resource = "ports"
	ResourceFloatingIPs Resource = "floating_ips"
	ResourceSnapshots   Resource = "snapshots"
	ResourceTokens      Resource = "tokens"
)

// Resources are all resources, in the order of the documentation.
func Resources() []Resource {
	return []Resource{
		ResourceInstances, ResourceVCPUs, ResourceMemory, ResourceDisk, ResourceImages, ResourceVolumes,
		ResourceNetworks, ResourcePorts, ResourceFloatingIPs, ResourceSnapshots, ResourceTokens,
	}
}

// Valid reports whether r is one of the resources.
func (r Resource) Valid() bool { return slices.Contains(Resources(), r) }

// Amounts are so much of each resource.
type Amounts map[Resource]int64

// Limits are the most of each resource; what is not in it has no limit.
type Limits map[Resource]int64

// Quota is what a tenant may have of a resource, and has.
type Quota struct {
	Resource Resource
	Limit    int64 // -1: none
	Default  bool  // the limit is the installation's, not the tenant's own
	Used     int64
}

// QuotaExcess says which limit stands in the way.
type QuotaExcess struct {
	Resource Resource
	Limit    int64
	Used     int64
	Asked    int64
}

// Exceeds finds the first limit that asking for more would break; nil when there
// is none. What is over its limit already may stay and may not grow.
func (l Limits) Exceeds(used, asked Amounts) *QuotaExcess {
	for _, r := range Resources() {
		limit, limited := l[r]
		if !limited || asked[r] <= 0 || used[r]+asked[r] <= limit {
			continue
		}
		return &QuotaExcess{Resource: r, Limit: limit, Used: used[r], Asked: asked[r]}
	}
	return nil
}

// Refusal is the error for a limit that stands in the way; nil for none.
func (x *QuotaExcess) Refusal() error {
	if x == nil {
		return nil
	}
	e := Errorf(CodeQuota, "The tenant may have %d of %s, has %d and this needs %d more; delete what is not needed, or ask your operator for more.",
		x.Limit, x.Resource, x.Used, x.Asked)
	e.Quota = x
	return e
}
