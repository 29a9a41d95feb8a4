package main

import (
	"encoding/json"
	"fmt"
	"io"
	"sort"
	"strings"
	"text/tabwriter"
	"time"

	"sigs.k8s.io/yaml"
)

// table is what people see: a header and rows.
type table struct {
	header []string
	rows   [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) write(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	if len(t.header) > 0 {
		fmt.Fprintln(tw, strings.Join(t.header, "\t"))
	}
	for _, r := range t.rows {
		for i, c := range r {
			if c == "" {
				r[i] = "-"
			}
		}
		fmt.Fprintln(tw, strings.Join(r, "\t"))
	}
	return tw.Flush()
}

// fields is a table of one object: a name and a value a line. Empty values are
// left out.
type fields struct{ table }

func (f *fields) set(name, value string) {
	if value != "" {
		f.add(name+":", value)
	}
}

// writer is a table or something like it.
type writer interface{ write(io.Writer) error }

// print writes v as the user asked: the wire's own types for programs, human
// for people.
func (a *app) print(v any, human func() writer) error {
	switch a.output {
	case outputJSON:
		e := json.NewEncoder(a.out)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return e.Encode(v)
	case outputYAML:
		b, err := yaml.Marshal(v)
		if err != nil {
			return err
		}
		_, err = a.out.Write(b)
		return err
	}
	return human().write(a.out)
}

// list keeps an empty list of a program's output from becoming null.
func list[T any](items []T) []T {
	if items == nil {
		return []T{}
	}
	return items
}

// mib writes memory for people.
func mib(n int) string { return iec(int64(n) << 20) }

func gib(n int) string { return iec(int64(n) << 30) }

// age writes how long ago something was, in its largest unit.
func age(now, then time.Time) string {
	d := now.Sub(then)
	switch {
	case then.IsZero():
		return ""
	case d < 0:
		return "0s"
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return fmt.Sprintf("%dd", d/(24*time.Hour))
}

// nearly writes how long something will last, to the nearest of its largest unit:
// what was made for 12 hours a moment ago has 12 hours left.
func nearly(d time.Duration) string {
	var none time.Time
	d = d.Round(time.Second)
	for _, unit := range []time.Duration{time.Minute, time.Hour, 24 * time.Hour} {
		if d >= 2*unit {
			d = d.Round(unit)
		}
	}
	return age(none.Add(1+d), none.Add(1))
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func labels(m map[string]string) string {
	parts := make([]string, 0, len(m))
	for k, v := range m {
		parts = append(parts, k+"="+v)
	}
	sort.Strings(parts)
	return strings.Join(parts, ", ")
}
