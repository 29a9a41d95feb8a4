package cloud

import "strings"

// Currency is what the installation bills in.
type Currency struct {
	Code  string // ISO 4217; "": no price was ever made
	Minor int    // digits of its minor unit
}

// minorUnits are the currencies whose minor unit has not two digits, of list one
// of ISO 4217. Those of CLDR, which libraries have, are others: they say what is
// in use, not what is written on an invoice.
var minorUnits = map[string]int{
	"BIF": 0, "CLP": 0, "DJF": 0, "GNF": 0, "ISK": 0, "JPY": 0, "KMF": 0, "KRW": 0, "PYG": 0, "RWF": 0, "UGX": 0, "UYI": 0, "VND": 0, "VUV": 0, "XAF": 0, "XOF": 0, "XPF": 0,
	"BHD": 3, "IQD": 3, "JOD": 3, "KWD": 3, "LYD": 3, "OMR": 3, "TND": 3, "CLF": 4, "UYW": 4,
}

// CurrencyOf is the currency with the code.
func CurrencyOf(code string) Currency {
	if code == "" {
		return Currency{}
	}
	minor, odd := minorUnits[code]
	if !odd {
		minor = 2
	}
	return Currency{Code: code, Minor: minor}
}

// ValidateCurrency checks the code of a currency.
func ValidateCurrency(field, code string) []FieldError {
	if len(code) != 3 || strings.Trim(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return fieldError(field, "A currency is a code of ISO 4217 such as \"EUR\", not %s.", quoteShort(code))
	}
	return nil
}
