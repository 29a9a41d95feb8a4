package cloud

import (
	"fmt"
	"strings"
	"unicode"
)

// Size is what a guest gets. DiskGiB is 0 when nothing was said of the disk.
type Size struct {
	VCPUs     int
	MemoryMiB int
	DiskGiB   int
}

// String writes the size so that ParseSize reads it back.
func (s Size) String() string {
	out := fmt.Sprintf("%d vCPU, %s", s.VCPUs, sizeText(s.MemoryMiB))
	if s.DiskGiB > 0 {
		out += fmt.Sprintf(", %d GiB disk", s.DiskGiB)
	}
	return out
}

func sizeText(mib int) string {
	if mib%1024 == 0 {
		return fmt.Sprintf("%d GiB", mib/1024)
	}
	return fmt.Sprintf("%d MiB", mib)
}

// maxSizeText is the longest text ParseSize looks at.
const maxSizeText = 128

// ParseSize reads a size the ways people write it: "2 vCPU, 4GB",
// "2cpu 4g", "4GB memory, 2-core CPU", "cpu=2 mem=4g disk=40g", "c2-m4". As
// clouds do, it takes MB, GB and TB for MiB, GiB and TiB. Returns CodeInvalid
// with a sentence when the text is ambiguous, incomplete or outside the limits.
func ParseSize(text string) (Size, error) {
	if len(text) > maxSizeText {
		return Size{}, Errorf(CodeInvalid, "A size has at most %d characters, such as \"2 vCPU, 4GB\".", maxSizeText)
	}
	tokens, err := sizeTokens(text)
	if err != nil {
		return Size{}, err
	}
	got := sizeParts{text: text}
	for len(tokens) > 0 {
		n := 0
		for n < len(tokens) && tokens[n].kind != sizeBreak {
			n++
		}
		if err := got.segment(tokens[:n]); err != nil {
			return Size{}, err
		}
		tokens = tokens[min(n+1, len(tokens)):]
	}
	return got.size()
}

type sizeTokenKind int

const (
	sizeNumber sizeTokenKind = iota
	sizeWord
	sizeBreak
)

type sizeToken struct {
	kind    sizeTokenKind
	text    string
	written string // text, with its capitals
}

// sizeTokens cuts the text into numbers, words and breaks between quantities.
func sizeTokens(text string) ([]sizeToken, error) {
	var out []sizeToken
	s := strings.Map(lowerASCII, text) // byte for byte as long as text
	for i := 0; i < len(s); {
		switch ch := s[i]; {
		case isDigit(ch):
			j := i
			for j < len(s) && (isDigit(s[j]) || (s[j] == '.' && j+1 < len(s) && isDigit(s[j+1]))) {
				j++
			}
			out = append(out, sizeToken{sizeNumber, s[i:j], s[i:j]})
			i = j
		case isLetter(ch):
			j := i
			for j < len(s) && isLetter(s[j]) {
				j++
			}
			kind := sizeWord
			if w := s[i:j]; w == "and" || w == "with" {
				kind = sizeBreak
			}
			out = append(out, sizeToken{kind, s[i:j], text[i:j]})
			i = j
		case ch == '-':
			before := i == 0 || !(isDigit(s[i-1]) || isLetter(s[i-1]))
			if before && i+1 < len(s) && (isDigit(s[i+1]) || s[i+1] == '.') {
				return nil, Errorf(CodeInvalid, "A size cannot be negative: %s.", quoteShort(text))
			}
			i++
		case strings.IndexByte(",;/+|&\n", ch) >= 0:
			out = append(out, sizeToken{kind: sizeBreak, text: string(ch)})
			i++
		case strings.IndexByte(" \t\r:=_()", ch) >= 0:
			i++
		default:
			r := []rune(s[i:])[0]
			if !unicode.IsSpace(r) {
				return nil, Errorf(CodeInvalid, "The size %s has a character that has no meaning in a size; write it like \"2 vCPU, 4GB\".", quoteShort(text))
			}
			i += len(string(r))
		}
	}
	return out, nil
}

func lowerASCII(r rune) rune {
	if r >= 'A' && r <= 'Z' {
		return r + 'a' - 'A'
	}
	return r
}

func isDigit(c byte) bool  { return c >= '0' && c <= '9' }
func isLetter(c byte) bool { return c >= 'a' && c <= 'z' }

// sizeWords says what a word tells of its number.
var sizeWords = map[string]struct {
	role  string // "cpu", "memory", "disk"
	mibs  int64  // a unit of bytes, in MiB
	prose bool   // no meaning of its own
}{
	"c": {role: "cpu"}, "cpu": {role: "cpu"}, "cpus": {role: "cpu"}, "vcpu": {role: "cpu"}, "vcpus": {role: "cpu"},
	"core": {role: "cpu"}, "cores": {role: "cpu"}, "vcore": {role: "cpu"}, "vcores": {role: "cpu"},
	"thread": {role: "cpu"}, "threads": {role: "cpu"}, "processor": {role: "cpu"}, "processors": {role: "cpu"},
	"ram": {role: "memory"}, "mem": {role: "memory"}, "memory": {role: "memory"},
	"d": {role: "disk"}, "disk": {role: "disk"}, "ssd": {role: "disk"}, "hdd": {role: "disk"}, "drive": {role: "disk"},
	"storage": {role: "disk"}, "volume": {role: "disk"}, "root": {role: "disk"},
	"m": {mibs: 1}, "mb": {mibs: 1}, "mi": {mibs: 1}, "mib": {mibs: 1}, "meg": {mibs: 1}, "megs": {mibs: 1}, "megabyte": {mibs: 1}, "megabytes": {mibs: 1},
	"g": {mibs: 1 << 10}, "gb": {mibs: 1 << 10}, "gi": {mibs: 1 << 10}, "gib": {mibs: 1 << 10}, "gig": {mibs: 1 << 10}, "gigs": {mibs: 1 << 10},
	"gigabyte": {mibs: 1 << 10}, "gigabytes": {mibs: 1 << 10},
	"t": {mibs: 1 << 20}, "tb": {mibs: 1 << 20}, "ti": {mibs: 1 << 20}, "tib": {mibs: 1 << 20}, "terabyte": {mibs: 1 << 20}, "terabytes": {mibs: 1 << 20},
	"of": {prose: true}, "virtual": {prose: true}, "size": {prose: true}, "a": {prose: true},
}

// sizeParts gathers the quantities; "" is one that was not given.
type sizeParts struct {
	text              string // whole, as written
	cpu, memory, disk string // as written, for sentences
	result            Size
}

// segment reads what stands between two breaks: either words after their
// number ("2cpu 4g") or words before it ("cpu 2 mem 4g", "c2-m4").
func (p *sizeParts) segment(tokens []sizeToken) error {
	var numbers []int
	for i, t := range tokens {
		if t.kind == sizeNumber {
			numbers = append(numbers, i)
		}
	}
	switch len(numbers) {
	case 0:
		for _, t := range tokens {
			if w, ok := sizeWords[t.text]; !ok || !w.prose {
				return Errorf(CodeInvalid, "The size says %q without a number; write it like \"2 vCPU, 4GB\".", t.written)
			}
		}
		return nil
	case 1:
		n := numbers[0]
		return p.quantity(tokens[:n], tokens[n].text, tokens[n+1:])
	}
	wordsFirst := tokens[0].kind == sizeWord && !sizeWords[tokens[0].text].prose
	for k, n := range numbers {
		from, to := n, len(tokens) // [from, n) before the number, (n, to) after
		if k+1 < len(numbers) {
			to = numbers[k+1]
		}
		if wordsFirst {
			from = 0
			if k > 0 {
				from = afterUnit(tokens, numbers[k-1])
			}
			if k+1 < len(numbers) {
				to = afterUnit(tokens, n)
			}
		} else if k == 0 {
			from = 0
		}
		if err := p.quantity(tokens[from:n], tokens[n].text, tokens[n+1:to]); err != nil {
			return err
		}
	}
	return nil
}

// afterUnit is the index after the number at n and its unit of bytes, if any.
// In "c2-m4" the "m" belongs to the 4: a unit that stands before a number is
// that number's role.
func afterUnit(tokens []sizeToken, n int) int {
	if n+1 < len(tokens) && sizeWords[tokens[n+1].text].mibs > 0 {
		if tokens[n+1].text == "m" && n+2 < len(tokens) && tokens[n+2].kind == sizeNumber {
			return n + 1
		}
		return n + 2
	}
	return n + 1
}

// quantity takes one number with the words around it.
func (p *sizeParts) quantity(before []sizeToken, number string, after []sizeToken) error {
	role, unit := "", int64(0)
	written := number
	for i, t := range append(append([]sizeToken{}, before...), after...) {
		w, ok := sizeWords[t.text]
		if !ok {
			if t.text == "x" {
				return Errorf(CodeInvalid, "The size %s does not say which number is what; write it like \"2 vCPU, 4GB\".", quoteShort(p.text))
			}
			return Errorf(CodeInvalid, "The word %q has no meaning in a size; write it like \"2 vCPU, 4GB\".", t.written)
		}
		if i < len(before) && t.text == "m" { // "m4", as in the names of flavors
			w.role, w.mibs = "memory", 1<<10
		} else if w.mibs > 0 {
			written += t.written
		}
		if w.mibs > 0 && unit == 0 {
			unit = w.mibs
		} else if w.mibs > 0 && !(len(before) > 0 && before[len(before)-1].text == "m") {
			return Errorf(CodeInvalid, "The size gives %q two units.", written)
		} else if w.mibs > 0 {
			unit = w.mibs
		}
		if w.role == "" || w.role == role {
			continue
		}
		if role != "" {
			return Errorf(CodeInvalid, "The size does not say whether %q is %s or %s; put a comma between the parts.", written, role, w.role)
		}
		role = w.role
	}
	if role == "" && unit > 0 {
		role = "memory"
	}
	switch {
	case role == "":
		return Errorf(CodeInvalid, "The size does not say what %q is; write it like \"2 vCPU, 4GB\".", number)
	case role == "cpu":
		return p.takeCPU(number, unit)
	case unit == 0 && !(role == "disk" && len(before) == 1 && before[0].text == "d"):
		return Errorf(CodeInvalid, "The size gives no unit for the %s; write %sGB or %sMB.", role, number, number)
	case role == "disk":
		return p.takeDisk(number, max(unit, 0), written)
	}
	return p.takeMemory(number, unit, written)
}

func (p *sizeParts) takeCPU(number string, unit int64) error {
	if unit > 0 {
		return Errorf(CodeInvalid, "The size counts vCPUs in bytes; put a comma between the parts, like \"2 vCPU, 4GB\".")
	}
	if p.cpu != "" {
		return Errorf(CodeInvalid, "The size gives the number of vCPUs twice: %s and %s.", p.cpu, number)
	}
	n, whole, ok := scaled(number, 1)
	if ok && !whole {
		return Errorf(CodeInvalid, "A guest has whole vCPUs; %s is not a whole number.", number)
	}
	if !ok || n < MinVCPUs || n > MaxVCPUs {
		return Errorf(CodeInvalid, "A guest has %d to %d vCPUs; %s is outside of that.", MinVCPUs, MaxVCPUs, number)
	}
	p.cpu, p.result.VCPUs = number, int(n)
	return nil
}

func (p *sizeParts) takeMemory(number string, unit int64, written string) error {
	if p.memory != "" {
		return Errorf(CodeInvalid, "The size gives memory twice: %s and %s; call one of them disk.", p.memory, written)
	}
	n, whole, ok := scaled(number, unit)
	if ok && !whole {
		return Errorf(CodeInvalid, "Memory is counted in whole MiB; %s is not.", written)
	}
	if !ok || n < MinMemoryMiB || n > MaxMemoryMiB {
		return Errorf(CodeInvalid, "A guest has %d MiB to %d GiB of memory; %s is outside of that.", MinMemoryMiB, MaxMemoryMiB/1024, written)
	}
	p.memory, p.result.MemoryMiB = written, int(n)
	return nil
}

func (p *sizeParts) takeDisk(number string, unit int64, written string) error {
	if p.disk != "" {
		return Errorf(CodeInvalid, "The size gives the disk twice: %s and %s.", p.disk, written)
	}
	if unit == 0 { // "d40"
		unit = 1 << 10
	}
	n, whole, ok := scaled(number, unit)
	if ok && (!whole || n%1024 != 0) {
		return Errorf(CodeInvalid, "A disk is counted in whole GiB; %s is not.", written)
	}
	n /= 1024
	if !ok || n < MinDiskGiB || n > MaxDiskGiB {
		return Errorf(CodeInvalid, "A disk has %d to %d GiB; %s is outside of that.", MinDiskGiB, MaxDiskGiB, written)
	}
	p.disk, p.result.DiskGiB = written, int(n)
	return nil
}

func (p *sizeParts) size() (Size, error) {
	switch {
	case p.cpu == "" && p.memory == "":
		return Size{}, Errorf(CodeInvalid, "The size names neither vCPUs nor memory; write it like \"2 vCPU, 4GB\".")
	case p.memory == "":
		return Size{}, Errorf(CodeInvalid, "The size names no memory; write it like \"%s vCPU, 4GB\".", p.cpu)
	case p.cpu == "":
		return Size{}, Errorf(CodeInvalid, "The size names no vCPUs; write it like \"2 vCPU, %s\".", p.memory)
	}
	return p.result, nil
}

// scaled is number times unit: whole is false when that is no whole number, ok
// is false when the number is too long to be a size at all.
func scaled(number string, unit int64) (n int64, whole, ok bool) {
	const maxInt, maxFrac = 9, 3
	head, frac, _ := strings.Cut(number, ".")
	if strings.Contains(frac, ".") || len(head) > maxInt || len(frac) > maxFrac {
		return 0, false, false
	}
	tenth := int64(1)
	for _, d := range head + frac {
		n = n*10 + int64(d-'0')
	}
	for range frac {
		tenth *= 10
	}
	n *= unit
	return n / tenth, n%tenth == 0, true
}

// quoteShort quotes text for a sentence, cut where it would be too long.
func quoteShort(text string) string {
	const most = 48
	if r := []rune(text); len(r) > most {
		text = string(r[:most]) + "…"
	}
	return fmt.Sprintf("%q", text)
}
