package main

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lodge/api/wire"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden is one command and what it meets. What it prints, asks and exits with
// stands in testdata.
type golden struct {
	name string
	args string // split at blanks; "~" stands for a blank in an argument
	prep func(*bench)
}

func (g golden) argv() []string {
	args := strings.Fields(g.args)
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "~", " ")
	}
	return args
}

func runGolden(t *testing.T, cases []golden) {
	t.Helper()
	for _, g := range cases {
		t.Run(g.name, func(t *testing.T) {
			b := newBench(t)
			if g.prep != nil {
				g.prep(b)
			}
			args := g.argv()
			for i := range args {
				if b.addr != "" {
					args[i] = strings.ReplaceAll(args[i], "ADDR", b.addr)
				}
			}
			got := b.story(args, b.run(args...))
			path := filepath.Join("testdata", g.name+".golden")
			if *update {
				if err := os.MkdirAll("testdata", 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// seen gives web1 in another state.
func seen(state, task string, change ...func(*wire.Instance)) wire.Instance {
	in := web1()
	in.State, in.Task = state, task
	in.Settled = task == ""
	if state != "running" {
		in.Running, in.StartedAt = nil, wire.Time{}
	}
	for _, c := range change {
		c(&in)
	}
	return in
}

func instances(items ...wire.Instance) wire.List[wire.Instance] {
	return wire.List[wire.Instance]{Items: items}
}

func failing(retry bool) func(*wire.Instance) {
	return func(in *wire.Instance) {
		in.Problem = &wire.Problem{Code: "storage_failed", Message: "The disk could not be made.", Since: ago(5 * time.Minute), Attempts: 3}
		if retry {
			in.Problem.RetryAt = ago(-30 * time.Second)
		}
	}
}

func revision(n int64) func(*wire.Instance) { return func(in *wire.Instance) { in.Revision = n } }

func off(in *wire.Instance) { in.Power = "stopped" }

func TestInstancesAreListedAndShown(t *testing.T) {
	db1 := seen("building", "creating", failing(true), func(in *wire.Instance) {
		in.ID, in.Name, in.TenantID, in.Tenant, in.MemoryMiB = db1ID, "db1", acmeID, "acme", 512
		in.Addresses, in.Labels, in.CreatedAt = []string{}, map[string]string{}, ago(90*time.Second)
	})
	pending := seen("running", "", func(in *wire.Instance) { in.Pending, in.VCPUs = true, 4 })
	runGolden(t, []golden{
		{"list", "list", nil},
		{"list-none", "list", func(b *bench) { b.on("GET /v1/instances", instances()) }},
		{"list-none-json", "list -o json", func(b *bench) { b.on("GET /v1/instances", instances()) }},
		{"list-json", "list -o json --state running", nil},
		{"list-yaml", "list -o yaml --tenant acme", nil},
		{"list-problem", "list", func(b *bench) { b.on("GET /v1/instances", instances(web1(), db1)) }},
		{"list-pages", "list", func(b *bench) {
			first := instances(web1())
			first.Next = "more"
			b.on("GET /v1/instances", first, instances(db1))
		}},
		{"show", "show web1", nil},
		{"show-id", "show 11111111-1111-4111-8111-111111111111 -o json", nil},
		{"show-problem", "show db1", func(b *bench) { b.on("GET /v1/instances", instances(db1)) }},
		{"show-problem-ahead", "show db1", func(b *bench) { // lodge's time is three hours ahead of a clock that was set back
			ahead := db1
			p := *ahead.Problem
			p.Since, p.RetryAt = ago(-3*time.Hour), ago(-3*time.Hour-7*time.Second)
			ahead.Problem = &p
			b.on("GET /v1/instances", instances(ahead))
		}},
		{"show-pending", "show web1", func(b *bench) { b.on("GET /v1/instances", instances(pending)) }},
		{"show-missing", "show nobody", func(b *bench) { b.on("GET /v1/instances", instances()) }},
		{"show-missing-id", "show 99999999-9999-4999-8999-999999999999", nil},
		{"show-ambiguous", "show web1", func(b *bench) { b.on("GET /v1/instances", instances(web1(), db1)) }},
		{"console-log", "console-log web1 --tail 100", func(b *bench) {
			b.on("GET /v1/instances/"+web1ID+"/console-log", raw("Linux version 6.1\r\n\x1b[32mok\x1b[0m\n"))
		}},
		{"console-log-none", "console-log web1 --tail 0", nil},
		{"console-log-negative", "console-log web1 --tail -1", nil},
		{"console-log-terminal", "console-log web1", func(b *bench) {
			b.app.ttyOut = true
			b.on("GET /v1/instances/"+web1ID+"/console-log", raw("Linux version 6.1\r\n\x1b[32mok\x1b[0m\n\x1b]0;owned\x07login: "))
		}},
	})
}

func TestInstancesAreMade(t *testing.T) {
	made := seen("requested", "creating")
	building := seen("building", "creating", revision(8))
	running := seen("running", "", revision(9))
	post := func(answers ...any) func(*bench) {
		return func(b *bench) {
			b.on("POST /v1/instances", status{202, made})
			if len(answers) > 0 {
				b.on("GET /v1/instances/"+web1ID, answers...)
			}
		}
	}
	withKey := func(b *bench) {
		post()(b)
		b.put(t, ".ssh/id_ed25519.pub", "ssh-ed25519 AAAA ann@home\n")
		b.put(t, ".ssh/id_rsa.pub", "# old\nssh-rsa BBBB ann@old\n")
		b.put(t, "user.yaml", "#cloud-config\n")
	}
	runGolden(t, []golden{
		{"create", "create web1 --size 2~vCPU,~4GB", withKey},
		{"create-no-key", "create web1", post()},
		{"create-json", "create web1 --no-ssh-key -o json", post()},
		{"create-all", "--tenant acme create web1 --vcpus 4 --memory 8GB --disk 40 --flavor c2-m4 --image debian-12 --ssh-key ssh-ed25519~CCCC~x --label a=b --label c= --stopped", post()},
		{"create-dry-run", "create web1 --no-ssh-key --dry-run", func(b *bench) {
			limit := int64(5)
			in := web1()
			b.on("POST /v1/instances", wire.DryRun{DryRun: true, Action: "instance.create", Instance: &in, Estimate: wire.Estimate{
				VCPUs: 2, Quota: []wire.QuotaEstimate{{Resource: "instances", Before: 1, After: 2, Limit: &limit}, {Resource: "vcpus", Before: 2, After: 4}},
			}})
		}},
		{"create-dry-run-wait", "create web1 --no-ssh-key --dry-run --wait", nil},
		{"create-protect", "create web1 --no-ssh-key --protect", post()},
		{"create-wait", "create web1 --no-ssh-key --wait", post(made, building, seen("building", "creating", revision(10), failing(true)), running)},
		{"create-wait-terminal", "create web1 --no-ssh-key --wait", func(b *bench) {
			b.app.tty = true
			post(building, running)(b)
		}},
		{"create-wait-ssh", "create web1 --no-ssh-key --wait-for ssh", post(running)},
		{"create-wait-stuck", "create web1 --no-ssh-key --wait", post(made, seen("error", "", revision(9), failing(false)))},
		{"create-wait-late", "create web1 --no-ssh-key --wait --timeout 500ms", post(building)},
		{"create-wait-deleted", "create web1 --no-ssh-key --wait", post(building, problem{Status: 404, Code: "not_found", Detail: "There is no instance."})},
		{"create-wait-stopped", "create web1 --no-ssh-key --stopped --wait", post(seen("building", "creating", revision(8), off), seen("stopped", "", revision(9), off))},
		{"create-one-field", "create web1 --no-ssh-key --vcpus 0 --memory 1GB", func(b *bench) {
			b.on("POST /v1/instances", problem{Status: 400, Code: "invalid_request", Detail: "vcpus must be at least 1.",
				Errors: []wire.FieldError{{Field: "vcpus", Message: "vcpus must be at least 1."}}})
		}},
		{"create-fields", "create web~1 --no-ssh-key --vcpus 0 --memory 1GB", func(b *bench) {
			b.on("POST /v1/instances", problem{Status: 400, Code: "invalid_request", Detail: "2 fields are not valid.", Errors: []wire.FieldError{
				{Field: "name", Message: "A name has no blanks."}, {Field: "vcpus", Message: "Use at least 1."}}})
		}},
		{"create-taken", "create web1 --no-ssh-key", func(b *bench) {
			b.on("POST /v1/instances", problem{Status: 409, Code: "name_taken", Detail: "There is an instance web1 already; choose another name."})
		}},
		{"create-defect", "create web1 --no-ssh-key", func(b *bench) {
			b.on("POST /v1/instances", problem{Status: 500, Code: "internal", Detail: "Something went wrong inside lodge; the log of lodged has the cause.", RequestID: "r-1"})
		}},
		{"create-unavailable", "create web1 --no-ssh-key", func(b *bench) {
			b.on("POST /v1/instances", problem{Status: 503, Code: "unavailable", Detail: "lodged is stopping; try again."})
		}},
		{"create-bad-memory", "create web1 --memory much", nil},
		{"create-odd-memory", "create web1 --vcpus 1 --memory 1000000", post()},
		{"create-huge-memory", "create web1 --vcpus 1 --memory 99999999999999999999GB", nil},
		{"create-huge-disk", "create web1 --disk 99999999999999999999", nil},
		{"create-half-vcpus", "create web1 --vcpus 2", nil},
		{"create-half-memory", "create web1 --memory 2GB", nil},
		{"create-flavor-memory", "create web1 --no-ssh-key --flavor c2-m4 --memory 2GB", post()},
		{"create-small-disk", "create web1 --no-ssh-key --disk 1", func(b *bench) {
			text := "The image debian-12 needs a disk of at least 3 GiB and the size has 1; ask for disk_gib 3 or a larger flavor."
			b.on("POST /v1/instances", problem{Status: 400, Code: "invalid_request", Detail: text, Errors: []wire.FieldError{{Field: "disk_gib", Message: text}}})
		}},
		{"create-own-words", "create web1 --no-ssh-key --flavor vcpus", func(b *bench) {
			text := `There is no flavor "give vcpus"; list the flavors to see them, or give vcpus and memory_mib.`
			b.on("POST /v1/instances", problem{Status: 400, Code: "invalid_request", Detail: text, Errors: []wire.FieldError{
				{Field: "flavor", Message: text}, {Field: "user_data", Message: "The label user_data has a value vcpus that is none."}}})
		}},
		{"create-other-words", "create web1 --no-ssh-key", func(b *bench) {
			b.on("POST /v1/instances", problem{Status: 400, Code: "unknown_field", Detail: `There is no field "memory_mib" here.`})
		}},
		{"create-bad-label", "create web1 --no-ssh-key --label x", nil},
		{"create-bad-wait", "create web1 --wait-for lunch", nil},
		{"create-no-key-file", "create web1 --ssh-key nowhere.pub", nil},
		{"create-two-names", "create web1 web2", nil},
	})
}

func TestInstancesAreChanged(t *testing.T) {
	one := "/v1/instances/" + web1ID
	runGolden(t, []golden{
		{"start", "start web1", func(b *bench) { b.on("POST "+one+"/start", seen("stopped", "starting")) }},
		{"start-wait", "start web1 --wait", func(b *bench) { b.on("POST "+one+"/start", web1()) }},
		{"start-wait-again", "start web1 --wait", func(b *bench) {
			untried := seen("error", "", failing(true))
			b.on("POST "+one+"/start", untried).on("GET "+one, untried, seen("stopped", "starting"), web1())
		}},
		{"stop-force-wait", "stop web1 --force --wait", func(b *bench) {
			b.on("POST "+one+"/stop", seen("running", "stopping", off)).on("GET "+one, seen("stopped", "", off))
		}},
		{"stop-wait-restarted", "stop web1 --wait", func(b *bench) {
			b.on("POST "+one+"/stop", seen("running", "stopping", off)).on("GET "+one, web1())
		}},
		{"reboot-wait-ssh", "reboot web1 --wait-for ssh", func(b *bench) {
			old := web1()
			asked := seen("running", "rebooting", func(in *wire.Instance) { in.Generation = 4 })
			done := seen("running", "", revision(9), func(in *wire.Instance) { in.Generation, in.ObservedGeneration = 4, 4 })
			b.on("POST "+one+"/reboot", asked).on("GET "+one, old, asked, done)
		}},
		{"reboot-stopped", "reboot web1", func(b *bench) {
			b.on("POST "+one+"/reboot", problem{Status: 409, Code: "conflict", Detail: "The instance web1 is stopped, so it cannot be rebooted; start it instead."})
		}},
		{"set", "set web1 --name www --label a=b --label old-", func(b *bench) { b.on("PATCH "+one, web1()) }},
		{"set-pending", "set web1 --vcpus 4 --memory 8GiB", func(b *bench) {
			b.on("PATCH "+one, seen("running", "", func(in *wire.Instance) { in.Pending = true }))
		}},
		{"set-protect", "set web1 --protect", func(b *bench) { b.on("PATCH "+one, web1()) }},
		{"set-unprotect", "set web1 --unprotect", func(b *bench) { b.on("PATCH "+one, web1()) }},
		{"set-protect-both", "set web1 --protect --unprotect", nil},
		{"set-nothing", "set web1", nil},
		{"set-dry-run", "set web1 --vcpus 4 --memory 4GB --dry-run", func(b *bench) {
			limit := int64(10)
			in := seen("running", "", func(in *wire.Instance) { in.VCPUs, in.Pending = 4, true })
			b.on("PATCH "+one, wire.DryRun{DryRun: true, Action: "instance.update", Instance: &in, Estimate: wire.Estimate{
				VCPUs: 2, Quota: []wire.QuotaEstimate{{Resource: "vcpus", Before: 2, After: 4, Limit: &limit}},
			}})
		}},
		{"set-dry-run-labels", "set web1 --label a=b --dry-run", func(b *bench) {
			in := web1()
			b.on("PATCH "+one, wire.DryRun{DryRun: true, Action: "instance.update", Instance: &in, Estimate: wire.Estimate{Quota: []wire.QuotaEstimate{}}})
		}},
		{"set-dry-run-refused", "set web1 --vcpus 400 --dry-run", func(b *bench) {
			b.on("PATCH "+one, problem{Status: 409, Code: "quota_exceeded", Detail: "The tenant may have 10 vcpus, has 2 and asked for 398 more."})
		}},
		{"delete-dry-run", "delete web1 --dry-run", func(b *bench) {
			in := web1()
			b.on("DELETE "+one, wire.DryRun{DryRun: true, Action: "instance.delete", Instance: &in, Estimate: wire.Estimate{
				VCPUs: -2, Quota: []wire.QuotaEstimate{{Resource: "instances", Before: 1, After: 0}, {Resource: "vcpus", Before: 2, After: 0}},
			}})
		}},
		{"delete-dry-run-json", "delete web1 --dry-run -o json", func(b *bench) {
			in := web1()
			b.on("DELETE "+one, wire.DryRun{DryRun: true, Action: "instance.delete", Instance: &in, Estimate: wire.Estimate{Quota: []wire.QuotaEstimate{}}})
		}},
		{"delete-dry-run-protected", "delete web1 --dry-run", func(b *bench) {
			b.on("DELETE "+one, problem{Status: 409, Code: "protected", Detail: "The instance web1 is protected from deletion; change its protected to false first."})
		}},
		{"delete-dry-run-wait", "delete web1 --dry-run --wait", nil},
		{"delete-dry-run-two", "delete web1 db1 --dry-run", nil},
		{"delete-unasked", "delete web1", nil},
		{"delete-no", "delete web1", func(b *bench) { b.app.ttyIn = true; b.in.Reset("n\n") }},
		{"delete-yes", "delete web1", func(b *bench) {
			b.app.ttyIn = true
			b.in.Reset("y\n")
			b.on("DELETE "+one, seen("running", "deleting"))
		}},
		{"delete-wait", "delete web1 11111111-1111-4111-8111-111111111111 --yes --wait", func(b *bench) {
			b.on("DELETE "+one, seen("running", "deleting")).
				on("GET "+one, web1(), seen("stopped", "deleting"), problem{Status: 404, Code: "not_found", Detail: "There is no instance."})
		}},
		{"delete-stuck", "delete web1 --yes --wait", func(b *bench) {
			b.on("DELETE "+one, seen("running", "deleting")).on("GET "+one, seen("error", "", failing(false)))
		}},
		{"delete-missing", "delete nobody --yes", func(b *bench) { b.on("GET /v1/instances", instances()) }},
		{"ssh", "ssh web1", nil},
		{"ssh-command", "ssh web1 -- -o BatchMode=yes uname -a", nil},
		{"ssh-user", "ssh -l root -i key -p 2222 web1 ls -l", nil},
		{"ssh-flags-behind", "ssh web1 --user root --identity key -p 2222 -- -L 8080:localhost:80 -N", nil},
		{"ssh-flags-around", "ssh -i key web1 -l root ls -l root", nil},
		{"ssh-plain-command", "ssh web1 uptime", nil},
		{"ssh-dashes-first", "ssh -- web1 ls -l", nil},
		{"ssh-dashes-twice", "ssh web1 -- -- ls", nil},
		{"ssh-tenant-behind", "ssh web1 --tenant acme", nil},
		{"ssh-empty-flag", "ssh web1 --user= -- uptime", nil},
		{"ssh-own-option", "ssh web1 -L 8080:localhost:80", nil},
		{"ssh-bad-port", "ssh web1 --port x", nil},
		{"ssh-stopped", "ssh web1", func(b *bench) { b.on("GET /v1/instances", instances(seen("stopped", "", off))) }},
		{"ssh-option", "ssh web1", func(b *bench) {
			b.on("GET /v1/instances", instances(seen("running", "", func(in *wire.Instance) { in.Addresses = []string{"-oProxyCommand=x"} })))
		}},
	})
}

// put writes a file below the home of the run.
func (b *bench) put(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(b.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
