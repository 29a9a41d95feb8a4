package cloud

import "time"

// Webhook is a URL of a tenant that is told what budgets do.
type Webhook struct {
	ID, TenantID, Name   string
	URL                  string
	ByOperator           bool // only an operator deletes it
	CreatedAt, UpdatedAt time.Time
	Revision             int64
	// Deliveries are the last ones, the newest first.
	Deliveries []Delivery
}

// Tag names a version of a webhook.
func (w Webhook) Tag() string { return dated(w.CreatedAt, w.Revision) }

// IssuedWebhook is a webhook with the secret that signs its messages, which is
// shown once.
type IssuedWebhook struct {
	Webhook
	Secret []byte
}

// MaxWebhooks is how many webhooks a tenant has at most.
const MaxWebhooks = 20

// Checked returns CodeInvalid for a webhook that cannot be.
func (w Webhook) Checked() error { return Invalid(ValidateName("name", w.Name)) }

// Delivery is a message to a webhook. Its id is the same however often it is
// tried.
type Delivery struct {
	ID, WebhookID string
	Type          string
	Body          string // JSON
	URL           string
	Secret        []byte
	CreatedAt     time.Time
	Attempts      int
	LastAt        time.Time
	LastStatus    int    // of HTTP; 0: there was no answer
	LastError     string // a sentence
	NextAt        time.Time
	DeliveredAt   time.Time
	GivenUpAt     time.Time
}
