package api

import (
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
)

// notOnce are the routes whose answers are not kept: each has a secret in it, or
// comes long after its bytes began.
var notOnce = map[string]string{
	"/v1/sessions":            "a login is a new session each time",
	"/v1/sessions/oidc":       "a login is good once",
	"/v1/sessions/oidc/start": "a login is a new one each time",
	"/v1/tokens":              "its answer has a secret, which is not kept; look for the token by its name",
}

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
	if rt.path == "/v1/images" && mediaType(r) != "application/json" {
		return nil, invalid(headerOnce, "An upload takes no %s: a name that is taken tells that the first one arrived.", headerOnce)
	}
	sum := sha256.Sum256([]byte(key))
	body := &hashed{r: r.Body, sum: sha256.New()}
	r.Body = body
	return &cloud.Once{
		Key: hex.EncodeToString(sum[:]),
		Request: func() string {
			h := sha256.New()
			fmt.Fprintf(h, "%s\n%s\n%x", r.Method, r.URL.RequestURI(), body.sum.Sum(nil))
			return hex.EncodeToString(h.Sum(nil))
		},
		Render: func(v any) (cloud.Answer, error) { return s.answer(rt, v) },
	}, nil
}

// answer is what the route answers with v: the same bytes as its handler.
func (s *server) answer(rt route, v any) (a cloud.Answer, err error) {
	a.Status = http.StatusCreated
	var body any
	switch v := v.(type) {
	case cloud.Instance:
		a.Status, a.Location = http.StatusAccepted, "/v1/instances/"+v.ID
		body = wireInstance(v)
	case cloud.Image:
		a.Status, a.Location = http.StatusAccepted, "/v1/images/"+v.ID
		body = wireImage(v)
	case cloud.Tenant:
		a.Location, body = "/v1/tenants/"+v.ID, wireTenant(v)
	case cloud.Flavor:
		a.Location, body = "/v1/flavors/"+v.ID, wireFlavor(v)
	case cloud.Operation:
		a.Status, body = http.StatusAccepted, wireOperation(v)
	case cloud.User:
		a.Location, body = "/v1/users/"+v.ID, wireUser(v)
	default:
		return a, fmt.Errorf("no answer of %T can be kept", v)
	}
	if strings.Contains(rt.path, "{id}") {
		a.Location = "" // nothing new was made
	}
	a.Body, err = json.Marshal(body)
	return a, err
}

// replyAgain gives the answer of the first request.
func replyAgain(w http.ResponseWriter, r *cloud.Replay) {
	w.Header()[headerReplayed] = []string{"true"}
	if r.Location != "" {
		location(w, r.Location)
	}
	operationHeader(w, r.Operation)
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
