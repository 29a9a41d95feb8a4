package contract

import "lodge/cloud"

func counters(s *scene) {
	if s.Network == nil {
		s.Skip("the site has no counters")
	}
	const mac = "52:54:00:12:34:57"
	spec := s.spec()
	spec.NICs = []cloud.GuestNIC{{MAC: mac, NetworkID: s.Network(s.T)}}
	s.must(s.Host.DefineGuest(s.ctx, spec))
	if c, there := s.nic(mac); there {
		s.Errorf("of a guest that is off: %+v", c)
	}
	s.power(spec.ID, cloud.ActStart)
	first, there := s.nic(mac)
	if !there || first.Device == "" {
		s.Fatalf("of a guest that runs: %+v, %v", first, there)
	}
	s.power(spec.ID, cloud.ActDestroy)
	s.power(spec.ID, cloud.ActStart)
	if again, there := s.nic(mac); !there || again.Device == first.Device {
		s.Errorf("the next run has the device of the one before: %+v, %+v", first, again)
	}
}

func (s *scene) nic(mac string) (cloud.NICCounter, bool) {
	s.Helper()
	got, err := s.Host.ReadNICs(s.ctx)
	s.must(err)
	c, there := got[mac]
	return c, there
}
