package cloud

import "testing"

func TestPlaceRefusesWhatNoHostCouldRun(t *testing.T) {
	small := Host{Meta: Meta{ID: "small"}, Name: "small", VCPUs: 2, MemoryMiB: 4096}
	large := Host{Meta: Meta{ID: "large"}, Name: "large", VCPUs: 16, MemoryMiB: 65536}
	for _, tc := range []struct {
		name  string
		hosts []Host
		need  Need
		want  string // "" CodeCapacity
	}{
		{"no host", nil, Need{VCPUs: 1, MemoryMiB: 512}, ""},
		{"the first host fits", []Host{small, large}, Need{VCPUs: 2, MemoryMiB: 4096}, "small"},
		{"only the second host fits", []Host{small, large}, Need{VCPUs: 2, MemoryMiB: 4097}, "large"},
		{"too much memory", []Host{small}, Need{VCPUs: 1, MemoryMiB: 4097}, ""},
		{"as many vCPUs as allowed", []Host{small}, Need{VCPUs: 16, MemoryMiB: 512}, "small"},
		{"too many vCPUs", []Host{small}, Need{VCPUs: 17, MemoryMiB: 512}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := Place(tc.hosts, tc.need)
			if got != tc.want {
				t.Fatalf("got %q, %v, want %q", got, err, tc.want)
			}
			if (tc.want == "") != (CodeOf(err) == CodeCapacity) {
				t.Fatalf("got error %v", err)
			}
		})
	}
}
