package api_test

import (
	"net/http"
	"testing"

	"lodge/api/wire"
	"lodge/cloud"
)

func TestAChangeCanBeBoundToWhatWasRead(t *testing.T) {
	h := newHouse(t)
	img := decoded[wire.Image](h.do("POST", "/v1/images?name=debian", "RAW", "Content-Type", "application/octet-stream").want(http.StatusCreated))
	in := h.create(`{"name":"web1"}`)
	for path, change := range map[string]string{"/v1/instances/" + in.ID: `{"name":"web2"}`, "/v1/images/" + img.ID: `{"name":"other"}`} {
		tag := h.do("GET", path, "").want(http.StatusOK).Header.Get("ETag")
		if again := h.do("GET", path, "").Header.Get("ETag"); tag == "" || again != tag {
			t.Fatalf("%s: tags %q, %q", path, tag, again)
		}
		h.do("PATCH", path, change, "If-Match", `"99"`).wantFailure(412, cloud.CodePrecondition)
		h.do("PATCH", path, change, "If-Match", `99`).wantFailure(412, cloud.CodePrecondition)
		h.do("PATCH", path, change, "If-Match", `W/"1"`).wantFailure(412, cloud.CodePrecondition)
		newer := h.do("PATCH", path, change, "If-Match", tag).want(http.StatusOK).Header.Get("ETag")
		if newer == tag || newer != h.do("GET", path, "").Header.Get("ETag") {
			t.Errorf("%s: tag %s became %s", path, tag, newer)
		}
		h.do("DELETE", path, "", "If-Match", tag).wantFailure(412, cloud.CodePrecondition)
	}
	h.do("POST", "/v1/instances/"+in.ID+"/stop", "", "If-Match", `"1"`).wantFailure(412, cloud.CodePrecondition)
	h.do("POST", "/v1/tenants", `{"name":"x"}`, "If-Match", `"1"`).wantFailure(400, cloud.CodeInvalid)
	h.do("POST", "/v1/instances/"+in.ID+"/stop", "", "If-Match", "*").want(http.StatusAccepted)
}
