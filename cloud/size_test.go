package cloud

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestSizesAreUnderstoodAsPeopleWriteThem(t *testing.T) {
	small := Size{2, 4096, 0}
	for text, want := range map[string]Size{
		"2 vCPU, 4GB": small, "2 vcpu 4gb": small, "2cpu 4g": small, "2CPU,4G": small, "4GB memory, 2-core CPU": small, "4 GiB RAM / 2 cores": small,
		"c2-m4": small, "C2M4": small, "2c4g": small, "2c/4g": small, "2 vCPUs and 4 GB of RAM": small, "2 vCPU with 4096 MB": small,
		"cpu=2 mem=4g": small, "cpu: 2, memory: 4 GiB": small, "CPU 2 MEM 4096M": small, "2 virtual cores + 4 gigabytes": small,
		"  2\tvCPU ,\u00a04GB\n": small, "2vcpu-4gb": small, "(2 cpu, 4 gb)": small, "memory 4g; cores 2": small, "2 cpu & 4gb": small,
		"c2_m4": small, "2 vCPU | 4 GB": small, "size 2 cpu 4 gb": small, "02 vCPU, 04GB": small, "2 vCPU, 4.0GB": small,
		"1 core / 512 MB": {1, 512, 0}, "1 vcpu 1.5 GB": {1, 1536, 0}, "1 cpu 0.5g": {1, 512, 0}, "c1-m512m": {1, 512, 0},
		"2 vcpus 4 GiB ram 40GB disk": {2, 4096, 40}, "cpu=2 mem=4g disk=40g": {2, 4096, 40}, "c2-m4-d40": {2, 4096, 40}, "2c 4g, 1TB ssd": {2, 4096, 1024},
		"40 GB disk, 2 cores, 4GB": {2, 4096, 40}, "disk 40 GB, 2 cores, 4GB": {2, 4096, 40}, "2c 4g 0.5tb storage": {2, 4096, 512}, "2c 4g 10240 MB disk": {2, 4096, 10},
		"256 vCPU, 4TB": {256, 4 << 20, 0}, "1 vCPU, 64MB": {1, 64, 0},
	} {
		got, err := ParseSize(text)
		if err != nil || got != want {
			t.Errorf("%q: got %+v, %v, want %+v", text, got, err, want)
		}
	}
}

func TestSizesThatAreNoneAreRefusedWithASentence(t *testing.T) {
	for text, want := range map[string]string{
		"":                               `neither vCPUs nor memory`,
		" , ":                            `neither vCPUs nor memory`,
		"2 vCPU":                         `names no memory; write it like "2 vCPU, 4GB"`,
		"4GB":                            `names no vCPUs; write it like "2 vCPU, 4GB"`,
		"40GB disk":                      `neither vCPUs nor memory`,
		"big":                            `"big" without a number`,
		"two vcpu 4gb":                   `"two" has no meaning`,
		"2":                              `does not say what "2" is`,
		"2 4":                            `does not say what "2" is`,
		"4x8":                            `does not say which number is what`,
		"2 x 4GB":                        `does not say which number is what`,
		"0 vCPU, 4GB":                    `1 to 256 vCPUs; 0 is outside`,
		"2 vCPU, 0GB":                    `0GB is outside`,
		"2 vCPU, 0.0GB":                  `outside`,
		"-2 vCPU, 4GB":                   `cannot be negative`,
		"2 vCPU, -4GB":                   `cannot be negative`,
		"2 vCPU, -.5GB":                  `cannot be negative`,
		"1.5 vCPU, 4GB":                  `1.5 is not a whole number`,
		"0.5 vCPU, 4GB":                  `not a whole number`,
		"257 vCPU, 4GB":                  `257 is outside`,
		"99999999999 vCPU, 4GB":          `outside`,
		"2 vCPU, 5TB":                    `64 MiB to 4096 GiB of memory; 5TB is outside`,
		"2 vCPU, 63MB":                   `63MB is outside`,
		"2 vCPU, 99999999999999999999GB": `outside`,
		"2 vCPU, 1.1MB":                  `not`,
		"2 vCPU, 1.3GB":                  `whole MiB`,
		"2 vCPU, 1.2.3GB":                `outside`,
		"2 vCPU, 4GB, 8GB":               `memory twice: 4GB and 8GB`,
		"2 vCPU, 4 cores 4g":             `vCPUs twice`,
		"2 vCPU 4GB 40GB":                `call one of them disk`,
		"2c 4g 40g disk 50g disk":        `disk twice`,
		"2c 4g, 0GB disk":                `outside`,
		"2c 4g, 100TB disk":              `1 to 65536 GiB`,
		"2c 4g, 500MB disk":              `whole GiB`,
		"2c 4g, 40 disk":                 `no unit for the disk`,
		"2 vCPU, 4 memory":               `no unit for the memory; write 4GB or 4MB`,
		"2 vCPU, 4,5GB":                  `what "4" is`,
		"2 vCPU, 4 kB":                   `"kB" has no meaning`,
		"2 vCPU, 4GB 3GHz":               `has no meaning`,
		"2X4":                            `The size "2X4" does not say`,
		"1 vCPU, 9999 GB, 4GB":           `9999GB`,
		"2 vCPU @ 4GB":                   `no meaning in a size`,
		"２ vCPU, 4GB":                    `no meaning in a size`,
		"2 vCPU, 4GB cpu":                `vCPUs in bytes`,
		"2 cpu ram, 4g":                  `whether "2" is cpu or memory`,
		"2 cpu gb":                       `vCPUs in bytes`,
		"2cpu, 4gb mb":                   `two units`,
		"\x00":                           `no meaning`,
		"\xff\xfe":                       `no meaning`,
		strings.Repeat("2", 200):         `at most 128 characters`,
	} {
		got, err := ParseSize(text)
		if err == nil {
			t.Errorf("%q: taken as %+v", text, got)
			continue
		}
		msg := MessageOf(err)
		if CodeOf(err) != CodeInvalid || !strings.Contains(msg, want) || !strings.HasSuffix(msg, ".") {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func TestSizesReadBackAsTheyAreWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := Size{
			rapid.IntRange(MinVCPUs, MaxVCPUs).Draw(t, "vcpus"), rapid.IntRange(MinMemoryMiB, MaxMemoryMiB).Draw(t, "memory"),
			rapid.IntRange(0, MaxDiskGiB).Draw(t, "disk"),
		}
		if got, err := ParseSize(s.String()); err != nil || got != s {
			t.Fatalf("%q: got %+v, %v", s, got, err)
		}
	})
}

// What is taken is within the limits, and reads back the same.
func FuzzParseSize(f *testing.F) {
	for _, seed := range []string{"2 vCPU, 4GB", "c2-m4-d40", "4x8", "cpu=2 mem=4g disk=40g", "-1 cpu", "2 vCPU, 1.5GB", "2-core", "m m4 m", "é", "2c4g and", "1e9 cpu 4g"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSize(text)
		if err != nil {
			if CodeOf(err) != CodeInvalid || !strings.HasSuffix(MessageOf(err), ".") {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		if len(ValidateVCPUs("", s.VCPUs)) > 0 || len(ValidateMemoryMiB("", s.MemoryMiB)) > 0 || (s.DiskGiB != 0 && len(ValidateDiskGiB("", s.DiskGiB)) > 0) {
			t.Fatalf("%q: %+v is outside the limits", text, s)
		}
		if again, err := ParseSize(s.String()); err != nil || again != s {
			t.Fatalf("%q: %+v reads back as %+v, %v", text, s, again, err)
		}
	})
}
