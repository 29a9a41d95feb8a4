package meter

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"slices"
	"time"

	"lodge/cloud"
)

// Line is what one slot of a resource used in an hour, in one state. Bytes are
// lines of what runs.
type Line struct {
	ResourceID string
	Slot       string
	Meter      cloud.Meter
	State      cloud.State
	Quantity   Quantity // of bytes their number
}

// HourLines makes the lines of the hour that begins at hour: from the intervals
// and bytes alone, in one order, each slot and state once. What is open counts up
// to the hour's end.
func HourLines(of cloud.HourContent, hour time.Time) []Line {
	end := hour.Add(time.Hour)
	out := make([]Line, 0, len(of.Intervals)+len(of.Traffic))
	for _, iv := range of.Intervals {
		if ms, _ := overlap(iv, hour, end, end); ms > 0 {
			out = append(out, Line{iv.ResourceID, iv.Slot, iv.Meter, iv.State, Of(iv.Amount, ms)})
		}
	}
	for _, u := range of.Traffic {
		if u.Hour().Equal(hour) {
			out = append(out, Line{u.ResourceID, u.Slot, u.Meter, cloud.StateRunning, Of(u.Bytes, 1)})
		}
	}
	slices.SortFunc(out, orderOfLines)
	n := 0
	for i := 1; i < len(out); i++ {
		if orderOfLines(out[n], out[i]) == 0 {
			out[n].Quantity = out[n].Quantity.Plus(out[i].Quantity)
			continue
		}
		n++
		out[n] = out[i]
	}
	return out[:min(n+1, len(out))]
}

// orderOfLines is the order of lines.
func orderOfLines(a, b Line) int {
	return cmp.Or(cmp.Compare(a.ResourceID, b.ResourceID), cmp.Compare(a.Slot, b.Slot),
		cmp.Compare(a.Meter, b.Meter), cmp.Compare(a.State, b.State))
}

// Hour is the closed hour of a tenant as it is kept: a cloud.CountHour.
func Hour(tenantID string, hour time.Time, of cloud.HourContent) cloud.UsageHour {
	lines := HourLines(of, hour)
	h := cloud.UsageHour{Hour: hour, TenantID: tenantID, Lines: len(lines), Totals: map[string]string{}}
	digest := sha256.New()
	sums := map[string]Quantity{}
	var line []byte
	for _, l := range lines {
		line = l.append(line[:0])
		digest.Write(line)
		name := totalName(l.Meter, l.State)
		sums[name] = sums[name].Plus(l.Quantity)
	}
	digest.Sum(h.Digest[:0])
	for name, q := range sums {
		h.Totals[name] = q.String()
	}
	return h
}

// totalName is the name of a sum in cloud.UsageHour.
func totalName(m cloud.Meter, s cloud.State) string {
	if s.Runs() || m == cloud.MeterImage { // an image counts in one state only
		return string(m)
	}
	return string(m) + "/" + string(s)
}

// append adds the line as the digest covers it: a JSON array of text and a line
// feed. Text that JSON writes as it is, as all of lodge's is, is copied.
func (l Line) append(b []byte) []byte {
	b = append(b, '[')
	for _, text := range [...]string{l.ResourceID, l.Slot, string(l.Meter), string(l.State)} {
		b = append(appendJSON(b, text), ',')
	}
	return append(appendJSON(b, l.Quantity.String()), "]\n"...)
}

func appendJSON(b []byte, text string) []byte {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			quoted, err := json.Marshal(text)
			if err != nil {
				panic(err) // text always marshals
			}
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, text...)
	return append(b, '"')
}
