package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
)

// points are where a lodged that is built for it ends itself: before and behind
// each call to libvirt that changes something, and around what is written down.
var points = []string{
	"CreateDisk:before", "CreateDisk:after", "WriteSeed:before", "WriteSeed:after", "EnsureNetwork:before", "EnsureNetwork:after",
	"EnsurePort:before", "EnsurePort:after", "DefineGuest:before", "DefineGuest:after", "PowerGuest:start:before", "PowerGuest:start:after",
	"PowerGuest:destroy:before", "PowerGuest:destroy:after", "PowerGuest:shutdown:after", "PowerGuest:reset:after",
	"RemoveGuest:before", "RemoveGuest:after", "RemoveDisk:before", "RemoveDisk:after", "RemovePort:before", "RemovePort:after",
	"RemoveNetwork:before", "RemoveNetwork:after", "RecordInstance:before", "RecordInstance:after", "RecordNetwork:before", "RecordNetwork:after",
	"RecordTraffic:before", "Heartbeat:before", "Heartbeat:after", "RecordHostProblem:after",
}

// Whatever the moment: lodged is ended while two tenants make, change and delete
// up to 30 instances, some with UEFI: half of the times it is killed at a named step,
// a quarter at a random moment, and a quarter it is stopped in order, or killed while
// it stops. Then everything that was promised is there, everything that is there
// was promised, and all is read by other eyes than lodge's: virsh, the file
// systems, and the database file.
//
// LODGE_CHAOS_KILLS says how often (make chaos: 200), LODGE_CHAOS_SEED replays
// what is drawn; which of two processes is faster is the machine's choice.
func TestKilledAtAnyMoment(t *testing.T) {
	kills, seed := 14, uint64(time.Now().UnixNano())
	if s := os.Getenv("LODGE_CHAOS_KILLS"); s != "" {
		kills, _ = strconv.Atoi(s)
	}
	if s := os.Getenv("LODGE_CHAOS_SEED"); s != "" {
		seed, _ = strconv.ParseUint(s, 10, 64)
	}
	if _, err := os.Stat(bin("failpoint/lodged")); err != nil {
		t.Skipf("needs a lodged with failpoints: %v; make build-failpoint makes it", err)
	}
	t.Logf("%d kills, LODGE_CHAOS_SEED=%d", kills, seed)
	l := newLab(t, "--vcpu-overcommit", "64")
	l.stop()
	l.program = "failpoint/lodged"
	l.start()
	l.halting()
	c := &chaos{lab: l, t: t, rand: rand.New(rand.NewPCG(seed, 1)), most: 30, made: map[string]string{}, removed: map[string]bool{}, power: map[string]string{}, herd: map[string]string{}, uefi: map[string]bool{}, points: map[string]int{}}
	c.tenants = []string{"default", "acme"}
	l.lodge("tenant", "create", "acme")

	var people sync.WaitGroup
	for n := range c.tenants {
		for k := range 2 {
			r := rand.New(rand.NewPCG(seed, uint64(10+2*n+k)))
			people.Go(func() {
				for !c.over.Load() {
					c.act(r, n, fmt.Sprintf("p%d%d", n, k))
					time.Sleep(time.Duration(r.Int64N(int64(300 * time.Millisecond))))
				}
			})
		}
	}
	for n := range kills {
		c.kill(n)
	}
	c.over.Store(true)
	people.Wait()
	steps := 0
	for _, n := range c.points {
		steps += n
	}
	t.Logf("%d deaths at a step, %d at a random moment, %d while it stopped, %d stops in order", steps, c.random, c.cut, c.orderly)
	t.Logf("%d requests taken, %d instances promised, %d of their deletions; ended by itself at %v", c.taken.Load(), len(c.made), len(c.removed), c.points)
	c.calm()
	c.look()
	l.clear()
	if left := l.traces(); len(left) > 0 {
		t.Errorf("nothing is left: %v", left)
	}
	if out, code := l.lodgeCode("usage", "verify"); code != 0 {
		t.Errorf("the ledger verifies: %s", out)
	}
}

// chaos is a lab whose lodged is killed.
type chaos struct {
	*lab
	t       *testing.T
	rand    *rand.Rand
	tenants []string
	most    int
	over    atomic.Bool
	taken   atomic.Int64

	mu      sync.Mutex
	made    map[string]string // promised instances -> tenant
	removed map[string]bool
	power   map[string]string // the last wish that was taken
	herd    map[string]string // instances that one person alone changes, together -> who
	uefi    map[string]bool
	points  map[string]int
	n       int

	random, cut, orderly int // ends of lodged
}

// halting imports an image that does nothing: its boot sector halts the CPU. So
// thirty guests cost no more than their QEMUs.
func (l *lab) halting() {
	l.t.Helper()
	raw := make([]byte, 1<<20)
	copy(raw, []byte{0xfa, 0xf4, 0xeb, 0xfc}) // cli; hlt; jmp to the hlt
	raw[510], raw[511] = 0x55, 0xaa
	path := filepath.Join(l.dir, "halt.raw")
	if err := os.WriteFile(path, raw, 0o644); err != nil {
		l.t.Fatal(err)
	}
	l.lodge("image", "import", path, "--name", "halt", "--public", "--default")
	l.lodge("image", "import", path, "--name", "halt-uefi", "--public", "--firmware", "uefi")
}

// kill has one lodged die and another one start.
func (c *chaos) kill(n int) {
	point := ""
	if n%2 == 1 {
		point = points[c.rand.IntN(len(points))]
	}
	c.end(n) // of one that may have been told of a step it has not come to
	c.env = nil
	if point != "" {
		c.env = []string{fmt.Sprintf("LODGE_FAILPOINT=%s#%d", point, 1+c.rand.IntN(2))}
	}
	c.launch()
	if point != "" {
		select {
		case <-c.exited:
			c.mu.Lock()
			c.points[point]++
			c.mu.Unlock()
			c.env = nil
			c.launch()
			return
		case <-time.After(4 * time.Second):
			return // it did not come there
		}
	}
	time.Sleep(time.Duration(c.rand.Int64N(int64(3 * time.Second))))
}

// end ends lodged, every fourth time in order; half of those are killed before they
// are through.
func (c *chaos) end(n int) {
	if n%4 != 2 {
		c.random++
		c.lab.kill()
		return
	}
	if c.rand.IntN(2) == 0 {
		c.cut++
		_ = c.daemon.Process.Signal(syscall.SIGTERM)
		time.Sleep(time.Duration(c.rand.Int64N(int64(300 * time.Millisecond))))
		c.lab.kill()
		return
	}
	c.orderly++
	c.lab.stop()
	if code := c.daemon.ProcessState.ExitCode(); code != 0 && len(c.env) == 0 { // else it may have come to its step
		c.t.Errorf("a stop in order: exit %d", code)
	}
}

// ask sends a request and keeps at it until it is answered: a death of lodged is
// no answer. An Idempotency-Key makes the repeats one.
func (c *chaos) ask(method, path string, body any) (int, map[string]any) {
	var text string
	if body != nil {
		text = jsonOf(body)
	}
	key := uuid.NewString()
	for {
		req, err := http.NewRequest(method, "http://lodge"+path, strings.NewReader(text))
		if err != nil {
			c.t.Error(err)
			return 0, nil
		}
		req.Header.Set("Content-Type", "application/json")
		if method == "POST" {
			req.Header.Set("Idempotency-Key", key)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		resp, err := c.http.Do(req.WithContext(ctx))
		if err != nil {
			cancel()
			if c.over.Load() {
				time.Sleep(time.Second)
			}
			time.Sleep(50 * time.Millisecond)
			continue
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		cancel()
		var out map[string]any
		if err != nil || len(b) > 0 && json.Unmarshal(b, &out) != nil || resp.StatusCode == http.StatusServiceUnavailable || out["code"] == "request_pending" {
			time.Sleep(50 * time.Millisecond)
			continue
		}
		if resp.StatusCode < 300 {
			c.taken.Add(1)
		}
		if resp.StatusCode >= 500 {
			c.t.Errorf("%s %s: %d %s", method, path, resp.StatusCode, b)
		}
		return resp.StatusCode, out
	}
}

// act is one thing that somebody of a tenant asks for.
func (c *chaos) act(r *rand.Rand, n int, who string) {
	tenant := c.tenants[n]
	c.mu.Lock()
	var mine, herd []string
	there := 0
	for id, of := range c.made {
		if of == tenant && !c.removed[id] {
			there++
		}
		switch {
		case of != tenant || c.removed[id]:
		case c.herd[id] == who:
			herd = append(herd, id)
		case c.herd[id] == "":
			mine = append(mine, id)
		}
	}
	c.n++
	name := fmt.Sprintf("vm%d", c.n)
	c.mu.Unlock()
	if there == 0 || there < c.most/len(c.tenants) && r.IntN(2) == 0 {
		c.add(r, tenant, name, who)
		return
	}
	slices.Sort(mine) // the map has no order, and the seed decides
	if len(herd) > 0 && (len(mine) == 0 || r.IntN(4) == 0) {
		c.drive(r, tenant, who, herd)
		return
	}
	if len(mine) == 0 {
		return // all are others' herds
	}
	id := mine[r.IntN(len(mine))]
	switch r.IntN(8) {
	case 0:
		c.wish(id, "running", "start", nil)
	case 1:
		c.wish(id, "stopped", "stop", map[string]any{"force": true})
	case 2:
		c.ask("POST", "/v1/instances/"+id+"/reboot", map[string]any{"force": true})
	case 3:
		c.ask("PATCH", "/v1/instances/"+id, map[string]any{"vcpus": 1 + r.IntN(2), "memory_mib": 64 + 32*r.IntN(3)})
	case 4, 5:
		c.remove(id)
	case 6:
		c.ask("PATCH", "/v1/instances/"+id, map[string]any{"name": name, "labels": map[string]any{"seen": "yes"}})
	case 7:
		c.ask("GET", "/v1/instances/"+id+"/console-log", nil)
	}
}

func (c *chaos) add(r *rand.Rand, tenant, name, who string) {
	power := map[bool]string{true: "running", false: "stopped"}[r.IntN(2) == 0]
	body := map[string]any{"tenant": tenant, "name": name, "vcpus": 1, "memory_mib": 64, "disk_gib": 1, "power": power, "ssh_keys": []string{c.pub()}}
	kind := r.IntN(20)
	switch kind {
	case 0: // its firmware does not halt: not many
		body["image"] = "halt-uefi"
	case 1, 2, 3, 4, 5:
		body["labels"] = map[string]any{"herd": who}
	}
	status, i := c.ask("POST", "/v1/instances", body)
	if i["code"] == "insufficient_capacity" { // what is deleted counts until it is gone
		time.Sleep(time.Second)
		return
	}
	if status != http.StatusAccepted {
		c.t.Errorf("create: %d %v", status, i)
		return
	}
	id := i["id"].(string)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.made[id], c.power[id], c.uefi[id] = tenant, power, kind == 0
	if body["labels"] != nil {
		c.herd[id] = who
	}
}

// drive starts or stops all of one person's herd in one request, or removes one.
func (c *chaos) drive(r *rand.Rand, tenant, who string, herd []string) {
	slices.Sort(herd)
	do := r.IntN(5)
	if do == 0 || r.IntN(5) < len(herd)-3 { // not many: each holds a place
		c.remove(herd[r.IntN(len(herd))])
		return
	}
	path, power, body := "/v1/instances/start", "running", map[string]any{}
	if do > 2 {
		path, power, body = "/v1/instances/stop", "stopped", map[string]any{"force": true}
	}
	status, out := c.ask("POST", path+"?tenant="+tenant+"&label=herd%3D"+who, body)
	if status != http.StatusAccepted || out["skipped"] != nil && len(out["skipped"].([]any)) > 0 {
		c.t.Errorf("%s: %d %v", path, status, out)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range herd {
		c.power[id] = power
	}
}

func (c *chaos) remove(id string) {
	c.mu.Lock()
	c.removed[id] = true // from now on nobody else asks for anything of it
	c.mu.Unlock()
	if status, out := c.ask("DELETE", "/v1/instances/"+id, nil); status != http.StatusAccepted && status != http.StatusNotFound {
		c.t.Errorf("delete: %d %v", status, out)
	}
}

func (c *chaos) wish(id, power, act string, body any) {
	if status, _ := c.ask("POST", "/v1/instances/"+id+"/"+act, body); status == http.StatusAccepted {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.power[id] = power
	}
}

// calm waits until nothing is left to do.
func (c *chaos) calm() {
	c.env = nil
	c.lab.kill()
	c.lab.start()
	c.eventually(4*time.Minute, "every instance is as it was asked to be", func() bool {
		for _, i := range c.all() {
			if i["settled"] != true || i["problem"] != nil || i["state"] != i["power"] {
				return false
			}
		}
		return true
	})
}

// all are the instances of all tenants, page by page.
func (c *chaos) all() []map[string]any { return c.list("/v1/instances?limit=500") }

// launch starts lodged without waiting for its answer.
func (c *chaos) launch() {
	c.t.Helper()
	if err := c.spawn(); err != nil {
		c.t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("unix", c.socket)
		if err == nil {
			conn.Close()
			return
		}
		select {
		case <-c.exited:
			return
		default:
		}
	}
	c.t.Fatal("lodged does not listen")
}
