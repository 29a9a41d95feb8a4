package wire

import (
	"encoding/json"
	"testing"
	"time"
)

func TestTimesAreUTCWithMilliseconds(t *testing.T) {
	at := time.Date(2026, 11, 5, 13, 0, 0, 123_999_999, time.FixedZone("", 3600))
	b, err := json.Marshal(struct {
		A Time `json:"a"`
		B Time `json:"b,omitzero"`
	}{A: Time{at}})
	if err != nil || string(b) != `{"a":"2026-11-05T12:00:00.123Z"}` {
		t.Errorf("%s, %v", b, err)
	}
	for text, ok := range map[string]bool{
		`"2026-11-05T12:00:00.123Z"`: true, `"2026-11-05T13:00:00.123+01:00"`: true, `null`: true, `"2026-11-05"`: false, `17`: false, `""`: false,
	} {
		var got Time
		if err := json.Unmarshal([]byte(text), &got); (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		} else if ok && text != "null" && got.UnixMilli() != at.UnixMilli() {
			t.Errorf("%s: %v", text, got)
		}
	}
}
