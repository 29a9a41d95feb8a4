package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// level is how good or bad a finding is.
type level string

const (
	levelOK   level = "ok"
	levelWarn level = "warn" // lodge works, but not as well as it could, or nobody could look
	levelFail level = "fail" // lodge will not work
)

// finding is the outcome of one check: a sentence on what was found and, unless
// all is well, one on what to do.
type finding struct {
	Check string `json:"check"`
	Level level  `json:"level"`
	Found string `json:"found"`
	Do    string `json:"do,omitempty"`
}

// check is one question to the host. look gathers facts and judges them.
type check struct {
	name string
	sim  bool // also of interest to a pretend host
	look func(context.Context) finding
}

func ok(format string, args ...any) finding {
	return finding{Level: levelOK, Found: fmt.Sprintf(format, args...)}
}

func warn(found, do string) finding { return finding{Level: levelWarn, Found: found, Do: do} }

func fail(found, do string) finding { return finding{Level: levelFail, Found: found, Do: do} }

// unseen is the finding of a check that this user may not make.
func unseen(what string) finding {
	return warn(what+" could not be checked without root.", "Run `sudo lodged doctor`.")
}

func doctorCommand(f *flags) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check whether this host can run guests, and say what to do",
		Long: "doctor looks at everything lodged leans on and changes nothing; an upgrade of the database it tries on a copy. Run it as root to see all of it.\n" +
			"It takes lodged's own flags and config file, so that it looks at the same places.\n" +
			"The exit code is 1 when a check fails; warnings do not count.",
		Example: "  sudo lodged doctor\n  lodged doctor --sim\n  sudo lodged doctor -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "text" && output != "json" {
				return mistake{fmt.Errorf("-o %q: use text or json", output)}
			}
			if err := f.read(cmd.Flags()); err != nil {
				return err
			}
			if _, err := f.daemon(); err != nil {
				return err
			}
			return runDoctor(cmd.Context(), cmd.OutOrStdout(), output, checks(f), f.sim)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	return cmd
}

// checks are all questions, in the order of the report.
func checks(f *flags) []check {
	var lv libvirtFacts
	all := []check{
		{"host", true, func(context.Context) finding { return judgeHost(probeHost()) }},
		{"memory", true, func(context.Context) finding { return judgeMemory(probeMemory()) }},
		{"clock", true, func(context.Context) finding { return judgeClock(probeClock()) }},
		{"data dir", true, func(context.Context) finding { return judgeDataDir(probeDataDir(f.dataDir, f.sim)) }},
		{"disk space", true, func(context.Context) finding { return judgeDisk(probeDisk(f.dataDir)) }},
		{"lock", true, func(context.Context) finding { return judgeLock(probeLock(f.dataDir, f.socket)) }},
		{"database", false, func(ctx context.Context) finding { return judgeDatabase(probeDatabase(ctx, f.dataDir)) }},
		{"group", false, func(context.Context) finding { return judgeGroup(probeGroup()) }},
		{"libvirt", false, func(ctx context.Context) finding {
			lv = probeLibvirt(ctx, f.libvirtURI)
			return judgeLibvirt(lv)
		}},
		{"qemu", false, func(context.Context) finding { return judgeQEMU(probeQEMU(lv)) }},
		{"acceleration", false, func(context.Context) finding { return judgeAccel(probeAccel(f.accel, lv)) }},
		{"uefi", false, func(context.Context) finding { return judgeUEFI(probeUEFI(lv)) }},
		{"dnsmasq", false, func(context.Context) finding { return judgeDnsmasq(findProgram("dnsmasq")) }},
		{"bridge", false, func(context.Context) finding { return judgeBridge(probeBridge()) }},
		{"forwarding", false, func(context.Context) finding { return judgeForwarding(probeForwarding()) }},
		{"firewall", false, func(ctx context.Context) finding { return judgeFirewall(probeFirewall(ctx, f.networkPool)) }},
		{"init", false, func(context.Context) finding { return judgeInit(probeInit()) }},
		{"confinement", false, func(context.Context) finding { return judgeConfinement(probeConfinement(f.dataDir)) }},
		{"sandbox", false, func(context.Context) finding { return judgeSandbox(probeSandbox()) }},
		{"limits", false, func(context.Context) finding { return judgeLimits(probeLimits(lv)) }},
		{"account", false, func(context.Context) finding { return judgeAccount(probeAccount(f.dataDir)) }},
	}
	if f.oidc.issuer != "" {
		all = append(all, check{"sign-on", true, func(ctx context.Context) finding { return judgeOIDC(probeOIDC(ctx, &f.oidc)) }})
	}
	return all
}

// runDoctor asks, writes the report, and returns an error when a check failed.
func runDoctor(ctx context.Context, w io.Writer, output string, all []check, sim bool) error {
	report := struct {
		OK     bool      `json:"ok"`
		Checks []finding `json:"checks"`
	}{OK: true, Checks: []finding{}}
	var failed []string
	for _, c := range all {
		if sim && !c.sim {
			continue
		}
		got := c.look(ctx)
		got.Check = c.name
		if got.Level == levelFail {
			report.OK = false
			failed = append(failed, c.name)
		}
		report.Checks = append(report.Checks, got)
		if output == "text" {
			if err := writeFinding(w, got); err != nil {
				return err
			}
		}
	}
	if output == "json" {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		if err := e.Encode(report); err != nil {
			return err
		}
	}
	switch len(failed) {
	case 0:
		return nil
	case 1:
		return fmt.Errorf("the check of %s failed", failed[0])
	}
	return fmt.Errorf("%d checks failed: %s", len(failed), strings.Join(failed, ", "))
}

func writeFinding(w io.Writer, f finding) error {
	_, err := fmt.Fprintf(w, "%-4s  %-12s  %s\n", f.Level, f.Check, f.Found)
	if err == nil && f.Do != "" {
		_, err = fmt.Fprintf(w, "%20s%s\n", "", f.Do)
	}
	return err
}
