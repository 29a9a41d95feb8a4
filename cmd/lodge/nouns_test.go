package main

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"lodge/api/wire"
)

func debian(state string) wire.Image {
	return wire.Image{
		ID: imageID, Name: "debian-12", TenantID: homeID, Labels: map[string]string{}, CreatedAt: ago(50 * time.Hour), UpdatedAt: ago(time.Hour),
		Public: true, Default: true, Source: "url", URL: "https://images.example/d.qcow2", Firmware: "uefi", LoginUser: "debian",
		State: state, Format: "qcow2", SizeBytes: 350 << 20, VirtualSize: 3 << 30, SHA256: "ab12", BytesDone: 100 << 20, BytesTotal: 350 << 20,
	}
}

func usageOf(names ...string) wire.Usage {
	amounts := wire.Amounts{
		InstanceHours: "1.500000", VCPUHours: "3.000000", MemoryGiBHours: "6.000000", DiskGiBHours: "30.000000",
		InstanceMS: "5400000", VCPUMS: "10800000", MemoryMiBMS: "22118400000", DiskGiBMS: "108000000",
		EgressBytes: "1288490188", IngressBytes: "73400320", Open: true,
		Allocated: wire.Allocated{
			InstanceHours: "1.600000", VCPUHours: "3.200000", MemoryGiBHours: "6.400000",
			InstanceMS: "5760000", VCPUMS: "11520000", MemoryMiBMS: "23592960000",
		},
	}
	t := wire.TenantUsage{TenantID: homeID, Tenant: "default", Amounts: amounts, ImageAmounts: wire.ImageAmounts{ImageGiBHours: "0.500000", ImageMiBMS: "1843200000"},
		Instances: []wire.InstanceUsage{},
		Images:    []wire.ImageUsage{{ID: db1ID, Name: "debian-12", ImageAmounts: wire.ImageAmounts{ImageGiBHours: "0.500000", ImageMiBMS: "1843200000"}, Open: true}}}
	for _, n := range names {
		t.Instances = append(t.Instances, wire.InstanceUsage{ID: db1ID, Name: n, Amounts: amounts})
	}
	return wire.Usage{From: ago(24 * time.Hour), To: ago(0), At: ago(0), Tenants: []wire.TenantUsage{t}}
}

func TestUsageAndEventsAreShown(t *testing.T) {
	event := func(seq int64, what, message string) wire.Event {
		return wire.Event{Seq: seq, At: ago(time.Minute), TenantID: homeID, Kind: "instance", ObjectID: web1ID, Name: "web1",
			Type: "instance." + what, Message: message, Data: map[string]string{}}
	}
	stream := func(seqs ...int64) string {
		out := "id: 9\nretry: 1000\n\n"
		for _, seq := range seqs {
			b, err := json.Marshal(event(seq, "stopped", "The instance web1 is stopped."))
			if err != nil {
				t.Fatal(err)
			}
			out += fmt.Sprintf("id: %d\nevent: instance.stopped\ndata: %s\n\n", seq, b)
		}
		return out
	}
	const revoked = "event: end\ndata: {\"status\":403,\"code\":\"forbidden\",\"detail\":\"What you may see has changed; connect again.\"}\n\n"
	two := wire.List[wire.Event]{Items: []wire.Event{event(7, "created", "The instance web1 was asked for."), event(9, "running", "The instance web1 runs.")}}
	more := two
	more.Next = "9"
	rest := wire.List[wire.Event]{Items: []wire.Event{event(12, "stopped", "The instance web1 is stopped.")}}
	runGolden(t, []golden{
		{"usage", "usage", func(b *bench) { b.on("GET /v1/usage", usageOf("web1")) }},
		{"usage-of-nobody", "usage", func(b *bench) {
			u := usageOf("web1")
			u.Tenants[0].Tenant = "" // it is deleted
			b.on("GET /v1/usage", u)
		}},
		{"usage-json", "usage --tenant acme -o json", func(b *bench) { b.on("GET /v1/usage", usageOf("web1")) }},
		{"usage-verify", "usage verify", func(b *bench) {
			b.on("GET /v1/usage/verify", wire.UsageVerification{
				OK: true, Intervals: 1042, Hours: 720, Links: 1803, To: ago(time.Hour),
				Head: wire.ChainLink{Number: 1803, SHA256: "6b86b273"}, Findings: []wire.UsageFinding{},
			})
		}},
		{"usage-verify-wrong", "usage verify", func(b *bench) {
			b.on("GET /v1/usage/verify", wire.UsageVerification{
				Intervals: 1042, Wrong: 2, Findings: []wire.UsageFinding{
					{Check: "chain", Table: "usage_interval", Row: 17, Message: "Link 4 does not fit: this row, the link or one before it was changed."},
					{Check: "conservation", Table: "usage_hour", Message: "Of tenant t the intervals have 5 more of vcpu than the closed hours, in amount x milliseconds."},
				},
			})
		}},
		{"usage-month", "usage web1 --month 2026-11", func(b *bench) { b.on("GET /v1/usage", usageOf("web1")) }},
		{"usage-from", "usage --from 2026-11-01 --to 2026-11-02T12:30:00+01:00", func(b *bench) { b.on("GET /v1/usage", usageOf()) }},
		{"usage-deleted", "usage db1", func(b *bench) { b.on("GET /v1/instances", instances()).on("GET /v1/usage", usageOf("db1")) }},
		{"usage-deleted-twice", "usage db1", func(b *bench) { b.on("GET /v1/instances", instances()).on("GET /v1/usage", usageOf("db1", "db1")) }},
		{"usage-nobody", "usage db1", func(b *bench) { b.on("GET /v1/instances", instances()).on("GET /v1/usage", usageOf("web1")) }},
		{"usage-bad-month", "usage --month november", nil},
		{"usage-both", "usage --month 2026-11 --from 2026-11-02", nil},
		{"events", "events", func(b *bench) { b.on("GET /v1/events", two) }},
		{"events-parts", "events web1 --after 5 --tail 2", func(b *bench) { b.on("GET /v1/events", more, rest) }},
		{"events-json", "events -o json --tail 1", func(b *bench) { b.on("GET /v1/events", two) }},
		{"events-none", "events --tail 0", func(b *bench) { b.on("GET /v1/events", two) }},
		{"events-follow-new", "events --follow --tail 0 -o json", func(b *bench) {
			b.on("GET /v1/events", two).on("GET /v1/events/stream", sse(stream(12)+revoked))
		}},
		{"events-follow", "events --follow -o json", func(b *bench) {
			b.on("GET /v1/events", two).on("GET /v1/events/stream", sse(stream(9, 12)), problem{Status: 503, Code: "unavailable", Detail: "lodged starts."}, sse(stream(12, 13)+revoked))
		}},
		{"events-follow-one", "events web1 --follow --after 9", func(b *bench) {
			b.on("GET /v1/events", wire.List[wire.Event]{}).on("GET /v1/events/stream", sse(stream(12)+revoked))
		}},
		{"events-follow-many", "events --follow", func(b *bench) {
			b.on("GET /v1/events", two).on("GET /v1/events/stream", problem{Status: 429, Code: "rate_limited", Detail: "You have 64 streams of events open already, and more are not allowed; close one first."})
		}},
	})
}

func TestImagesAreImported(t *testing.T) {
	upload := func(b *bench) {
		b.put(t, "d.qcow2", "QFI...")
		b.on("POST /v1/images", status{201, debian("active")})
	}
	queued, part := debian("queued"), debian("importing")
	queued.BytesDone, queued.BytesTotal = 0, 0
	broken := debian("error")
	broken.Problem = &wire.Problem{Code: "checksum_mismatch", Message: "The bytes do not have the promised sha256.", Since: ago(time.Minute)}
	fetch := func(answers ...any) func(*bench) {
		return func(b *bench) { b.on("POST /v1/images", status{202, queued}).on("GET /v1/images/"+imageID, answers...) }
	}
	tenants := wire.List[wire.Tenant]{Items: []wire.Tenant{{ID: acmeID, Name: "acme"}, {ID: homeID, Name: "default"}}}
	runGolden(t, []golden{
		{"image-import-stdin", "image import - --name debian-12", func(b *bench) {
			upload(b)
			b.in.Reset("QFI...")
		}},
		{"image-import-refused", "image import - --name debian-12", func(b *bench) {
			b.in.Reset("PK")
			b.on("POST /v1/images", problem{Status: 400, Code: "image_format", Detail: "The bytes are neither raw nor qcow2."})
		}},
		{"image-import-url", "image import https://images.example/d.qcow2 --name debian-12 --sha256 sha256:AB12 --firmware uefi --user debian --public --default", fetch(part, debian("active"))},
		{"image-import-url-bad", "image import https://images.example/d.qcow2 --name debian-12", fetch(part, broken)},
		{"image-import-url-later", "image import https://images.example/d.qcow2 --name debian-12 --no-wait", fetch()},
		{"image-import-url-late", "image import https://images.example/d.qcow2 --name debian-12 --timeout 500ms", fetch(part)},
		{"image-import-nameless", "image import x.raw", nil},
		{"image-import-missing", "image import x.raw --name x", nil},
		{"image-import-folder", "image import . --name x", nil},
		{"image-list", "image list", func(b *bench) {
			b.on("GET /v1/images", wire.List[wire.Image]{Items: []wire.Image{debian("active"), part}})
		}},
		{"image-show", "image show debian-12", func(b *bench) {
			b.on("GET /v1/tenants", tenants).on("GET /v1/images", wire.List[wire.Image]{Items: []wire.Image{broken}})
		}},
		{"image-delete", "image delete debian-12", func(b *bench) {
			b.on("GET /v1/images", wire.List[wire.Image]{Items: []wire.Image{debian("active")}}).on("DELETE /v1/images/"+imageID, nil)
		}},
		{"image-delete-yes", "image delete debian-12 --yes", func(b *bench) {
			b.on("GET /v1/images", wire.List[wire.Image]{Items: []wire.Image{debian("active")}}).on("DELETE /v1/images/"+imageID, nil)
		}},
		{"image-delete-used", "image delete debian-12", func(b *bench) {
			b.on("GET /v1/images", wire.List[wire.Image]{Items: []wire.Image{debian("active")}}).
				on("DELETE /v1/images/"+imageID, problem{Status: 409, Code: "in_use", Detail: "The image debian-12 is used by 1 instance."})
		}},
	})
	b := newBench(t)
	upload(b)
	if code := b.run("image", "import", b.dir+"/d.qcow2", "--name", "debian-12", "--tenant", "acme", "--public"); code != exitOK {
		t.Errorf("exit %d: %s", code, b.err.String())
	}
	if want := "POST /v1/images?name=debian-12&public=true&tenant=acme QFI..."; b.asked[0] != want {
		t.Errorf("asked %s, want %s", b.asked[0], want)
	}
}

func TestSmallNounsAreShown(t *testing.T) {
	acme := wire.Tenant{ID: acmeID, Name: "acme", Labels: map[string]string{"plan": "gold"}, CreatedAt: ago(49 * time.Hour)}
	tenants := wire.List[wire.Tenant]{Items: []wire.Tenant{acme, {ID: homeID, Name: "default", CreatedAt: ago(50 * time.Hour)}}}
	flavor := wire.Flavor{ID: "c2-m4", VCPUs: 2, MemoryMiB: 4096, DiskGiB: 20, CreatedAt: ago(time.Hour)}
	network := wire.Network{ID: netID, Name: "default", TenantID: homeID, Labels: map[string]string{}, CreatedAt: ago(time.Hour), Default: true,
		Subnets: []wire.Subnet{{ID: "s", CIDR: "10.77.0.0/24", Gateway: "10.77.0.1", DHCP: true, DNS: []string{}}}}
	host := wire.Host{ID: "h", Name: "rack1", VCPUs: 8, MemoryMiB: 32768, Accel: "kvm", Version: "v0.1", Hypervisor: "QEMU 7.2.0, libvirt 9.0.0", HeartbeatAt: ago(4 * time.Second)}
	runGolden(t, []golden{
		{"tenant-create", "tenant create acme --label plan=gold", func(b *bench) { b.on("POST /v1/tenants", acme) }},
		{"tenant-list", "tenant list", func(b *bench) { b.on("GET /v1/tenants", tenants) }},
		{"tenant-show", "tenant show acme", func(b *bench) { b.on("GET /v1/tenants", wire.List[wire.Tenant]{Items: []wire.Tenant{acme}}) }},
		{"tenant-delete", "tenant delete acme", func(b *bench) {
			b.on("GET /v1/tenants", wire.List[wire.Tenant]{Items: []wire.Tenant{acme}}).on("DELETE /v1/tenants/"+acmeID, nil)
		}},
		{"tenant-set", "tenant set acme --label plan=silver --unlabel draft", func(b *bench) {
			b.on("GET /v1/tenants", wire.List[wire.Tenant]{Items: []wire.Tenant{acme}}).on("PATCH /v1/tenants/"+acmeID, acme)
		}},
		{"tenant-set-nothing", "tenant set acme", nil},
		{"tenant-set-both", "tenant set acme --label plan=silver --unlabel plan", nil},
		{"tenant-set-forbidden", "tenant set acme --unlabel plan", func(b *bench) {
			b.on("GET /v1/tenants", wire.List[wire.Tenant]{Items: []wire.Tenant{acme}}).
				on("PATCH /v1/tenants/"+acmeID, problem{Status: 403, Code: "forbidden", Detail: "Only an operator changes tenants; ask yours."})
		}},
		{"network-set", "network set default --label team=red --unlabel draft", func(b *bench) {
			b.on("GET /v1/networks", wire.List[wire.Network]{Items: []wire.Network{network}}).on("PATCH /v1/networks/"+netID, network)
		}},
		{"network-set-json", "network set default --unlabel draft -o json", func(b *bench) {
			b.on("GET /v1/networks", wire.List[wire.Network]{Items: []wire.Network{network}}).on("PATCH /v1/networks/"+netID, network)
		}},
		{"network-set-missing", "network set nowhere --label a=b", func(b *bench) { b.on("GET /v1/networks", wire.List[wire.Network]{}) }},
		{"network-list-label", "network list -l team=red", func(b *bench) {
			red := network
			red.Labels = map[string]string{"team": "red"}
			b.on("GET /v1/tenants", tenants).on("GET /v1/networks", wire.List[wire.Network]{Items: []wire.Network{red}})
		}},
		{"flavor-list", "flavor list", func(b *bench) { b.on("GET /v1/flavors", wire.List[wire.Flavor]{Items: []wire.Flavor{flavor}}) }},
		{"flavor-show", "flavor show c2-m4", func(b *bench) { b.on("GET /v1/flavors/c2-m4", flavor) }},
		{"flavor-create", "flavor create c2-m4 --vcpus 2 --memory 4GB --disk 20GB", func(b *bench) { b.on("POST /v1/flavors", flavor) }},
		{"flavor-create-half", "flavor create c2-m4 --vcpus 2", nil},
		{"flavor-delete", "flavor delete c2-m4", func(b *bench) { b.on("GET /v1/flavors/c2-m4", flavor).on("DELETE /v1/flavors/c2-m4", nil) }},
		{"network-list", "network list", func(b *bench) {
			b.on("GET /v1/tenants", tenants).on("GET /v1/networks", wire.List[wire.Network]{Items: []wire.Network{network}})
		}},
		{"network-list-json", "network list -o json", func(b *bench) { b.on("GET /v1/networks", wire.List[wire.Network]{Items: []wire.Network{network}}) }},
		{"network-list-unnamed", "network list", func(b *bench) { b.on("GET /v1/networks", wire.List[wire.Network]{Items: []wire.Network{network}}) }},
		{"network-show", "network show default", func(b *bench) {
			b.on("GET /v1/tenants", tenants).on("GET /v1/networks", wire.List[wire.Network]{Items: []wire.Network{network}})
		}},
		{"host-list", "host list", func(b *bench) { b.on("GET /v1/hosts", wire.List[wire.Host]{Items: []wire.Host{host}}) }},
		{"version", "version", func(b *bench) { b.on("GET /v1/version", wire.Version{Version: "v0.1", API: "v1"}) }},
		{"complete-instances", "__complete show w", nil},
		{"complete-first-only", "__complete show web1 w", nil},
		{"complete-output", "__complete list -o j", nil},
	})
}

func TestATenantsOwnImageGoesBeforePublicOnes(t *testing.T) {
	public, own, other := debian("active"), debian("active"), debian("active")
	own.ID, own.TenantID, own.Public, own.Default = db1ID, acmeID, false, false
	other.ID, other.TenantID = netID, web1ID
	acme := wire.List[wire.Tenant]{Items: []wire.Tenant{{ID: acmeID, Name: "acme"}}}
	images := func(items ...wire.Image) func(*bench) {
		return func(b *bench) {
			b.on("GET /v1/images", wire.List[wire.Image]{Items: items}).on("GET /v1/tenants", acme).on("GET /v1/tenants/"+acmeID, acme.Items[0]).
				on("DELETE /v1/images/"+db1ID, nil).on("PATCH /v1/images/"+db1ID, own)
		}
	}
	runGolden(t, []golden{
		{"image-own-list", "--tenant acme image list", images(public, own)},
		{"image-own-show", "--tenant acme image show debian-12", images(public, own)},
		{"image-own-id", "--tenant " + acmeID + " image show debian-12 -o json", images(public, own)},
		{"image-own-delete", "--tenant acme image delete debian-12", images(public, own)},
		{"image-own-update", "--tenant acme image update debian-12 --public=false", images(public, own)},
		{"image-own-unsaid", "image show debian-12", images(public, own)},
		{"image-own-none", "--tenant acme image show debian-12", images(public, other)},
	})
}

func TestImagesAreChanged(t *testing.T) {
	image := func(b *bench) {
		golden := debian("active")
		golden.Name = "golden"
		b.on("GET /v1/images", wire.List[wire.Image]{Items: []wire.Image{debian("active")}}).on("PATCH /v1/images/"+imageID, golden)
	}
	runGolden(t, []golden{
		{"image-update", "image update debian-12 --name golden --default --public=false --label team=red --label env= --unlabel draft", image},
		{"image-update-json", "image update debian-12 --public -o json", image},
		{"image-update-unprotect", "image update debian-12 --unprotect", image},
		{"image-update-nothing", "image update debian-12", nil},
		{"image-update-both", "image update debian-12 --label a=b --unlabel a", nil},
		{"image-update-unlabel-empty", "image update debian-12 --unlabel=", nil},
		{"image-update-missing", "image update nobody --default", func(b *bench) { b.on("GET /v1/images", wire.List[wire.Image]{}) }},
		{"image-update-refused", "image update debian-12 --public", func(b *bench) {
			image(b)
			b.on("PATCH /v1/images/"+imageID, problem{Status: 403, Code: "forbidden", Detail: "Only an operator makes an image public."})
		}},
	})
}
