package cloud

// Rehearsal is what a change would have done that was asked for as a dry run:
// everything was checked and made as it always is, and then taken back. It is an
// error so that it ends whatever would have followed.
type Rehearsal struct {
	Action        string // as in the audit log: "instance.create"
	Object        any    // as it would be, or was; nil where there is nothing to show
	Before, After Amounts
	Limits        Limits
}

func (r *Rehearsal) Error() string { return "rehearsed " + r.Action }

// Changes are the resources of which the tenant would have more or less.
func (r *Rehearsal) Changes() (out []Resource) {
	for _, res := range Resources() {
		if r.Before[res] != r.After[res] {
			out = append(out, res)
		}
	}
	return out
}

// More is how much more of a resource the tenant would have; less is negative.
func (r *Rehearsal) More(res Resource) int64 { return r.After[res] - r.Before[res] }
