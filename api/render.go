package api

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"lodge/api/wire"
	"lodge/cloud"
)

// reply writes v as the JSON of an answer.
func reply(w http.ResponseWriter, status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	write(w, status, typeJSON, b)
	return nil
}

// replyList writes a part of a list.
func replyList[T, W any](w http.ResponseWriter, items []T, next string, render func(T) W) error {
	out := wire.List[W]{Items: make([]W, 0, len(items)), Next: next}
	for _, it := range items {
		out.Items = append(out.Items, render(it))
	}
	return reply(w, http.StatusOK, out)
}

func write(w http.ResponseWriter, status int, media []string, b []byte) {
	h := w.Header()
	h["Content-Type"] = media
	h["Content-Length"] = []string{strconv.Itoa(len(b))}
	w.WriteHeader(status)
	_, _ = w.Write(b) // the client may have left
}

func location(w http.ResponseWriter, path string) { w.Header()["Location"] = []string{path} }

func noContent(w http.ResponseWriter) error {
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func wireTime(t time.Time) wire.Time {
	if t.IsZero() {
		return wire.Time{}
	}
	return wire.Time{Time: t.UTC()}
}

func wireProblem(p *cloud.Problem) *wire.Problem {
	if p == nil {
		return nil
	}
	return &wire.Problem{
		Code: string(p.Code), Message: p.Message, Since: wireTime(p.Since),
		RetryAt: wireTime(p.RetryAt), Attempts: p.Attempts,
	}
}

// neverNil gives an empty map or list in place of nil: neither is ever null.
func neverNil[M ~map[K]V, K comparable, V any](m M) M {
	if m == nil {
		return M{}
	}
	return m
}

func neverNilList[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}

func wireInstance(i cloud.Instance) wire.Instance {
	out := wire.Instance{
		ID: i.ID, Name: i.Name, TenantID: i.TenantID, Tenant: i.TenantName, Labels: neverNil(i.Labels),
		CreatedAt: wireTime(i.CreatedAt), UpdatedAt: wireTime(i.UpdatedAt), Revision: i.Revision,

		Flavor: i.FlavorID, VCPUs: i.VCPUs, MemoryMiB: i.MemoryMiB, DiskGiB: i.DiskGiB,
		ImageID: i.ImageID, Image: i.ImageName, LoginUser: i.User, Firmware: string(i.Firmware),
		SSHKeys: neverNilList(i.SSHKeys), UserDataBytes: len(i.UserData),
		Power: string(i.Power), Generation: i.Generation, DeletedAt: wireTime(i.DeletedAt), Protected: i.Protected,

		State: string(i.State), Task: string(i.Task), Problem: wireProblem(i.Problem),
		ObservedGeneration: i.ObservedGeneration, Settled: i.Settled(), Pending: i.Pending(),
		HostID: i.HostID, StartedAt: wireTime(i.StartedAt),
		Addresses: make([]string, 0, len(i.Ports)), Ports: make([]wire.Port, 0, len(i.Ports)),
	}
	if i.StoppedBy != (cloud.Ref{}) {
		out.StoppedBy = &wire.StoppedBy{Kind: string(i.StoppedBy.Kind), ID: i.StoppedBy.ID}
	}
	if i.RunningVCPUs > 0 {
		out.Running = &wire.Running{VCPUs: i.RunningVCPUs, MemoryMiB: i.RunningMemoryMiB}
	}
	for _, p := range i.Ports {
		wp := wire.Port{ID: p.ID, NetworkID: p.NetworkID, MAC: p.MAC, FixedIPs: make([]wire.FixedIP, 0, len(p.FixedIPs))}
		for _, ip := range p.FixedIPs {
			addr := ip.Address.String()
			wp.FixedIPs = append(wp.FixedIPs, wire.FixedIP{SubnetID: ip.SubnetID, Address: addr})
			out.Addresses = append(out.Addresses, addr)
		}
		out.Ports = append(out.Ports, wp)
	}
	return out
}

func wireTenant(t cloud.Tenant) wire.Tenant {
	return wire.Tenant{
		ID: t.ID, Name: t.Name, Labels: neverNil(t.Labels),
		CreatedAt: wireTime(t.CreatedAt), UpdatedAt: wireTime(t.UpdatedAt), Revision: t.Revision,
	}
}

func wireImage(i cloud.Image) wire.Image {
	return wire.Image{
		ID: i.ID, Name: i.Name, TenantID: i.TenantID, Labels: neverNil(i.Labels),
		CreatedAt: wireTime(i.CreatedAt), UpdatedAt: wireTime(i.UpdatedAt), Revision: i.Revision,
		Public: i.Public, Default: i.Default, Protected: i.Protected, Source: string(i.Source), URL: i.URL, SHA256: i.SHA256,
		Firmware: string(i.Firmware), LoginUser: i.User, State: string(i.State), Problem: wireProblem(i.Problem),
		Format: string(i.Format), SizeBytes: i.SizeBytes, VirtualSize: i.VirtualSize,
		BytesDone: i.BytesDone, BytesTotal: i.BytesTotal, HostID: i.HostID,
	}
}

func wireFlavor(f cloud.Flavor) wire.Flavor {
	return wire.Flavor{ID: f.ID, VCPUs: f.VCPUs, MemoryMiB: f.MemoryMiB, DiskGiB: f.DiskGiB, CreatedAt: wireTime(f.CreatedAt)}
}

func wireNetwork(n cloud.Network) wire.Network {
	out := wire.Network{
		ID: n.ID, Name: n.Name, TenantID: n.TenantID, Labels: neverNil(n.Labels),
		CreatedAt: wireTime(n.CreatedAt), UpdatedAt: wireTime(n.UpdatedAt), Revision: n.Revision,
		Default: n.Default, HostID: n.HostID, Problem: wireProblem(n.Problem),
		Subnets: make([]wire.Subnet, 0, len(n.Subnets)),
	}
	for _, s := range n.Subnets {
		ws := wire.Subnet{ID: s.ID, CIDR: s.CIDR.String(), Gateway: s.Gateway().String(), DHCP: s.DHCP, DNS: []string{}}
		for _, d := range s.DNS {
			ws.DNS = append(ws.DNS, d.String())
		}
		out.Subnets = append(out.Subnets, ws)
	}
	return out
}

func wireHost(h cloud.Host) wire.Host {
	vcpus, memory := h.Promised()
	return wire.Host{
		Promised: wire.HostSize{VCPUs: vcpus, MemoryMiB: memory}, Instances: h.Used.Instances,
		Used: wire.HostSize{VCPUs: h.Used.VCPUs, MemoryMiB: h.Used.MemoryMiB},
		ID:   h.ID, Name: h.Name, VCPUs: h.VCPUs, MemoryMiB: h.MemoryMiB, Accel: h.Accel, Version: h.Version,
		Hypervisor: h.Hypervisor, Problem: wireProblem(h.Problem),
		HeartbeatAt: wireTime(h.HeartbeatAt), StartedAt: wireTime(h.StartedAt),
	}
}

func wireEvent(e cloud.Event) wire.Event {
	return wire.Event{
		Seq: e.Seq, At: wireTime(e.At), TenantID: e.TenantID, Kind: string(e.Subject.Kind), ObjectID: e.Subject.ID,
		Name: e.Name, Type: e.Type, Message: e.Message, Data: neverNil(e.Data),
	}
}
