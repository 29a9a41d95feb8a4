package api

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strings"

	"lodge/cloud"
)

const (
	headerOnce     = "Idempotency-Key"
	headerReplayed = "Idempotent-Replayed"
	maxOnce        = 255
	// minSecretOnce is the shortest key where secrets are about: a UUID, with or
	// without its hyphens.
	minSecretOnce = 32
)

// notOnce are the routes that take no key, with the reason. A route is here only
// when its answer cannot be given again.
var notOnce = map[string]string{
	"/v1/sessions/oidc":       "a login is good once",
	"/v1/sessions/oidc/start": "a login is a new one each time",
	"/v1/estimates":           "an estimate changes nothing",
}

// secretive are the routes with a secret in the request or in the answer. What
// is kept of them is sealed with the key itself, which lodge does not keep: so
// the key must be one that cannot be guessed.
var secretive = map[string]bool{"/v1/sessions": true, "/v1/tokens": true, "/v1/users": true, "/v1/webhooks": true, "/v1/webhooks/{id}/secret": true}

// once reads the Idempotency-Key of a POST; nil without one.
// https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/
func (s *server) once(r *http.Request, rt route) (*cloud.Once, error) {
	values := r.Header[headerOnce]
	if len(values) == 0 || rt.method != http.MethodPost {
		return nil, nil
	}
	key := strings.Trim(values[0], `"`) // the draft quotes it, most clients do not
	if len(values) > 1 || key == "" || len(key) > maxOnce || strings.ContainsFunc(key, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return nil, invalid(headerOnce, "The header %s is one word of at most %d visible ASCII characters.", headerOnce, maxOnce)
	}
	if why, not := notOnce[rt.path]; not {
		return nil, invalid(headerOnce, "This route takes no %s: %s.", headerOnce, why)
	}
	if secretive[rt.path] && len(key) < minSecretOnce {
		return nil, invalid(headerOnce, "The %s of this route guards a secret: give at least %d random characters, such as a UUID.", headerOnce, minSecretOnce)
	}
	sum := sha256.Sum256([]byte(key))
	once := &cloud.Once{
		Key:    hex.EncodeToString(sum[:]),
		Render: func(v any) (cloud.Answer, error) { return s.answer(rt, v) },
	}
	mark := hmac.New(sha256.New, derived(key, "request")) // unlike a plain hash it is no way to guess a password in the body
	fmt.Fprintf(mark, "%s\n%s\n", r.Method, r.URL.RequestURI())
	once.Request = func() string { return hex.EncodeToString(mark.Sum(nil)) }
	if isUpload(r, rt) {
		// The bytes are many and come late: what they must be says which they are.
		if r.URL.Query().Get("sha256") == "" {
			return nil, invalid("sha256", "An upload with an %s says the sha256 of its bytes: by that the same request is known again.", headerOnce)
		}
		return once, nil
	}
	r.Body = &hashed{r: r.Body, sum: mark}
	if secretive[rt.path] {
		s.sealed(once, key, rt)
	}
	return once, nil
}

func isUpload(r *http.Request, rt route) bool {
	return rt.path == "/v1/images" && mediaType(r) != "application/json"
}

// sealed has the kept answer encrypted.
func (s *server) sealed(once *cloud.Once, key string, rt route) {
	once.Render = func(v any) (a cloud.Answer, err error) {
		if a, err = s.answer(rt, v); err == nil {
			a.Body = seal(key, a.Body)
		}
		return a, err
	}
	once.Open = func(body []byte) ([]byte, error) { return unseal(key, body) }
}

// answer is what the route answers with v: the same bytes as its handler.
func (s *server) answer(rt route, v any) (a cloud.Answer, err error) {
	a.Status = http.StatusCreated
	var body any
	switch v := v.(type) {
	case cloud.Instance:
		a.Status, a.Location = http.StatusAccepted, "/v1/instances/"+v.ID
		body = wireInstance(v)
	case cloud.BulkResult:
		a.Status, body = http.StatusAccepted, wireBulk(v)
	case cloud.Image:
		if a.Location = "/v1/images/" + v.ID; v.Source != cloud.SourceUpload {
			a.Status = http.StatusAccepted
		}
		body = wireImage(v)
	case cloud.Tenant:
		a.Location, body = "/v1/tenants/"+v.ID, wireTenant(v)
	case cloud.Flavor:
		a.Location, body = "/v1/flavors/"+v.ID, wireFlavor(v)
	case cloud.Price:
		a.Location, body = "/v1/prices/"+v.ID, wirePrice(v)
	case cloud.Discount:
		a.Location, body = "/v1/discounts/"+v.ID, wireDiscount(v)
	case cloud.Invoice:
		a.Location, body = "/v1/invoices/"+v.ID, wireInvoice(v)
	case cloud.Budget:
		a.Location, body = "/v1/budgets/"+v.ID, wireBudget(v)
	case cloud.IssuedWebhook:
		a.Location, body = "/v1/webhooks/"+v.ID, wireIssuedWebhook(v, s.Now())
	case cloud.Schedule:
		a.Location, body = "/v1/schedules/"+v.ID, wireSchedule(v)
	case cloud.Operation:
		a.Status, body = http.StatusAccepted, wireOperation(v)
	case cloud.User:
		a.Location, body = "/v1/users/"+v.ID, wireUser(v)
	case cloud.Issued:
		if v.Kind == cloud.TokenSession {
			body = wireSession(v)
			break
		}
		a.Location, body = "/v1/tokens/"+v.ID, wireIssued(v)
	default:
		return a, fmt.Errorf("no answer of %T can be kept", v)
	}
	if strings.Contains(rt.path, "{id}") {
		a.Location = "" // nothing new was made
		if a.Status == http.StatusCreated {
			a.Status = http.StatusOK
		}
	}
	a.Body, err = json.Marshal(body)
	return a, err
}

// replyAgain gives the answer of the first request.
func replyAgain(w http.ResponseWriter, rt route, r *cloud.Replay) {
	w.Header()[headerReplayed] = []string{"true"}
	var in cloud.Meta // its revision
	if (rt.path == "/v1/instances" || strings.HasPrefix(rt.path, "/v1/instances/{id}/")) && json.Unmarshal(r.Body, &in) == nil {
		etag(w, in.Tag())
	}
	if r.Location != "" {
		location(w, r.Location)
	}
	if rt.path != "/v1/instances/start" && rt.path != "/v1/instances/stop" { // these begin many
		operationHeader(w, r.Operation)
	}
	write(w, r.Status, typeJSON, r.Body)
}

// hashed is a body that is hashed while it is read.
type hashed struct {
	r   io.ReadCloser
	sum hash.Hash
}

func (h *hashed) Read(p []byte) (int, error) {
	n, err := h.r.Read(p)
	_, _ = h.sum.Write(p[:n]) // a hash takes everything
	return n, err
}

func (h *hashed) Close() error { return h.r.Close() }
