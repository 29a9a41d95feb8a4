package api

import (
	"compress/gzip"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzhttp"
	"github.com/rs/cors"
)

// edge puts around the routes what is between them and the wire.
func (s *server) edge(next http.Handler) http.Handler {
	return s.lingering(compressed(s.middleware(crossOrigin(s.Origins, next))))
}

const (
	// minGzip is below what compression saves a packet for.
	minGzip = 1024
	// gzipTag ends the entity tags of compressed answers: other bytes, another
	// strong tag (RFC 9110 section 8.8.3.3). If-Match takes both.
	gzipTag = "-gzip"
)

// streamPath is the route that has no end.
const streamPath = "/v1/events/stream"

// gzipTypes are the answers that come whole and shrink. Streams of events and
// consoles are not among them: their bytes must not wait for more.
var gzipTypes = []string{"application/json", "application/problem+json", "application/yaml", "text/html", "text/csv", "text/css", "text/javascript", "image/svg+xml"}

// varyEncoding is on all answers, so that a cache keeps both kinds apart.
var varyEncoding = []string{"Accept-Encoding"}

// compressed shrinks answers for who takes gzip. BREACH needs a page that makes a
// browser send a victim's requests with words of the attacker in them: tokens are
// in a header that no page of another origin can make a browser send, and the
// answers that have a secret in them are too short to be compressed.
func compressed(next http.Handler) http.Handler {
	wrap, err := gzhttp.NewWrapper(gzhttp.MinSize(minGzip), gzhttp.ContentTypes(gzipTypes), gzhttp.SuffixETag(gzipTag),
		// The fastest level takes the least memory: a client that reads slowly holds it.
		gzhttp.CompressionLevel(gzip.BestSpeed), gzhttp.EnableZstd(false))
	if err != nil {
		panic(err) // the options are constants
	}
	zipped := wrap(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.Header["Accept-Encoding"]) == 0 || r.URL.Path == streamPath {
			// Who asks for nothing pays for nothing. A stream would have a compressor
			// of 0.8 MiB from its first flush on, before its type is looked at.
			w.Header()["Vary"] = varyEncoding
			next.ServeHTTP(w, r)
			return
		}
		zipped(w, r)
	})
}

// corsHeaders are the headers of requests and of answers that pages may use.
var (
	corsRequest = []string{"Authorization", "Content-Type", "Idempotency-Key", "If-Match", "Last-Event-ID", "X-Request-Id"}
	corsAnswer  = []string{"ETag", "Location", headerOperation, "Retry-After", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset", headerReplayed, headerRequestID}
)

// crossOrigin lets pages of these origins read answers. Without any there is no
// word of CORS in any answer. Cookies are never allowed: a page has to know a
// token.
func crossOrigin(origins []string, next http.Handler) http.Handler {
	if len(origins) == 0 {
		return next
	}
	return cors.New(cors.Options{
		AllowOriginFunc: func(origin string) bool { return slices.Contains(origins, origin) },
		AllowedMethods:  []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"},
		AllowedHeaders:  corsRequest, ExposedHeaders: corsAnswer,
		MaxAge: 600,
	}).Handler(next)
}

// CheckOrigin reports what keeps s from being the origin of a page as browsers
// write it: scheme, host and, when it is not the usual one, port. Plain HTTP is
// for loopback: what comes over it anybody on the way may have written.
func CheckOrigin(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Hostname() == "" || s != u.Scheme+"://"+u.Host || strings.ContainsAny(s, "*@, ") || s != strings.ToLower(s) {
		return errors.New("write scheme and host as a browser does, as https://ui.example or https://ui.example:8443, without a path or *")
	}
	switch {
	case u.Scheme == "https" && u.Port() != "443":
		return nil
	case u.Scheme == "http" && u.Port() != "80" && loopback(u.Hostname()):
		return nil
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return errors.New("plain http is for localhost; use https")
	case u.Scheme == "http" || u.Scheme == "https":
		return errors.New("leave the usual port out, as browsers do")
	}
	return errors.New("an origin begins with https://")
}

func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}
