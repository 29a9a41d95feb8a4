package network_test

import (
	"context"
	"fmt"
	"testing"
)

func BenchmarkEnsureAndRemovePort(b *testing.B) {
	needWorld(b)
	h := open(b, "")
	ctx := context.Background()
	for _, others := range []int{0, 20, 100} {
		must(b, h.EnsureNetwork(ctx, spec(1)))
		for i := range others {
			must(b, h.EnsurePort(ctx, id(1), port(1, 20+i, fmt.Sprint("o", i))))
		}
		b.Run(fmt.Sprintf("ensure/others=%d", others), func(b *testing.B) {
			for b.Loop() {
				must(b, h.EnsurePort(ctx, id(1), port(1, 10, "web1")))
				b.StopTimer()
				must(b, h.RemovePort(ctx, id(1), port(1, 10, "web1")))
				b.StartTimer()
			}
		})
		b.Run(fmt.Sprintf("again/others=%d", others), func(b *testing.B) {
			must(b, h.EnsurePort(ctx, id(1), port(1, 10, "web1")))
			for b.Loop() {
				must(b, h.EnsurePort(ctx, id(1), port(1, 10, "web1")))
			}
		})
		b.Run(fmt.Sprintf("remove/others=%d", others), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				must(b, h.EnsurePort(ctx, id(1), port(1, 10, "web1")))
				b.StartTimer()
				must(b, h.RemovePort(ctx, id(1), port(1, 10, "web1")))
			}
		})
		b.Run(fmt.Sprintf("look/ports=%d", others), func(b *testing.B) {
			for b.Loop() {
				_, err := h.LookNetworks(ctx, nil)
				must(b, err)
			}
		})
		b.Run(fmt.Sprintf("look at one/ports=%d", others), func(b *testing.B) {
			for b.Loop() {
				_, err := h.LookNetworks(ctx, []string{id(1)})
				must(b, err)
			}
		})
		must(b, h.RemoveNetwork(ctx, id(1)))
	}
}
