package wire

// BulkResult is what a change of many instances did, or with DryRun would do.
type BulkResult struct {
	DryRun    bool          `json:"dry_run"`
	Matched   int           `json:"matched"`   // found, and not so already
	Instances []BulkItem    `json:"instances"` // changed
	Skipped   []BulkSkipped `json:"skipped"`   // refused one by one
	Remaining int           `json:"remaining"` // beyond what one request changes; send it again
}

// BulkItem is an instance that was changed.
type BulkItem struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// BulkSkipped is an instance that was not changed, and why.
type BulkSkipped struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

// UpdateLabels changes the labels of a tenant or network.
type UpdateLabels struct {
	Labels map[string]*string `json:"labels,omitempty"` // merged; null removes a key
}
