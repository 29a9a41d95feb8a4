package cloud_test

import (
	"strings"
	"testing"

	"golang.org/x/text/currency"

	"lodge/cloud"
)

// iso4217 is list one of ISO 4217, without what has no minor unit: precious
// metals, units of account, the codes for tests and for none.
var iso4217 = map[int]string{
	0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
	2: "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD " +
		"FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN " +
		"NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS " +
		"VED VES WST XAD XCD XCG YER ZAR ZMW ZWG",
	3: "BHD IQD JOD KWD LYD OMR TND",
	4: "CLF UYW",
}

func TestACurrencyHasTheMinorUnitOfISO4217(t *testing.T) {
	for digits, codes := range iso4217 {
		for code := range strings.FieldsSeq(codes) {
			if c := cloud.CurrencyOf(code); c.Code != code || c.Minor != digits {
				t.Errorf("%s has %d digits, want %d", code, c.Minor, digits)
			}
		}
	}
}

// asUsed are the currencies that CLDR gives another number of digits than the
// standard: the smaller coins of most are not in use any more.
const asUsed = "AFN ALL COP IDR IQD IRR KPW LAK LBP MGA MMK PKR RSD SOS SYP TZS UZS YER AMD GYD MNT MUR"

// A second source: what disagrees with it is what it is known to say otherwise.
func TestTheMinorUnitsAgreeWithCLDR(t *testing.T) {
	n := 0
	for digits, codes := range iso4217 {
		for code := range strings.FieldsSeq(codes) {
			unit, err := currency.ParseISO(code)
			if err != nil {
				continue // newer than its tables, or a unit of account that it has not
			}
			n++
			if scale, _ := currency.Standard.Rounding(unit); (scale != digits) != strings.Contains(asUsed, code) {
				t.Errorf("%s has %d digits in CLDR and %d here; is it among those that are used otherwise?", code, scale, digits)
			}
		}
	}
	if n < 150 {
		t.Errorf("only %d currencies were compared", n)
	}
}
