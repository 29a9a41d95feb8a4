package api

import (
	"encoding/json"
	"sync"

	"lodge/cloud"
)

// maxFragments is how many bytes of rendered instances are kept.
const maxFragments = 16 << 20

// fragments keeps the JSON of instances by id and revision. A revision never
// comes twice with another content, so what is kept is never wrong; memory that
// is lost costs time and nothing else.
type fragments struct {
	mu    sync.RWMutex
	byID  map[string]fragment
	bytes int
	most  int
}

type fragment struct {
	revision int64
	json     []byte // never changed
}

func newFragments(most int) *fragments {
	return &fragments{byID: map[string]fragment{}, most: most}
}

// get gives the JSON of an instance at a revision, nil when it is not kept.
func (f *fragments) get(id string, revision int64) []byte {
	f.mu.RLock()
	e := f.byID[id]
	f.mu.RUnlock()
	if e.revision != revision {
		return nil
	}
	return e.json
}

// fill puts the JSON of each ref into out, nil where it is not kept, and counts
// those.
func (f *fragments) fill(out [][]byte, refs []cloud.Meta) (missing int) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	for i := range refs {
		if e := f.byID[refs[i].ID]; e.revision == refs[i].Revision && e.json != nil {
			out[i] = e.json
			continue
		}
		out[i] = nil
		missing++
	}
	return missing
}

// render gives the JSON of an instance and keeps it.
func (f *fragments) render(i cloud.Instance) ([]byte, error) {
	if b := f.get(i.ID, i.Revision); b != nil {
		return b, nil
	}
	b, err := json.Marshal(wireInstance(i))
	if err != nil {
		return nil, err
	}
	f.put(i.ID, i.Revision, b)
	return b, nil
}

func (f *fragments) put(id string, revision int64, b []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	old := f.byID[id]
	if old.json != nil && old.revision > revision {
		return // a reader that was slower than the writer
	}
	f.byID[id] = fragment{revision, b}
	f.bytes += len(b) - len(old.json)
	for other, e := range f.byID { // in no order: any may go
		if f.bytes <= f.most {
			break
		}
		delete(f.byID, other)
		f.bytes -= len(e.json)
	}
}

// drop forgets an instance that is gone.
func (f *fragments) drop(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bytes -= len(f.byID[id].json)
	delete(f.byID, id)
}

// buffers are what lists are put together in.
var buffers = sync.Pool{New: func() any { return new(listBuffer) }}

type listBuffer struct {
	json  []byte
	parts [][]byte
}

// keepBuffer is the largest buffer that goes back to the pool.
const keepBuffer = 4 << 20

func (b *listBuffer) release() {
	if cap(b.json) > keepBuffer {
		return
	}
	clear(b.parts)
	b.json, b.parts = b.json[:0], b.parts[:0]
	buffers.Put(b)
}

// list writes a wire.List from the JSON of its items, with only the fields when
// there are some; nil parts are left out.
func (b *listBuffer) list(next string, fields []string) []byte {
	out := append(b.json[:0], `{"items":[`...)
	first := true
	for _, p := range b.parts {
		if p == nil {
			continue
		}
		if !first {
			out = append(out, ',')
		}
		first = false
		if fields != nil {
			out = trim(out, p, fields)
			continue
		}
		out = append(out, p...)
	}
	out = append(out, ']')
	if next != "" {
		out = append(append(out, `,"next":`...), mustMarshal(next)...)
	}
	if fields != nil {
		out = append(append(out, `,"fields":`...), mustMarshal(fields)...)
	}
	b.json = append(out, '}')
	return b.json
}

func mustMarshal[T string | []string](v T) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // text always marshals
	}
	return text
}
