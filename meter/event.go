package meter

import (
	"encoding/hex"
	"time"

	"lodge/cloud"
)

// The types of the events of closed hours.
const (
	EventLine = "lodge.usage.line.v1" // what one slot of a resource used
	// EventHour says that the hour of a tenant is complete. In v1 it had the moment of
	// the closing too, which is another one when an hour is closed again behind a
	// restore: events with one id must have the same bytes.
	EventHour = "lodge.usage.hour.v2"
)

// LineData is the data of an EventLine.
type LineData struct {
	TenantID   string            `json:"tenant_id"`
	ResourceID string            `json:"resource_id"`
	Slot       string            `json:"slot"`
	Meter      string            `json:"meter"`
	Hour       string            `json:"hour"`
	Revision   int               `json:"revision"`
	Unit       string            `json:"unit"`
	Quantity   string            `json:"quantity"` // in all states, decimal text
	States     map[string]string `json:"states"`   // amount x milliseconds in each; of bytes their number
}

// HourData is the data of an EventHour, which comes behind the lines. It takes the
// place of all that earlier revisions said of the hour and the tenant.
type HourData struct {
	TenantID string            `json:"tenant_id"`
	Hour     string            `json:"hour"`
	Revision int               `json:"revision"`
	Events   int               `json:"events"` // of lines, before this one
	SHA256   string            `json:"sha256"` // of the lines in the ledger
	Totals   map[string]string `json:"totals"`
}

// HourEvents are the events of a closed hour: the lines by resource, slot and
// meter, and that it is complete. There are none of an hour that does not come out
// of its content any more.
func HourEvents(h cloud.UsageHour, of cloud.HourContent) []cloud.UsageEvent {
	again := Hour(h.TenantID, h.Hour, of)
	if again.Digest != h.Digest || again.Lines != h.Lines {
		return nil
	}
	hour := h.Hour.UTC().Format(time.RFC3339)
	var out []cloud.UsageEvent
	lines := HourLines(of, h.Hour)
	for len(lines) > 0 {
		l, sum := lines[0], Quantity{}
		states := map[string]string{}
		for len(lines) > 0 && lines[0].ResourceID == l.ResourceID && lines[0].Slot == l.Slot && lines[0].Meter == l.Meter {
			states[string(lines[0].State)] = lines[0].Quantity.String()
			sum = sum.Plus(lines[0].Quantity)
			lines = lines[1:]
		}
		out = append(out, cloud.UsageEvent{
			ID:   cloud.EventID(EventLine, l.Meter, l.ResourceID, l.Slot, h.TenantID, hour, h.Revision),
			Type: EventLine, Subject: l.ResourceID + "/" + l.Slot + "/" + string(l.Meter), Time: h.Hour.Add(time.Hour),
			Data: LineData{
				TenantID: h.TenantID, ResourceID: l.ResourceID, Slot: l.Slot, Meter: string(l.Meter), Hour: hour, Revision: h.Revision,
				Unit: l.Meter.Unit(), Quantity: quantityOf(l.Meter, sum).String(), States: states,
			},
		})
	}
	return append(out, cloud.UsageEvent{
		ID:   cloud.EventID(EventHour, h.TenantID, hour, h.Revision),
		Type: EventHour, Subject: h.TenantID, Time: h.Hour.Add(time.Hour),
		Data: HourData{
			TenantID: h.TenantID, Hour: hour, Revision: h.Revision, Events: len(out), SHA256: hex.EncodeToString(h.Digest[:]), Totals: h.Totals,
		},
	})
}
