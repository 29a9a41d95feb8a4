package api

import (
	"encoding/hex"
	"net/http"

	"lodge/api/wire"
	"lodge/cloud"
	"lodge/meter"
)

// verifyUsage computes the whole ledger again. One runs at a time: it reads
// every row there is.
func (s *server) verifyUsage(w http.ResponseWriter, r *http.Request, _ cloud.Caller) error {
	q := parseQuery(r, "tenant", "head")
	if q.err != nil {
		return q.err
	}
	var heads []cloud.UsageSeal
	if text := r.URL.Query().Get("head"); text != "" {
		head, err := cloud.ParseSeal(text)
		if err != nil {
			return err
		}
		heads = append(heads, head)
	}
	if !s.verifying.TryLock() {
		return cloud.Errorf(cloud.CodeConflict, "The ledger is being verified already; wait for that to end.")
	}
	defer s.verifying.Unlock()
	var report meter.Report
	err := s.Usage.ReadLedger(r.Context(), func(l cloud.Ledger) (err error) {
		report, err = meter.Verify(l, heads...)
		return err
	})
	if err != nil {
		return err
	}
	if s.Verified != nil {
		s.Verified(report.Wrong)
	}
	out := wire.UsageVerification{
		OK: report.Wrong == 0, Intervals: report.Intervals, Hours: report.Hours, Links: report.Links, Pending: report.Pending,
		From: wireTime(report.From), To: wireTime(report.To),
		Head:  wire.ChainLink{Number: report.Head.N, SHA256: hex.EncodeToString(report.Head.Hash[:])},
		Wrong: report.Wrong, Findings: []wire.UsageFinding{},
	}
	for _, f := range report.Findings {
		out.Findings = append(out.Findings, wire.UsageFinding{Check: string(f.Check), Table: f.Table, Row: f.Row, Message: f.Message})
	}
	return reply(w, http.StatusOK, out)
}
