package wire

// Budget is how much a tenant, or what of it has certain labels, may cost in a
// period, and what happens on the way there.
type Budget struct {
	ID         string            `json:"id"`
	TenantID   string            `json:"tenant_id"`
	Name       string            `json:"name"`
	Label      string            `json:"label,omitempty"` // a selector; absent: everything
	Amount     string            `json:"amount"`          // decimal text, in the currency of the book
	Period     string            `json:"period"`          // "day", "month" or "total", of UTC
	Thresholds []BudgetThreshold `json:"thresholds"`
	WebhookID  string            `json:"webhook_id,omitempty"`
	ByOperator bool              `json:"by_operator"` // only an operator changes it
	CreatedAt  Time              `json:"created_at"`
	UpdatedAt  Time              `json:"updated_at"`
	DeletedAt  Time              `json:"deleted_at,omitzero"` // it does nothing any more, and is gone when holds is 0
	Revision   int64             `json:"revision"`
	Holds      int               `json:"holds"`            // instances that it has stopped and may start again
	Crossings  []BudgetCrossing  `json:"crossings"`        // what is in force, the first first
	Status     *BudgetStatus     `json:"status,omitempty"` // where one budget is shown
}

// BudgetThreshold is a part of the amount and what happens there.
type BudgetThreshold struct {
	Percent      int    `json:"percent"`
	On           string `json:"on"`     // "actual" or "forecast"
	Action       string `json:"action"` // "notify", "refuse" or "stop"
	GraceSeconds int64  `json:"grace_seconds,omitempty"`
}

// BudgetCrossing is a threshold that was reached.
type BudgetCrossing struct {
	BudgetThreshold
	At        Time   `json:"at"`
	Until     Time   `json:"until,omitzero"` // the end of the period; absent: none
	Spent     string `json:"spent"`          // then; of a forecast: what was expected
	StopAt    Time   `json:"stop_at,omitzero"`
	StoppedAt Time   `json:"stopped_at,omitzero"`
}

// BudgetStatus is where a budget stands at an instant.
type BudgetStatus struct {
	At          Time   `json:"at"`
	From        Time   `json:"from"`
	To          Time   `json:"to,omitzero"`
	Currency    string `json:"currency,omitempty"`
	Spent       string `json:"spent"`
	Forecast    string `json:"forecast,omitempty"`
	NextAt      Time   `json:"next_at,omitzero"` // when the next threshold is reached, if nothing changes
	NextPercent int    `json:"next_percent,omitempty"`
}

// CreateBudget asks for a budget.
type CreateBudget struct {
	Tenant     string            `json:"tenant,omitempty"`
	Name       string            `json:"name"`
	Label      string            `json:"label,omitempty"`
	Amount     string            `json:"amount"`
	Period     string            `json:"period,omitempty"` // "month" when absent
	Thresholds []BudgetThreshold `json:"thresholds"`
	Webhook    string            `json:"webhook,omitempty"` // its id
}

// UpdateBudget changes what is not nil.
type UpdateBudget struct {
	Name       *string           `json:"name,omitempty"`
	Label      *string           `json:"label,omitempty"` // "": everything
	Amount     *string           `json:"amount,omitempty"`
	Thresholds []BudgetThreshold `json:"thresholds,omitempty"` // in place of those there are
	Webhook    *string           `json:"webhook,omitempty"`    // "": none
}

// Webhook is a URL that is told what budgets do.
type Webhook struct {
	ID         string `json:"id"`
	TenantID   string `json:"tenant_id"`
	Name       string `json:"name"`
	URL        string `json:"url"`
	ByOperator bool   `json:"by_operator"`
	CreatedAt  Time   `json:"created_at"`
	UpdatedAt  Time   `json:"updated_at"`
	Revision   int64  `json:"revision"`
	Secret     string `json:"secret,omitempty"` // a new one, once
	// OldSecretUntil is until when the secret before this one signs too.
	OldSecretUntil Time       `json:"old_secret_until,omitzero"`
	Deliveries     []Delivery `json:"deliveries,omitempty"` // the last ones, where one webhook is shown
}

// Delivery is a message to a webhook.
type Delivery struct {
	ID          string `json:"id"` // the same however often it is tried
	Type        string `json:"type"`
	CreatedAt   Time   `json:"created_at"`
	Attempts    int    `json:"attempts"`
	LastAt      Time   `json:"last_at,omitzero"`
	LastStatus  int    `json:"last_status,omitempty"` // of HTTP; absent: there was no answer
	LastError   string `json:"last_error,omitempty"`
	NextAt      Time   `json:"next_at,omitzero"`
	DeliveredAt Time   `json:"delivered_at,omitzero"`
	GivenUpAt   Time   `json:"given_up_at,omitzero"`
}

// CreateWebhook asks for a webhook.
type CreateWebhook struct {
	Tenant string `json:"tenant,omitempty"`
	Name   string `json:"name"`
	URL    string `json:"url"`
}

// UpdateWebhook changes what is not nil.
type UpdateWebhook struct {
	Name *string `json:"name,omitempty"`
	URL  *string `json:"url,omitempty"`
}

// NewSecret asks for a new secret of a webhook.
type NewSecret struct {
	OverlapSeconds *int64 `json:"overlap_seconds,omitempty"` // how long the one before signs too; a day when absent
}

// Schedule stops instances by label and starts them again.
type Schedule struct {
	ID        string          `json:"id"`
	TenantID  string          `json:"tenant_id"`
	Name      string          `json:"name"`
	Label     string          `json:"label"`
	Start     string          `json:"start"` // five fields of cron
	Stop      string          `json:"stop"`
	TimeZone  string          `json:"time_zone"`
	Enabled   bool            `json:"enabled"`
	Last      string          `json:"last,omitempty"` // what its last time said: "start" or "stop"
	LastAt    Time            `json:"last_at,omitzero"`
	CreatedAt Time            `json:"created_at"`
	UpdatedAt Time            `json:"updated_at"`
	DeletedAt Time            `json:"deleted_at,omitzero"` // it is gone when holds is 0
	Revision  int64           `json:"revision"`
	Holds     int             `json:"holds"`            // instances that it has stopped and may start again
	Status    *ScheduleStatus `json:"status,omitempty"` // where one schedule is shown
}

// ScheduleStatus is what a schedule does next, and what it saved in this month.
type ScheduleStatus struct {
	At     Time           `json:"at"`
	Next   string         `json:"next,omitempty"`
	NextAt Time           `json:"next_at,omitzero"`
	Saving ScheduleSaving `json:"saving"`
}

// ScheduleSaving is what the instances would have cost in this month, at the
// prices of now, while the schedule had them stopped.
type ScheduleSaving struct {
	Currency string `json:"currency,omitempty"`
	From     Time   `json:"from"`
	Cost     string `json:"cost"`
	Note     string `json:"note,omitempty"`
}

// CreateSchedule asks for a schedule.
type CreateSchedule struct {
	Tenant   string `json:"tenant,omitempty"`
	Name     string `json:"name"`
	Label    string `json:"label"`
	Start    string `json:"start"`
	Stop     string `json:"stop"`
	TimeZone string `json:"time_zone,omitempty"` // "UTC" when absent
	Enabled  *bool  `json:"enabled,omitempty"`   // true when absent
}

// UpdateSchedule changes what is not nil.
type UpdateSchedule struct {
	Name     *string `json:"name,omitempty"`
	Label    *string `json:"label,omitempty"`
	Start    *string `json:"start,omitempty"`
	Stop     *string `json:"stop,omitempty"`
	TimeZone *string `json:"time_zone,omitempty"`
	Enabled  *bool   `json:"enabled,omitempty"`
}

// StoppedBy is what stopped an instance and may start it again.
type StoppedBy struct {
	Kind string `json:"kind"` // "budget" or "schedule"
	ID   string `json:"id"`
}
