package store

import (
	"sync"
	"sync/atomic"

	"lodge/cloud"
)

// The bounds of the cache of instances.
const (
	cacheEntries = 20_000
	cacheBytes   = 64 << 20
)

// known is an instance as it was read at its revision, with its root volume.
// Everything in it that can change is a change of the instance's revision.
type known struct {
	instance cloud.Instance
	root     cloud.Volume
	seen     seen
	// metered are the readings that the open intervals were found equal to.
	metered atomic.Pointer[[]cloud.Reading]
}

// cost is about how many bytes an entry holds.
func (k *known) cost() int {
	n := 2048 + len(k.instance.UserData)
	for _, key := range k.instance.SSHKeys {
		n += len(key)
	}
	for name, value := range k.instance.Labels {
		n += len(name) + len(value) + 32
	}
	return n + 256*len(k.instance.Ports)
}

// instanceCache saves decoding rows, nothing else: whoever uses an entry has
// just read its revision from the database, so it is right for any number of
// processes and after any loss. Only committed rows come into it.
type instanceCache struct {
	mu      sync.RWMutex
	entries int
	bytes   int
	held    int
	byID    map[string]*known
}

func newInstanceCache(entries, bytes int) *instanceCache {
	return &instanceCache{entries: entries, bytes: bytes, byID: make(map[string]*known)}
}

// get returns the entry with the id at exactly this revision, or nil.
func (c *instanceCache) get(id string, revision int64) *known {
	c.mu.RLock()
	k := c.byID[id]
	c.mu.RUnlock()
	if k == nil || k.instance.Revision != revision {
		return nil
	}
	return k
}

// put keeps an entry unless a newer one is there, and makes room by dropping
// any others.
func (c *instanceCache) put(k *known) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if old := c.byID[k.instance.ID]; old != nil {
		if old.instance.Revision > k.instance.Revision {
			return
		}
		c.held -= old.cost()
		delete(c.byID, k.instance.ID)
	}
	size := k.cost()
	for id, other := range c.byID {
		if len(c.byID) < c.entries && c.held+size <= c.bytes {
			break
		}
		c.held -= other.cost()
		delete(c.byID, id)
	}
	c.held += size
	c.byID[k.instance.ID] = k
}

// drop forgets an instance that is gone.
func (c *instanceCache) drop(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if old := c.byID[id]; old != nil {
		c.held -= old.cost()
		delete(c.byID, id)
	}
}
