package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"lodge/api/wire"
	"lodge/cloud"
)

func TestAWebhookIsChangedAndGetsNewSecrets(t *testing.T) {
	h := newHouse(t)
	made := decoded[wire.Webhook](h.do("POST", "/v1/webhooks", `{"name":"chat","url":"https://hooks.example.org/a"}`).want(201))
	path := "/v1/webhooks/" + made.ID
	tag := h.do("GET", path, "").want(200).Header.Get("ETag")

	would := decoded[wire.DryRun](h.do("PATCH", path+"?dry_run=true", `{"name":"talk"}`).want(200))
	if would.Action != "webhook.update" || would.Webhook == nil || would.Webhook.Name != "talk" {
		t.Errorf("%+v", would)
	}
	h.do("PATCH", path, `{"secret":"whsec_x"}`).wantFailure(400, cloud.CodeUnknownField)
	h.do("PATCH", path, `{"url":"ftp://hooks.example.org/"}`).wantFailure(400, cloud.CodeURLRefused)
	h.do("PATCH", path, `{"name":"talk"}`, "If-Match", `"0-0"`).wantFailure(412, cloud.CodePrecondition)
	a := h.do("PATCH", path, `{"name":"talk","url":"https://hooks.example.org/b"}`, "If-Match", tag).want(200)
	got := decoded[wire.Webhook](a)
	if got.Name != "talk" || got.URL != "https://hooks.example.org/b" || got.Secret != "" || a.Header.Get("ETag") == tag {
		t.Errorf("%s", a.body)
	}

	// A new webhook of a dry run has no secret: it would sign nothing.
	if dry := h.do("POST", "/v1/webhooks?dry_run=true", `{"name":"b","url":"https://hooks.example.org/a"}`).want(200); strings.Contains(string(dry.body), "whsec_") {
		t.Errorf("%s", dry.body)
	}

	h.do("POST", path+"/secret", "", "If-Match", tag).wantFailure(412, cloud.CodePrecondition)
	for _, body := range []string{`{"overlap_seconds":-1}`, `{"overlap_seconds":604801}`, `{"overlap_seconds":9223372036854775807}`} {
		h.do("POST", path+"/secret", body).wantFailure(400, cloud.CodeInvalid)
	}
	secrets := map[string]bool{made.Secret: true}
	for _, body := range []string{"", `{"overlap_seconds":60}`, `{"overlap_seconds":0}`} {
		a := h.do("POST", path+"/secret", body).want(200)
		got := decoded[wire.Webhook](a)
		if secrets[got.Secret] || !strings.HasPrefix(got.Secret, "whsec_") || got.OldSecretUntil.IsZero() != strings.Contains(body, ":0") {
			t.Errorf("%q: %s", body, a.body)
		}
		secrets[got.Secret] = true
		if shown := h.do("GET", path, "").want(200); strings.Contains(string(shown.body), "whsec_") {
			t.Errorf("the secret is shown again: %s", shown.body)
		}
	}
	log := h.do("GET", "/v1/audit", "").want(200)
	for _, action := range []string{`"webhook.update"`, `"webhook.rotate"`} {
		if !strings.Contains(string(log.body), action) {
			t.Errorf("no %s in the audit log", action)
		}
	}
	for secret := range secrets {
		if strings.Contains(string(log.body), strings.TrimPrefix(secret, "whsec_")) {
			t.Error("a secret is in the audit log")
		}
	}
}

// The book comes in parts, with tags that the end of a price can be bound to.
func TestTheBookInPartsAndItsTags(t *testing.T) {
	h := newHouse(t)
	for n, meter := range []string{"vcpu", "memory", "disk"} {
		h.do("POST", "/v1/prices", fmt.Sprintf(`{"meter":%q,"unit_price":"0.0%d","currency":"EUR"}`, meter, n+1)).want(201)
	}
	var seen []string
	for path := "/v1/prices?limit=2"; path != ""; {
		part := decoded[wire.List[wire.Price]](h.do("GET", path, "").want(200))
		for _, p := range part.Items {
			seen = append(seen, p.Meter)
		}
		if path = ""; part.Next != "" {
			path = "/v1/prices?limit=2&cursor=" + part.Next
			h.do("GET", "/v1/discounts?cursor="+part.Next, "").wantFailure(400, cloud.CodeInvalid)
		}
	}
	if fmt.Sprint(seen) != "[disk memory vcpu]" {
		t.Errorf("%v", seen)
	}
	h.do("GET", "/v1/prices?limit=501", "").wantFailure(400, cloud.CodeInvalid)
	h.do("GET", "/v1/prices?cursor=x", "").wantFailure(400, cloud.CodeInvalid)

	one := decoded[wire.List[wire.Price]](h.do("GET", "/v1/prices?limit=1", "").want(200)).Items[0]
	tag := h.do("GET", "/v1/prices/"+one.ID, "").want(http.StatusOK).Header.Get("ETag")
	h.do("POST", "/v1/prices/"+one.ID+"/end", "", "If-Match", `"0-0"`).wantFailure(412, cloud.CodePrecondition)
	h.do("POST", "/v1/prices/"+one.ID+"/end", "", "If-Match", tag).want(200)
	if after := h.do("GET", "/v1/prices/"+one.ID, "").want(200).Header.Get("ETag"); tag == "" || after == tag {
		t.Errorf("tags %s, then %s", tag, after)
	}
}

func TestASecretThatSignsNoMoreIsNotShown(t *testing.T) {
	h := newHouse(t)
	made := decoded[wire.Webhook](h.do("POST", "/v1/webhooks", `{"name":"chat","url":"https://hooks.example.org/a"}`).want(201))
	path := "/v1/webhooks/" + made.ID
	h.do("POST", path+"/secret", `{"overlap_seconds":60}`).want(200)
	for _, c := range []struct {
		after time.Duration
		shown bool
	}{{59 * time.Second, true}, {time.Second, false}} {
		h.store.now = h.store.now.Add(c.after)
		for _, a := range []*answer{
			h.do("GET", path, ""), h.do("GET", "/v1/webhooks", ""), h.do("PATCH", path+"?dry_run=true", `{"name":"talk"}`), h.do("PATCH", path, `{"name":"chat"}`),
		} {
			if a.want(200); strings.Contains(string(a.body), "old_secret_until") != c.shown {
				t.Errorf("%s later: %s", c.after, a.body)
			}
		}
	}
}
