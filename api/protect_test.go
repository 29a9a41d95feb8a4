package api_test

import (
	"strings"
	"testing"

	"lodge/api/wire"
	"lodge/cloud"
)

func TestProtectionIsSetAndLiftedAndKeepsFromDeletion(t *testing.T) {
	h := newHouse(t)
	img := decoded[wire.Image](h.upload("name=debian-12&default=true&protected=true", "RAW").want(201))
	in := h.create(`{"name":"web1","size":"c1-m1","protected":true}`)
	free := h.create(`{"name":"web2","size":"c1-m1"}`)
	if !img.Protected || !in.Protected || free.Protected {
		t.Errorf("image %v, web1 %v, web2 %v", img.Protected, in.Protected, free.Protected)
	}
	for _, path := range []string{"/v1/instances/" + in.ID, "/v1/images/" + img.ID} {
		got := h.do("DELETE", path, "").wantFailure(409, cloud.CodeProtected)
		if !strings.Contains(got.Detail, "change its protected to false") {
			t.Errorf("the sentence does not say how: %s", got.Detail)
		}
		h.do("GET", path, "").want(200)
		h.do("PATCH", path, `{"protected":"no"}`).wantFailure(400, cloud.CodeMalformed)
		h.do("PATCH", path, `{"protected":false}`).want(200)
	}
	h.do("DELETE", "/v1/instances/"+in.ID, "").want(202)
	h.do("DELETE", "/v1/images/"+img.ID, "").wantFailure(409, cloud.CodeInUse) // and no longer for its protection
	h.do("PATCH", "/v1/instances/"+free.ID, `{"protected":true}`).want(200)
	h.do("DELETE", "/v1/instances/"+free.ID, "").wantFailure(409, cloud.CodeProtected)
}
