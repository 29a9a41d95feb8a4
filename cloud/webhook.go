package cloud

import "time"

// Webhook is a URL of a tenant that is told what budgets do.
type Webhook struct {
	ID, TenantID, Name   string
	URL                  string
	ByOperator           bool // only an operator changes it
	CreatedAt, UpdatedAt time.Time
	Revision             int64
	OldUntil             time.Time // until then the secret before this one signs too; zero: none does
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

// WebhookChange is a PATCH: nil means "as it is".
type WebhookChange struct {
	Name, URL *string
}

// NewSecret is a secret that takes the place of another one.
type NewSecret struct {
	Secret  []byte
	Overlap time.Duration // how long the one before signs too
}

// How long the secret before signs beside a new one, at most.
const MaxSecretOverlap = 7 * 24 * time.Hour

// MaxWebhooks is how many webhooks a tenant has at most.
const MaxWebhooks = 20

// Checked returns CodeInvalid for a webhook that cannot be.
func (w Webhook) Checked() error { return Invalid(ValidateName("name", w.Name)) }

// Delivery is a message to a webhook. Its id is the same however often it is
// tried.
type Delivery struct {
	ID, WebhookID string
	TenantID      string // of the webhook
	Type          string
	Body          string // JSON
	URL           string
	Secret        []byte
	OldSecret     []byte    // the one before
	OldUntil      time.Time // until then it signs too; zero: it does not
	CreatedAt     time.Time
	Attempts      int
	LastAt        time.Time
	LastStatus    int    // of HTTP; 0: there was no answer
	LastError     string // a sentence
	NextAt        time.Time
	DeliveredAt   time.Time
	GivenUpAt     time.Time
}
