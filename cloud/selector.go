package cloud

import (
	"slices"
	"strings"
)

// The size of a selector.
const (
	MaxSelectorBytes  = 2048
	MaxSelectorTerms  = 16
	MaxSelectorValues = 64 // of one term
)

// Selector says which labels an object has to have: every term holds. An empty
// one fits everything.
type Selector []Term

// Term is one condition on the label named Key.
type Term struct {
	Key    string
	Op     TermOp
	Values []string // sorted, each once; none for TermHas and TermHasNot
}

// TermOp is what a term asks of a label.
type TermOp string

// The operators. As in Kubernetes, an object without the label fits TermNotIn.
const (
	TermIn     TermOp = "in" // "=" and "==" too
	TermNotIn  TermOp = "notin"
	TermHas    TermOp = "exists"
	TermHasNot TermOp = "!"
)

// Positive reports whether only objects with the label can fit.
func (t Term) Positive() bool { return t.Op == TermIn || t.Op == TermHas }

// Fits reports whether the labels are as the selector says.
func (s Selector) Fits(labels map[string]string) bool {
	for _, t := range s {
		if !t.fits(labels) {
			return false
		}
	}
	return true
}

func (t Term) fits(labels map[string]string) bool {
	value, has := labels[t.Key]
	switch t.Op {
	case TermIn:
		return has && slices.Contains(t.Values, value)
	case TermNotIn:
		return !has || !slices.Contains(t.Values, value)
	case TermHas:
		return has
	}
	return !has
}

// String writes the selector in one spelling: two that differ in spaces, or in
// the order of values, are the same text. ParseSelector reads it back.
func (s Selector) String() string {
	terms := make([]string, 0, len(s))
	for _, t := range s {
		terms = append(terms, t.String())
	}
	return strings.Join(terms, ",")
}

// Sorted is the selector with its terms in the order of their text, each once. All
// terms hold, so it says the same.
func (s Selector) Sorted() Selector {
	out := slices.SortedFunc(slices.Values(s), func(a, b Term) int { return strings.Compare(a.String(), b.String()) })
	return slices.CompactFunc(out, func(a, b Term) bool { return a.String() == b.String() })
}

// String writes the term.
func (t Term) String() string {
	switch {
	case t.Op == TermHas:
		return t.Key
	case t.Op == TermHasNot:
		return "!" + t.Key
	case len(t.Values) == 1 && t.Op == TermIn:
		return t.Key + "=" + t.Values[0]
	case len(t.Values) == 1:
		return t.Key + "!=" + t.Values[0]
	}
	return t.Key + " " + string(t.Op) + " (" + strings.Join(t.Values, ",") + ")"
}

// ParseSelector reads a selector as Kubernetes spells it:
//
//	env=prod,tier!=db,zone in (a,b),app notin (x,y),owner,!legacy
//
// "==" is "=". Returns CodeInvalid for anything else, for a key or value that no
// label can have, and for a selector that is empty or too long.
func ParseSelector(text string) (Selector, error) {
	if len(text) > MaxSelectorBytes {
		return nil, badSelector("A label selector has at most %d bytes; this one has %d.", MaxSelectorBytes, len(text))
	}
	p := selectorParser{rest: text}
	var out Selector
	for {
		t, err := p.term()
		if err != nil {
			return nil, err
		}
		out = append(out, t)
		switch p.space(); {
		case p.rest == "":
			return out, nil
		case len(out) == MaxSelectorTerms:
			return nil, badSelector("A label selector has at most %d terms.", MaxSelectorTerms)
		case !p.take(","):
			return nil, badSelector("In the label selector a comma is missing before %s.", quoteShort(p.rest))
		}
	}
}

func badSelector(format string, args ...any) error {
	e := Errorf(CodeInvalid, format, args...)
	e.Fields = []FieldError{{Field: "label", Message: e.Message}}
	return e
}

// selectorParser takes a selector apart from its beginning.
type selectorParser struct{ rest string }

func (p *selectorParser) space() { p.rest = strings.TrimLeft(p.rest, " \t") }

func (p *selectorParser) take(mark string) bool {
	p.space()
	rest, ok := strings.CutPrefix(p.rest, mark)
	if ok {
		p.rest = rest
	}
	return ok
}

// word takes what stands before the next space or mark; it may be empty.
func (p *selectorParser) word() string {
	p.space()
	end := strings.IndexAny(p.rest, " \t,=!()")
	if end < 0 {
		end = len(p.rest)
	}
	word := p.rest[:end]
	p.rest = p.rest[end:]
	return word
}

func (p *selectorParser) term() (Term, error) {
	not := p.take("!")
	t := Term{Key: p.word()}
	if t.Key == "" {
		return t, badSelector("The label selector has no name of a label where one is needed; write it as env=prod,tier!=db,zone in (a,b),owner,!legacy.")
	}
	if bad := ValidateLabel("label", t.Key, ""); bad != nil {
		return t, badSelector("%s", bad[0].Message)
	}
	if not {
		t.Op = TermHasNot
		return t, nil
	}
	return t, p.condition(&t)
}

// condition takes what follows the key.
func (p *selectorParser) condition(t *Term) error {
	p.space()
	switch {
	case p.take("=="), p.take("="):
		t.Op, t.Values = TermIn, []string{p.word()}
	case p.take("!="):
		t.Op, t.Values = TermNotIn, []string{p.word()}
	case p.rest == "" || p.rest[0] == ',':
		t.Op = TermHas
		return nil
	default:
		switch op := p.word(); op {
		case string(TermIn), string(TermNotIn):
			t.Op = TermOp(op)
		default:
			return badSelector("After the label %s comes =, ==, !=, in (...), notin (...), a comma or the end.", quoteShort(t.Key))
		}
		var err error
		if t.Values, err = p.values(t.Key); err != nil {
			return err
		}
	}
	for _, v := range t.Values {
		if bad := ValidateLabel("label", t.Key, v); bad != nil {
			return badSelector("%s", bad[0].Message)
		}
	}
	slices.Sort(t.Values)
	t.Values = slices.Compact(t.Values)
	return nil
}

// values takes a list in brackets. A value may be empty, as that of a label may.
func (p *selectorParser) values(key string) ([]string, error) {
	if !p.take("(") {
		return nil, badSelector("The values of the label %s stand in brackets: %s in (a,b).", quoteShort(key), quoteShort(key))
	}
	var out []string
	for {
		out = append(out, p.word())
		switch {
		case p.take(")"):
			return out, nil
		case len(out) == MaxSelectorValues:
			return nil, badSelector("A term of a label selector has at most %d values.", MaxSelectorValues)
		case !p.take(","):
			return nil, badSelector("The values of the label %s are not ended by a closing bracket.", quoteShort(key))
		}
	}
}
