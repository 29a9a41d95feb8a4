package api

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"net/http"

	"lodge/api/wire"
)

//go:embed invoice.gohtml
var invoiceHTML string

//go:embed invoice.css
var invoiceCSS string

var invoicePage = template.Must(template.New("invoice").Parse(invoiceHTML))

// invoicePolicy lets the page have its own style and nothing else.
var invoicePolicy = func() string {
	sum := sha256.Sum256([]byte(invoiceCSS))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}()

// invoiceView is an invoice as the page shows it.
type invoiceView struct {
	wire.Invoice
	Title, Made string
	Style       template.CSS
	Lines       []invoiceLineView
}

type invoiceLineView struct {
	wire.InvoiceLine
	Remark string
}

func viewOf(i wire.Invoice) invoiceView {
	v := invoiceView{Invoice: i, Title: "Invoice " + i.Number, Made: i.CreatedAt.Format("2006-01-02 15:04 UTC"), Style: template.CSS(invoiceCSS)}
	if i.Draft {
		v.Title = "Draft of an invoice"
	}
	for _, l := range i.Lines {
		line := invoiceLineView{InvoiceLine: l}
		switch {
		case l.Correction:
			line.Remark = "correction of " + l.Month
		case l.Kind == "minimum":
			line.Remark = "up to the minimum of a start"
		case l.Kind == "beyond_cap":
			line.Remark = "beyond the monthly cap"
		}
		v.Lines = append(v.Lines, line)
	}
	return v
}

// replyInvoicePage answers with a page that prints on A4. It fetches nothing and
// has no script.
func replyInvoicePage(w http.ResponseWriter, i wire.Invoice) error {
	var b bytes.Buffer
	if err := invoicePage.Execute(&b, viewOf(i)); err != nil {
		return err
	}
	h := w.Header()
	h["Content-Security-Policy"] = []string{invoicePolicy}
	h["Referrer-Policy"] = []string{"no-referrer"}
	write(w, http.StatusOK, typeHTML, b.Bytes())
	return nil
}
