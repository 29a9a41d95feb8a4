package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"time"
)

// fleet is the ledger of 10,000 instances of 100 tenants over a year, 8 meters each
// and two runs a month, and how long reports of it take as a client sees them. The
// rows are planted by SQL, so the chain over them is left out.
func (b *bench) fleet() error {
	const reports, tenants, runs = 9, 100, 24
	dir, err := b.scratch(false)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	books, err := openBooks(dir, tenants)
	if err != nil {
		return err
	}
	defer books.Close()
	end, from := benchMorning.AddDate(1, 0, 0), time.Now()
	if err := books.yearOfRuns(end, runs); err != nil {
		return err
	}
	fmt.Printf("%d rows of 10,000 instances over a year planted in %s\n", 100*tenants*runs*len(slotsOfYear), time.Since(from).Round(time.Second))
	var size int64
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		return err
	}
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil {
			return err
		}
		size += info.Size()
	}
	fmt.Printf("%-58s %15.1f KiB\n", "their size for each instance and month, without the chain", float64(size)/(100*tenants*12)/1024)
	front := books.front(func() time.Time { return end.AddDate(0, 1, 0) })
	month := fmt.Sprintf("from=%s&to=%s", end.AddDate(0, -2, 0).Format(time.RFC3339), end.AddDate(0, -1, 0).Format(time.RFC3339))
	year := fmt.Sprintf("from=%s&to=%s", benchMorning.Format(time.RFC3339), end.Format(time.RFC3339))
	tenant := books.tenants[tenants/2]
	for _, q := range []struct{ what, path string }{
		{"a month's cost of one of 100 tenants, by instance", "/v1/cost?tenant=" + tenant + "&" + month},
		{"its year's cost, by instance", "/v1/cost?tenant=" + tenant + "&" + year},
		{"a month's usage of it", "/v1/usage?tenant=" + tenant + "&" + month},
		{"a month's cost of all, by tenant", "/v1/cost?by=tenant&" + month},
	} {
		var took []time.Duration
		for range reports {
			from := time.Now()
			w := httptest.NewRecorder()
			front.ServeHTTP(w, httptest.NewRequest(http.MethodGet, q.path, nil))
			took = append(took, time.Since(from))
			if w.Code != http.StatusOK || w.Body.Len() < 200 {
				return fmt.Errorf("%s: %d %s", q.path, w.Code, w.Body)
			}
		}
		fmt.Printf("%-58s %18s\n", q.what, spread(took))
	}
	return nil
}
