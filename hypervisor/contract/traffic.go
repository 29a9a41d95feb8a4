package contract

import "lodge/cloud"

func counters(s *scene) {
	if s.Network == nil {
		s.Skip("the site has no counters")
	}
	spec, other := s.spec(), s.running()
	spec.NICs = []cloud.GuestNIC{{MAC: "52:54:00:12:34:57", NetworkID: s.Network(s.T)}}
	s.must(s.Host.DefineGuest(s.ctx, spec))
	if got := s.nics(spec.ID); len(got) != 0 {
		s.Errorf("of a guest that is off: %v", got)
	}
	s.power(spec.ID, cloud.ActStart)
	first := s.nics(spec.ID)
	if len(first) != 1 || len(first[spec.ID]) != 1 || first[spec.ID][0].Device == "" {
		s.Fatalf("asked for one guest: %v", first)
	}
	if all := s.nics(); all[spec.ID] == nil || all[other.ID] != nil {
		s.Errorf("of all, one of them without a NIC: %v", all)
	}
	if got := s.nics(NewID()); len(got) != 0 {
		s.Errorf("of a guest that never was: %v", got)
	}
	s.power(spec.ID, cloud.ActDestroy)
	s.power(spec.ID, cloud.ActStart)
	if again := s.nics(spec.ID)[spec.ID]; len(again) != 1 || again[0].Device == first[spec.ID][0].Device {
		s.Errorf("the next run has the device of the one before: %v, %v", first, again)
	}
}

func (s *scene) nics(ids ...string) map[string][]cloud.NICCounter {
	s.Helper()
	got, err := s.Host.ReadNICs(s.ctx, ids) // none: all
	s.must(err)
	return got
}
