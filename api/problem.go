package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"lodge/api/wire"
	"lodge/cloud"
)

// meaning is what a code is on the wire.
type meaning struct {
	status int
	title  string
}

// meanings is the one table from code to HTTP. Codes that are seen on objects
// only are here too, for a store may return any code.
var meanings = map[cloud.Code]meaning{
	cloud.CodeInvalid:        {http.StatusBadRequest, "A value is outside its rules"},
	cloud.CodeMalformed:      {http.StatusBadRequest, "The body is not the JSON that was expected"},
	cloud.CodeUnknownField:   {http.StatusBadRequest, "A field or parameter is not known"},
	cloud.CodeTooLarge:       {http.StatusRequestEntityTooLarge, "The body is too large"},
	cloud.CodeMediaType:      {http.StatusUnsupportedMediaType, "The media type is not taken here"},
	cloud.CodeMethod:         {http.StatusMethodNotAllowed, "The method is not taken here"},
	cloud.CodeNotFound:       {http.StatusNotFound, "Not found"},
	cloud.CodeForbidden:      {http.StatusForbidden, "Not allowed"},
	cloud.CodeUnauthorized:   {http.StatusUnauthorized, "Not logged in"},
	cloud.CodeLockedOut:      {http.StatusTooManyRequests, "Too many failed logins"},
	cloud.CodeQuota:          {http.StatusConflict, "A quota is used up"},
	cloud.CodeBudget:         {http.StatusConflict, "A budget is used up"},
	cloud.CodePrecondition:   {http.StatusPreconditionFailed, "It has changed meanwhile"},
	cloud.CodeKeyReused:      {http.StatusUnprocessableEntity, "The idempotency key was used for another request"},
	cloud.CodeNameTaken:      {http.StatusConflict, "The name is taken"},
	cloud.CodeInUse:          {http.StatusConflict, "Still in use"},
	cloud.CodeProtected:      {http.StatusConflict, "Protected from deletion"},
	cloud.CodeConflict:       {http.StatusConflict, "The state does not allow it"},
	cloud.CodeCapacity:       {http.StatusConflict, "No room on any host"},
	cloud.CodeAddresses:      {http.StatusConflict, "No free address"},
	cloud.CodeNoImage:        {http.StatusConflict, "There is no default image"},
	cloud.CodeImageNotReady:  {http.StatusConflict, "The image is not usable"},
	cloud.CodeImageFormat:    {http.StatusUnprocessableEntity, "Not an image lodge can use"},
	cloud.CodeImageUnsafe:    {http.StatusUnprocessableEntity, "The image refers to something outside itself"},
	cloud.CodeImageTooBig:    {http.StatusUnprocessableEntity, "The image is too big"},
	cloud.CodeImageTruncated: {http.StatusUnprocessableEntity, "The image is not complete"},
	cloud.CodeChecksum:       {http.StatusUnprocessableEntity, "The checksum does not match"},
	cloud.CodeURLRefused:     {http.StatusBadRequest, "The URL is not allowed"},
	cloud.CodeURLFailed:      {http.StatusBadGateway, "The URL did not give the bytes"},
	cloud.CodeDiskFull:       {http.StatusInsufficientStorage, "No space left"},
	cloud.CodeRateLimited:    {http.StatusTooManyRequests, "Too many requests"},
	cloud.CodeUnavailable:    {http.StatusServiceUnavailable, "Not available now"},
	cloud.CodeInternal:       {http.StatusInternalServerError, "A defect of lodge"},

	cloud.CodeHypervisor:     {http.StatusServiceUnavailable, "The hypervisor does not answer"},
	cloud.CodeClockStepped:   {http.StatusServiceUnavailable, "The clock was set far forward"},
	cloud.CodeStorage:        {http.StatusInternalServerError, "A disk could not be made or removed"},
	cloud.CodeNetwork:        {http.StatusInternalServerError, "The network could not be set up"},
	cloud.CodeGuestFailed:    {http.StatusInternalServerError, "The guest was not started"},
	cloud.CodeGuestCrashed:   {http.StatusConflict, "The guest crashed"},
	cloud.CodeGuestForeign:   {http.StatusConflict, "The guest is not lodge's"},
	cloud.CodeGuestPaused:    {http.StatusConflict, "The guest is paused"},
	cloud.CodeDiskMissing:    {http.StatusConflict, "The disk is gone"},
	cloud.CodeDiskReplaced:   {http.StatusConflict, "The disk is another one"},
	cloud.CodeTimeout:        {http.StatusGatewayTimeout, "The host did not answer in time"},
	cloud.CodeImportCanceled: {http.StatusConflict, "The import was interrupted"},
}

// fail renders err and logs what is lodge's own fault. When the answer has
// begun already, the connection is cut: half an answer must not look whole.
func (s *server) fail(w http.ResponseWriter, r *http.Request, err error) {
	code := cloud.CodeOf(err)
	m, known := meanings[code]
	if !known {
		code, m = cloud.CodeInternal, meanings[cloud.CodeInternal]
	}
	id := requestID(w)
	if left := errors.Is(err, context.Canceled) && r.Context().Err() != nil; left {
		// Nobody reads the answer, and nothing is broken.
		code, m = cloud.CodeUnavailable, meanings[cloud.CodeUnavailable]
	} else if m.status >= 500 {
		level := slog.LevelError
		if noRoom, busy := errors.Is(err, errNoRoom), errors.Is(err, errBusy); noRoom || busy {
			// Clients make as many of these as they like: they are counted.
			level = slog.LevelDebug
			if rw, ok := w.(*response); ok {
				rw.noRoom, rw.busy = noRoom, busy
			}
		}
		s.log.LogAttrs(r.Context(), level, "request failed",
			slog.String("request_id", id), slog.String("method", r.Method), slog.String("path", loggedPath(r)),
			slog.Int("status", m.status), slog.Any("error", err))
	}
	if rw, ok := w.(*response); ok && rw.status != 0 {
		panic(http.ErrAbortHandler)
	}
	f := wire.Failure{
		Type: "urn:lodge:error:" + string(code), Title: m.title, Status: m.status,
		Code: string(code), Detail: cloud.MessageOf(err), RequestID: id,
	}
	var e *cloud.Error
	if errors.As(err, &e) {
		for _, fe := range e.Fields {
			f.Errors = append(f.Errors, wire.FieldError{Field: fe.Field, Message: fe.Message})
		}
	}
	if e != nil && e.Quota != nil {
		x := *e.Quota
		f.Resource, f.Limit, f.Used, f.Asked = string(x.Resource), &x.Limit, &x.Used, &x.Asked
	}
	b, merr := json.Marshal(f)
	if merr != nil {
		panic(merr) // strings always marshal
	}
	h := w.Header()
	h["Content-Type"] = typeProblem
	h["Content-Length"] = []string{strconv.Itoa(len(b))}
	if e != nil && e.RetryAfter > 0 || m.status == http.StatusServiceUnavailable || m.status == http.StatusTooManyRequests {
		h["Retry-After"] = []string{retryAfter(e)}
	}
	if m.status == http.StatusUnauthorized {
		h["Www-Authenticate"] = bearer
	}
	w.WriteHeader(m.status)
	_, _ = w.Write(b)
}

// retryAfter is in whole seconds: RFC 9110 section 10.2.3.
func retryAfter(e *cloud.Error) string {
	if e == nil {
		return "1"
	}
	return strconv.FormatInt(max(1, int64((e.RetryAfter+time.Second-1)/time.Second)), 10)
}

// bearer tells a client how to come in: RFC 6750 section 3.
var bearer = []string{`Bearer realm="lodge"`}

// notFound is the answer for an id that is no id: the same as for one that
// nobody has.
func notFound(kind cloud.Kind, id string) error {
	return cloud.Errorf(cloud.CodeNotFound, "There is no %s %s.", kind, quote(id))
}

// invalid is the answer for one field that is wrong by itself.
func invalid(field, format string, args ...any) error {
	return cloud.Invalid([]cloud.FieldError{{Field: field, Message: fmt.Sprintf(format, args...)}})
}

// quote quotes what a client wrote, cut where it would be too long.
func quote(s string) string {
	const most = 64
	if r := []rune(s); len(r) > most {
		s = string(r[:most]) + "…"
	}
	return strconv.Quote(s)
}

func shortPath(r *http.Request) string {
	p := quote(r.URL.Path)
	return p[1 : len(p)-1]
}
