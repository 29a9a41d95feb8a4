package reference

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
)

// Code is an error code with what it is on the wire.
type Code struct {
	Code   string
	Status int
	Title  string
}

// Page is the rendered document.
type Page struct {
	HTML []byte
	// Policy is the Content-Security-Policy that the document can live with:
	// nothing at all but its own style.
	Policy string
}

//go:embed page.css
var pageCSS string

// Render makes the page of an OpenAPI file. codes is what the file's error
// codes mean. Returns an error for a file that is no OpenAPI or refers to what
// it does not have.
func Render(openAPI []byte, codes []Code) (Page, error) {
	doc, err := read(openAPI)
	if err != nil {
		return Page{}, err
	}
	v, err := doc.view(codes)
	if err != nil {
		return Page{}, err
	}
	var w writer
	w.page(v)
	sum := sha256.Sum256([]byte(pageCSS))
	return Page{HTML: []byte(w.String()), Policy: "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"}, nil
}
