package api_test

import (
	"encoding/json"
	"testing"

	"lodge/api"
	"lodge/api/wire"
	"lodge/cloud"
)

func TestDecodeSaysWhatIsWrong(t *testing.T) {
	for body, want := range map[string]string{
		`{"name":1}`:                     `The field "name" must be a string, not a number.`,
		`{"vcpus":1.5}`:                  `The field "vcpus" must be a whole number, not the number 1.5.`,
		`{"labels":[]}`:                  `The field "labels" must be an object, not a list.`,
		``:                               `The body is empty; a JSON object is expected.`,
		`"name"`:                         `The body must be a JSON object.`,
		`{"name":"a"} {}`:                `The body is not one JSON document: it goes wrong at byte 14.`,
		`{"name":"a","name":"b"}`:        `The key "name" is given twice in one object.`,
		`{"labels":{"a":"1","a":"2"}}`:   `The key "a" is given twice in one object.`,
		`{"name":{"a":[{"b":1,"b":2}]}}`: `The key "b" is given twice in one object.`,
		`{"labels":{"b":"c","a":null}}`:  `The field labels["a"] must be a string, not null.`,
		"{\"name\":\"\xc3\x28\"}":        `The body must be UTF-8 text; what stands at byte 10 is no character.`,
		`{"name":"\ud83d"}`:              `The body must be UTF-8 text; what stands at byte 10 is no character.`,
		`{"name":"\ude00\ud83d"}`:        `The body must be UTF-8 text; what stands at byte 10 is no character.`,
		`{"name":"\\\ud800\n"}`:          `The body must be UTF-8 text; what stands at byte 12 is no character.`,
		`{"name":"a","zzz":true}`:        `There is no field "zzz"; the fields are name, tenant, labels, size, flavor, vcpus, memory_mib, disk_gib, image, ssh_keys, user_data, power, protected.`,
	} {
		err := api.DecodeBytes([]byte(body), &wire.CreateInstance{})
		if got := cloud.MessageOf(err); got != want {
			t.Errorf("%s\n got %s\nwant %s", body, got, want)
		}
	}
}

func TestDecodeTakesWhatIsNotAmbiguous(t *testing.T) {
	for _, body := range []string{
		`{"name":"\ud83d\ude00 \\ud800 \ufffd é"}`, `{"name":"labels","labels":{"name":"a","labels":"name"}}`, `{"labels":null,"size":null}`,
	} {
		if err := api.DecodeBytes([]byte(body), &wire.CreateInstance{}); err != nil {
			t.Errorf("%s: %v", body, err)
		}
	}
	if err := api.DecodeBytes([]byte(`{"labels":{"a":null}}`), &wire.UpdateInstance{}); err != nil {
		t.Errorf("a label that is removed: %v", err)
	}
}

// Whatever the body, it is taken whole or refused with one of three codes; what
// is taken means the same when it is written and read again.
func FuzzDecodeCreateInstance(f *testing.F) {
	for _, seed := range []string{
		`{"name":"web1","size":"2 vCPU, 4GB"}`, `{"name":"a","labels":{"a":null}}`, `{"vcpus":1e3}`, `{"vcpus":-0}`, `{"x":1}`, `[]`, `null`, ``,
		`{"name":"a"}x`, `{"name":"\ud800"}`, `{"ssh_keys":[null]}`, `{"name":"a","name":"b"}`, "\xef\xbb\xbf{}", `{"NAME":"a"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var got wire.CreateInstance
		err := api.DecodeBytes(body, &got)
		if err != nil {
			switch c := cloud.CodeOf(err); c {
			case cloud.CodeMalformed, cloud.CodeUnknownField:
				return
			default:
				t.Fatalf("code %q: %v", c, err)
			}
		}
		if !json.Valid(body) {
			t.Fatal("taken, and no JSON")
		}
		again, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		if err := api.DecodeBytes(again, &wire.CreateInstance{}); err != nil {
			t.Fatalf("%s: %v", again, err)
		}
	})
}

// Nothing that is put into a create makes the front answer with a defect.
func FuzzCreateInstance(f *testing.F) {
	f.Add([]byte(`{"name":"web1","size":"2 vCPU, 4GB"}`), "tenant=default")
	f.Add([]byte(`{"name":"a","ssh_keys":["`+goodKey+`"],"user_data":"#!/bin/sh"}`), "")
	f.Add([]byte(`{"name":"a","image":"'; DROP TABLE instance; --"}`), "tenant=%00&x")
	f.Fuzz(func(t *testing.T, body []byte, query string) {
		status := newFront(t).post("/v1/instances", query, body)
		if status != 202 && (status < 400 || status >= 500) {
			t.Fatalf("status %d", status)
		}
	})
}
