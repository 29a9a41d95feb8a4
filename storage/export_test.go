package storage

import "lodge/cloud"

// Name is the libvirt pool's, for tests that handle it as an operator would.
func (p *Pool) Name() string { return p.name }

// SeedImage is the bytes of a seed.
func SeedImage(spec cloud.SeedSpec) ([]byte, error) { return seedImage(spec) }

// QemuImg is for tests of what it is held to.
var QemuImg = qemuImg
