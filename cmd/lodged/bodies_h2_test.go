package main

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// Over HTTP/2 it is lodged and not the kernel that keeps what nobody has read
// yet, so the bound is on each connection too.
func TestLargeBodiesOverHTTP2(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped by -short: five hundred handshakes take some seconds")
	}
	const clients = 500
	p := startProcess(t, "--rate-limit", "0")
	token := p.login()
	body := []byte(`{"id":"` + strings.Repeat("x", eachBody-9) + `"}`)
	dialing, all := make(chan struct{}, 32), make(chan struct{})
	var sum sync.Mutex
	said := map[string]int{}
	var connected, done sync.WaitGroup
	connected.Add(clients)
	for i := range clients {
		done.Go(func() {
			from := &net.TCPAddr{IP: net.IPv4(127, 78, 0, byte(1+i/perAddress))}
			c := &http.Client{Timeout: time.Minute, Transport: &http.Transport{
				ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
				DialContext: (&net.Dialer{LocalAddr: from}).DialContext,
			}}
			defer c.CloseIdleConnections()
			send := func(method, path string, body []byte) string {
				req, err := http.NewRequest(method, p.url(path), bytes.NewReader(body))
				if err != nil {
					return err.Error()
				}
				req.Header.Set("Authorization", "Bearer "+token)
				req.Header.Set("Content-Type", "application/json")
				resp, err := c.Do(req)
				if err != nil {
					return err.Error()
				}
				resp.Body.Close()
				return fmt.Sprint(resp.Proto, " ", resp.StatusCode)
			}
			dialing <- struct{}{}
			first := send("GET", "/v1/whoami", nil)
			<-dialing
			connected.Done()
			<-all
			what := send("POST", "/v1/flavors", body)
			sum.Lock()
			defer sum.Unlock()
			said[first]++
			said[what]++
		})
	}
	connected.Wait()
	before := p.status("VmRSS")
	close(all)
	done.Wait()
	peak := p.status("VmHWM")
	t.Logf("%d MiB before, at most %d MiB; answers %v", before>>10, peak>>10, said)
	if said["HTTP/2.0 200"] != clients || said["HTTP/2.0 503"]+said["HTTP/2.0 400"] != clients || said["HTTP/2.0 503"] == 0 {
		t.Errorf("answers %v", said)
	}
	if peak > 448<<10 {
		t.Errorf("lodged took %d MiB", peak>>10)
	}
}
