package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"lodge/cloud"
)

// Options bound what a fetch may do. Zero values take the defaults.
type Options struct {
	Allow []netip.Prefix // targets that are dialled although they are not public
	Proxy *url.URL       // the operator's HTTP proxy; it then decides what is reached

	MaxBytes     int64         // of a body; default 64 GiB
	ConnectTime  time.Duration // for a connection with its TLS; default 15 s
	HeaderTime   time.Duration // from the request to the answer's header; default 30 s
	IdleTime     time.Duration // in which at least MinBytes of the body have to come; default 60 s
	MinBytes     int64         // default 64 KiB, or what is left of the body
	MaxRedirects int           // default 5
	UserAgent    string        // default "lodge"
	MaxURLLength int           // default 2048
}

// Fetcher opens URLs. It is safe for use by many goroutines.
type Fetcher struct {
	o      Options
	client *http.Client
}

// New makes a Fetcher.
func New(o Options) *Fetcher {
	if o.MaxBytes <= 0 {
		o.MaxBytes = 64 << 30
	}
	if o.ConnectTime <= 0 {
		o.ConnectTime = 15 * time.Second
	}
	if o.HeaderTime <= 0 {
		o.HeaderTime = 30 * time.Second
	}
	if o.MinBytes <= 0 {
		o.MinBytes = 64 << 10
	}
	if o.IdleTime <= 0 {
		o.IdleTime = 60 * time.Second
	}
	if o.MaxRedirects <= 0 {
		o.MaxRedirects = 5
	}
	if o.UserAgent == "" {
		o.UserAgent = "lodge"
	}
	if o.MaxURLLength <= 0 {
		o.MaxURLLength = 2048
	}
	f := &Fetcher{o: o}
	dialer := &net.Dialer{Timeout: o.ConnectTime, Control: f.control}
	t := &http.Transport{
		DialContext:           dialer.DialContext,
		TLSHandshakeTimeout:   o.ConnectTime,
		ResponseHeaderTimeout: o.HeaderTime,
		// A connection kept open would be used again without its address being
		// looked at.
		DisableKeepAlives: true,
		// The checksum is of the bytes as they are stored at the source.
		DisableCompression:     true,
		MaxResponseHeaderBytes: 64 << 10,
	}
	if o.Proxy != nil {
		t.Proxy = http.ProxyURL(o.Proxy)
		dialer.Control = nil // the proxy is the operator's own choice, wherever it stands
	}
	f.client = &http.Client{Transport: t, CheckRedirect: f.redirect}
	return f
}

// control is asked for every address just before it is dialled.
func (f *Fetcher) control(network, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return refuse(fmt.Errorf("dial %s %s: %w", network, address, err), unreadable)
	}
	if why := refused(ap.Addr(), f.o.Allow); why != "" {
		return refuse(fmt.Errorf("dial %s: %s address", address, why), why)
	}
	return nil
}

func refuse(cause error, why string) error {
	message := fmt.Sprintf("The URL leads to %s address; only public ones are called, unless the operator allows others.", withArticle(why))
	if why == unreadable {
		message = "The URL's host looks like an IP address but is not written as one; write it as four numbers, or give a name."
	}
	return &cloud.Error{Code: cloud.CodeURLRefused, Cause: cause, Message: message}
}

func withArticle(word string) string {
	if strings.ContainsRune("aeiou", rune(word[0])) {
		return "an " + word
	}
	return "a " + word
}

func (f *Fetcher) redirect(req *http.Request, via []*http.Request) error {
	if len(via) > f.o.MaxRedirects {
		return cloud.Errorf(cloud.CodeURLFailed, "The URL redirects more than %d times.", f.o.MaxRedirects)
	}
	req.Header.Del("Referer")
	return f.checkURL(req.URL)
}

// Check judges a URL by its text, for an answer before anything is fetched.
// Returns CodeURLRefused when its scheme, its host or a part of it is not
// allowed. A URL that passes may still be refused when it is fetched.
func (f *Fetcher) Check(rawURL string) error {
	_, err := f.parse(rawURL)
	return err
}

func (f *Fetcher) parse(rawURL string) (*url.URL, error) {
	if len(rawURL) > f.o.MaxURLLength {
		return nil, cloud.Errorf(cloud.CodeURLRefused, "The URL is longer than %d characters.", f.o.MaxURLLength)
	}
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, cloud.Wrap(cloud.CodeURLRefused, err, "The URL cannot be read.")
	}
	return u, f.checkURL(u)
}

func (f *Fetcher) checkURL(u *url.URL) error {
	host := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	switch {
	case u.Scheme == "":
		return cloud.Errorf(cloud.CodeURLRefused, "The URL has no scheme; begin it with https:// or http://.")
	case u.Scheme != "http" && u.Scheme != "https":
		return cloud.Errorf(cloud.CodeURLRefused, "The URL's scheme is not http or https.")
	case u.Opaque != "" || host == "":
		return cloud.Errorf(cloud.CodeURLRefused, "The URL names no host.")
	case u.User != nil:
		return cloud.Errorf(cloud.CodeURLRefused, "The URL holds a user name or password; lodge sends none.")
	case !validPort(u.Port()):
		return cloud.Errorf(cloud.CodeURLRefused, "The URL's port %s is not one from 1 to 65535.", u.Port())
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		if why := refused(addr, f.o.Allow); why != "" {
			return refuse(fmt.Errorf("host %s", host), why)
		}
		return nil
	}
	// What is no IP address as Go reads it and has digits only where a name has
	// letters is one as the C library reads it: 127.1, 0x7f000001, 017700000001.
	if looksNumeric(host) {
		return refuse(fmt.Errorf("host %s", host), unreadable)
	}
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		for _, a := range []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()} {
			if refused(a, f.o.Allow) == "" {
				return nil
			}
		}
		return refuse(fmt.Errorf("host %s", host), "loopback")
	}
	return nil
}

// validPort reports whether digits from a URL are a port; "" is the scheme's own.
func validPort(digits string) bool {
	n, err := strconv.ParseUint(digits, 10, 16)
	return digits == "" || (err == nil && n > 0)
}

// looksNumeric reports whether the last label of a host is a number: no
// top-level domain is one.
func looksNumeric(host string) bool {
	last := host[strings.LastIndexByte(host, '.')+1:]
	if rest, ok := strings.CutPrefix(last, "0x"); ok {
		return strings.Trim(rest, "0123456789abcdef") == ""
	}
	return last != "" && strings.Trim(last, "0123456789") == ""
}

// Fetch opens a URL and returns its body, which the caller closes, and its
// length in bytes; 0 when the server does not say. The body ends with an error
// when no byte comes for the idle time (CodeURLFailed) or when it grows beyond
// the limit (CodeImageTooBig); ctx ends it too. Returns CodeURLRefused when the
// URL or what it leads to is not allowed, CodeURLFailed when there is no answer
// or none with status 200, CodeImageTooBig when the server announces too much.
func (f *Fetcher) Fetch(ctx context.Context, rawURL string) (io.ReadCloser, int64, error) {
	u, err := f.parse(rawURL)
	if err != nil {
		return nil, 0, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		cancel(nil)
		return nil, 0, cloud.Wrap(cloud.CodeURLRefused, err, "The URL cannot be read.")
	}
	req.Header.Set("User-Agent", f.o.UserAgent)
	req.Header.Set("Accept", "*/*")
	resp, err := f.client.Do(req)
	if err == nil && resp.StatusCode != http.StatusOK {
		_ = resp.Body.Close()
		err = cloud.Errorf(cloud.CodeURLFailed, "The server answered %d %s and not 200.", resp.StatusCode, http.StatusText(resp.StatusCode))
	}
	if err == nil && resp.ContentLength > f.o.MaxBytes {
		_ = resp.Body.Close()
		err = f.tooBig()
	}
	if err != nil {
		err = f.fetchError(ctx, err)
		cancel(nil)
		return nil, 0, err
	}
	b := &body{f: f, r: resp.Body, ctx: ctx, cancel: cancel}
	b.idle = time.AfterFunc(f.o.IdleTime, func() { cancel(errIdle) })
	return b, max(0, resp.ContentLength), nil
}

func (f *Fetcher) tooBig() error {
	return cloud.Errorf(cloud.CodeImageTooBig, "The URL gives more than the %d MiB this host takes.", f.o.MaxBytes>>20)
}

var errIdle = errors.New("no byte came in the idle time")

// fetchError gives an error of the HTTP client a code.
func (f *Fetcher) fetchError(ctx context.Context, err error) error {
	var e *cloud.Error
	var dns *net.DNSError
	message := "The URL could not be fetched: the server did not answer as it should."
	switch {
	case errors.As(err, &e):
		// Ours comes wrapped in the client's, which would repeat the URL.
		return e
	case errors.Is(context.Cause(ctx), errIdle):
		message = fmt.Sprintf("The server sent nothing, or next to nothing, for %s.", f.o.IdleTime)
	case ctx.Err() != nil:
		return fmt.Errorf("fetch: %w", ctx.Err())
	case errors.As(err, &dns):
		message = "The URL's host name cannot be resolved."
	case errors.Is(err, syscall.ECONNREFUSED):
		message = "The URL's host refuses the connection."
	case isTimeout(err):
		message = "The URL's host did not answer in time."
	}
	return &cloud.Error{Code: cloud.CodeURLFailed, Message: message, Cause: err}
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// body is a response body with a limit and a clock.
type body struct {
	f      *Fetcher
	r      io.ReadCloser
	ctx    context.Context
	cancel context.CancelCauseFunc
	idle   *time.Timer
	done   int64
	waited time.Duration // for the bytes since enough of them came
	since  int64         // done, when enough had come
}

func (b *body) Read(p []byte) (int, error) {
	// The clock runs while a read waits and not while the caller writes to a
	// slow disk. A server that only trickles is as bad as a silent one: it would
	// hold one of few places for days.
	b.idle.Reset(b.f.o.IdleTime - b.waited)
	start := time.Now()
	n, err := b.r.Read(p)
	b.idle.Stop()
	b.done += int64(n)
	if b.waited += time.Since(start); b.done-b.since >= b.f.o.MinBytes {
		b.waited, b.since = 0, b.done
	}
	switch {
	case b.done > b.f.o.MaxBytes:
		return 0, b.f.tooBig()
	case err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return n, err // the last one: cut off, which storage has a code for
	}
	return n, b.f.fetchError(b.ctx, err)
}

func (b *body) Close() error {
	b.idle.Stop()
	b.cancel(nil)
	return b.r.Close()
}
