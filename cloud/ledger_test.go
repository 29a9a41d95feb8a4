package cloud

import (
	"strings"
	"testing"
)

func TestParseSealReadsWhatVerifyPrints(t *testing.T) {
	hash := strings.Repeat("0f", 32)
	for _, text := range []string{"1803:" + hash, hash + "@1803"} {
		s, err := ParseSeal(text)
		if err != nil || s.N != 1803 || s.Hash[0] != 0x0f || s.Hash[31] != 0x0f {
			t.Errorf("%s: %v %+v", text, err, s)
		}
	}
	for _, text := range []string{"", ":", "@", "1803", "0:" + hash, "-1:" + hash, "1803:" + hash[2:], "1803:" + hash + "00", hash + ":1803", "x:" + hash} {
		if _, err := ParseSeal(text); CodeOf(err) != CodeInvalid {
			t.Errorf("%q: %v", text, err)
		}
	}
}
