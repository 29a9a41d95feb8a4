package reconcile

import (
	"lodge/cloud"
)

// PlanNetwork decides what a network needs on the host: it is up while an
// instance has a port on it, and removed when nothing needs it and nobody has a
// lease there. It is pure.
// gone says that the network is deleted and nothing of it is seen.
func PlanNetwork(w cloud.NetworkWish, seen *cloud.HostNetwork) (steps []Step, gone bool) {
	if w.LivePorts > 0 && w.DeletedAt.IsZero() {
		if seen != nil && seen.Active && !seen.Worn {
			return nil, false
		}
		spec := networkSpec(w.Network)
		return []Step{{Verb: VerbEnsureNetwork, ID: w.ID, Network: &spec}}, false
	}
	if seen != nil && w.LivePorts == 0 && len(seen.Ports) > 0 {
		// The ports of an instance go before it is gone. One that is left is of a
		// guest that the database does not know: it was restored, say.
		return nil, false
	}
	if seen != nil && w.LivePorts == 0 {
		return []Step{{Verb: VerbRemoveNetwork, ID: w.ID}}, false
	}
	return nil, !w.DeletedAt.IsZero() && w.LivePorts == 0
}

func networkSpec(n cloud.Network) cloud.NetworkSpec {
	spec := cloud.NetworkSpec{ID: n.ID, Name: n.Name, NAT: true}
	if len(n.Subnets) > 0 {
		s := n.Subnets[0]
		spec.CIDR, spec.Gateway, spec.DHCP = s.CIDR, s.Gateway(), s.DHCP
	}
	return spec
}
