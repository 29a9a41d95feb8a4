package auth

import (
	"strconv"
	"strings"

	"lodge/cloud"
)

// CallbackPath is the path of the page that the command line shows when the
// browser comes back.
const CallbackPath = "/callback"

// loopbackHosts are where the command line listens. RFC 8252 section 8.3 advises
// against localhost, but some issuers take nothing else.
var loopbackHosts = []string{"127.0.0.1:", "[::1]:", "localhost:"}

// checkRedirect returns CodeInvalid unless the code goes to the configured page or
// to the person's own machine. The URI is compared and not parsed: nothing that
// one parser reads otherwise than another can pass.
func (o *OIDC) checkRedirect(uri string) error {
	if o.o.RedirectURL != "" && uri == o.o.RedirectURL {
		return nil
	}
	rest, isHTTP := strings.CutPrefix(uri, "http://")
	rest, isCallback := strings.CutSuffix(rest, CallbackPath)
	for _, host := range loopbackHosts {
		if port, ok := strings.CutPrefix(rest, host); ok && isHTTP && isCallback && isPort(port) {
			return nil
		}
	}
	return cloud.Errorf(cloud.CodeInvalid, "The redirect URI must be http://127.0.0.1:PORT%s, with [::1] or localhost in its place, or the one that the operator set.", CallbackPath)
}

func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0 && strconv.FormatUint(n, 10) == s
}
