package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// told gives what lodged says of a mistake, with the config file's path as FILE.
func told(t *testing.T, path string, args ...string) string {
	t.Helper()
	cmd := command()
	cmd.SetArgs(append(args, "--accel=none")) // refused last of all: nothing is ever started
	cmd.SetOut(io.Discard)
	cmd.SetErr(io.Discard)
	err := cmd.ExecuteContext(t.Context())
	if err == nil {
		t.Fatalf("lodged takes %q", args)
	}
	return strings.Replace(sentence(err), "config "+path, "config FILE", 1)
}

func TestAMistakeInTheConfigFileIsOneSentenceWithItsKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lodged.yaml")
	for _, c := range []struct{ name, file, want string }{
		{"list", "- workers\n- sweep\n", "config FILE: write each setting on a line of its own, as `workers: 4`."},
		{"text", "workers\n", "config FILE: write each setting on a line of its own, as `workers: 4`."},
		{"twice", "workers: 4\nworkers: 5\nsweep: 5s\nsweep: 6s\n", `config FILE: line 2: key "workers" is given twice.`},
		{"syntax", "workers: 4\n  sweep: [\n", "config FILE: line 2: mapping values are not allowed in this context."},
		{"null", "workers:\n", "config FILE: workers is empty; give it a value or leave it out."},
		{"empty", "socket: ''\n", "config FILE: socket is empty; give it a value or leave it out."},
		{"not a number", "workers: many\n", `config FILE: workers "many": use a whole number.`},
		{"half a worker", "workers: 1.5\n", `config FILE: workers "1.5": use a whole number.`},
		{"large number", "workers: 100000000000000000000000\n", `config FILE: workers "1e+23": use a whole number.`},
		{"no unit", "sweep: 30\n", `config FILE: sweep "30": use a time, as 30s.`},
		{"not a switch", "sim: perhaps\n", `config FILE: sim "perhaps": use true or false.`},
		{"list for one", "socket: [/a, /b]\n", "config FILE: socket takes one value and not a list."},
		{"map for one", "socket: {path: /a}\n", "config FILE: socket has a value that is no plain text; write it as socket: VALUE."},
		{"null in a list", "import-allow: [10.0.0.0/8, null]\n", "config FILE: import-allow is empty; give it a value or leave it out."},
		{"help", "help: true\n", "config FILE: \"help\" is no setting; `lodged --help` lists them."},
		{"version", "version: true\n", "config FILE: \"version\" is no setting; `lodged --help` lists them."},
		{"config", "config: /b\n", "config FILE: \"config\" is no setting; `lodged --help` lists them."},
		{"unknown", "worker: 4\n", "config FILE: \"worker\" is no setting; `lodged --help` lists them."},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := os.WriteFile(path, []byte(c.file), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, command := range [][]string{nil, {"doctor"}} {
				if got := told(t, path, append(command, "--config", path)...); got != c.want {
					t.Errorf("%q says\n%s\nwant\n%s", command, got, c.want)
				}
			}
		})
	}
	if err := os.WriteFile(path, []byte("output: json\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := told(t, path, "doctor", "--config", path); !strings.Contains(got, `"output" is no setting`) {
		t.Errorf("a flag of doctor is a setting: %s", got)
	}
}

func TestAMistakeOnTheCommandLineIsOneSentenceWithItsFlag(t *testing.T) {
	for _, c := range []struct{ arg, want string }{
		{"--data-dir=", "--data-dir is empty; give it a value or leave it out."},
		{"--socket=", "--socket is empty; give it a value or leave it out."},
		{"--config=", "--config is empty; give it a value or leave it out."},
		{"--workers=x", `--workers "x": use a whole number.`},
		{"--sweep=x", `--sweep "x": use a time, as 30s.`},
		{"--sim=x", `--sim "x": use true or false.`},
	} {
		for _, command := range [][]string{nil, {"doctor"}} {
			if got := told(t, "FILE", append(command, c.arg)...); got != c.want {
				t.Errorf("%q says %s, want %s", append(command, c.arg), got, c.want)
			}
		}
	}
}

func TestASecondReceiverOfUsageIsRefused(t *testing.T) {
	got := told(t, "FILE", "--usage-sink", "https://a.example", "--usage-sink", "https://b.example")
	if want := `--usage-sink "https://b.example": use one only.`; got != want {
		t.Errorf("it says %s, want %s", got, want)
	}
}

func TestTheConfigFileSetsWhatTheCommandLineDoesNot(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lodged.yaml")
	file := "# of this host\nworkers: 8\nsweep: 5s\nsim: true\nmax-image: 68719476736\nimport-allow:\n  - 10.0.0.0/8\n  - 192.168.0.0/16\nsocket: /from/file\n"
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	var f flags
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	f.register(fs)
	if err := fs.Parse([]string{"--config", path, "--socket", "/from/line"}); err != nil {
		t.Fatal(err)
	}
	if err := f.read(fs); err != nil {
		t.Fatal(err)
	}
	if f.workers != 8 || f.sweep.Seconds() != 5 || !f.sim || f.maxImage != "68719476736" || strings.Join(f.importAllow, " ") != "10.0.0.0/8 192.168.0.0/16" {
		t.Errorf("%+v", f)
	}
	if f.socket != "/from/line" {
		t.Errorf("the socket is %s: the command line does not win", f.socket)
	}
	for _, empty := range []string{"", "# nothing\n"} {
		if got, err := settings([]byte(empty)); err != nil || len(got) > 0 {
			t.Errorf("%q sets %v, %v", empty, got, err)
		}
	}
}
