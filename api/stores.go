package api

import (
	"context"
	"io"
	"time"

	"lodge/cloud"
)

// What the front asks of the rest of the house, one interface a noun. All
// methods return *cloud.Error with the code the client shall see. A method that
// takes a Caller answers CodeNotFound for what the caller may not see.

// Tenants keeps tenants.
type Tenants interface {
	CreateTenant(ctx context.Context, c cloud.Caller, now time.Time, n cloud.NewTenant) (cloud.Tenant, error)
	Tenant(ctx context.Context, c cloud.Caller, idOrName string) (cloud.Tenant, error)
	Tenants(ctx context.Context, c cloud.Caller, f cloud.Filter, p cloud.Page) (items []cloud.Tenant, next string, err error)
	UpdateTenant(ctx context.Context, c cloud.Caller, now time.Time, id string, ch cloud.LabelChange) (cloud.Tenant, error)
	DeleteTenant(ctx context.Context, c cloud.Caller, now time.Time, id string) error
}

// Flavors keeps named sizes.
type Flavors interface {
	Flavors(ctx context.Context) ([]cloud.Flavor, error)
	Flavor(ctx context.Context, id string) (cloud.Flavor, error)
	CreateFlavor(ctx context.Context, c cloud.Caller, now time.Time, f cloud.Flavor) error
	DeleteFlavor(ctx context.Context, c cloud.Caller, now time.Time, id string) error
}

// Images keeps images; bytes go to an ImageSink.
type Images interface {
	CreateImage(ctx context.Context, c cloud.Caller, now time.Time, n cloud.NewImage) (cloud.Image, error)
	Image(ctx context.Context, c cloud.Caller, idOrName string, tenantID string) (cloud.Image, error)
	Images(ctx context.Context, c cloud.Caller, f cloud.Filter, p cloud.Page) (items []cloud.Image, next string, err error)
	UpdateImage(ctx context.Context, c cloud.Caller, now time.Time, id string, ch cloud.ImageChange) (cloud.Image, error)
	DeleteImage(ctx context.Context, c cloud.Caller, now time.Time, id string) error
}

// ImageUploads records how an upload goes on.
type ImageUploads interface {
	ImageProgress(ctx context.Context, id string, done, total int64) error
	RecordImage(ctx context.Context, now time.Time, r cloud.ImageRecord) error
	// ForgetImage removes an image row whose upload failed: nothing is left.
	ForgetImage(ctx context.Context, now time.Time, id string, why *cloud.Error) error
}

// ImageSink takes the bytes of one image: all of them or nothing. It streams,
// checks format, features, limits and sha256, and leaves nothing on an error.
type ImageSink interface {
	ImportImage(ctx context.Context, img cloud.Image, r io.Reader, progress func(done int64)) (cloud.ImageInfo, error)
	// RemoveDisk takes back what was imported and could not be recorded.
	RemoveDisk(ctx context.Context, kind cloud.DiskKind, id string) error
}

// Networks keeps networks.
type Networks interface {
	Networks(ctx context.Context, c cloud.Caller, f cloud.Filter, p cloud.Page) (items []cloud.Network, next string, err error)
	Network(ctx context.Context, c cloud.Caller, id string) (cloud.Network, error)
	UpdateNetwork(ctx context.Context, c cloud.Caller, now time.Time, id string, ch cloud.LabelChange) (cloud.Network, error)
}

// Instances keeps instances.
type Instances interface {
	CreateInstance(ctx context.Context, c cloud.Caller, now time.Time, n cloud.NewInstance) (cloud.Instance, error)
	Instance(ctx context.Context, c cloud.Caller, id string) (cloud.Instance, error)
	Instances(ctx context.Context, c cloud.Caller, f cloud.Filter, p cloud.Page) (items []cloud.Instance, next string, err error)
	UpdateInstance(ctx context.Context, c cloud.Caller, now time.Time, id string, ch cloud.InstanceChange) (cloud.Instance, error)
	DeleteInstance(ctx context.Context, c cloud.Caller, now time.Time, id string) (cloud.Instance, error)
}

// InstanceRefs is a cheaper way to instances whose JSON is kept already. It
// sees what Instances sees, in the same order and with the same cursors. The
// revision of an instance grows with every change of anything an Instance
// holds: its ports, its Problem and the names that are joined in, too.
type InstanceRefs interface {
	// InstanceRef and InstanceRefs fill in ID and Revision and nothing else.
	InstanceRef(ctx context.Context, c cloud.Caller, id string) (cloud.Meta, error)
	InstanceRefs(ctx context.Context, c cloud.Caller, f cloud.Filter, p cloud.Page) (refs []cloud.Meta, next string, err error)
	// InstancesByID leaves out what is not there, in any order.
	InstancesByID(ctx context.Context, c cloud.Caller, ids []string) ([]cloud.Instance, error)
}

// Powers changes the wanted power of instances.
type Powers interface {
	PowerInstance(ctx context.Context, c cloud.Caller, now time.Time, id string, p cloud.PowerChange, force bool) (cloud.Instance, error)
}

// Bulk changes many instances at once.
type Bulk interface {
	ChangeInstances(ctx context.Context, c cloud.Caller, now time.Time, f cloud.Filter, b cloud.BulkChange) (cloud.BulkResult, error)
}

// Console gives what a guest wrote on its serial console.
type Console interface {
	// ConsoleLog returns at most the last max bytes; empty when there is none yet.
	ConsoleLog(ctx context.Context, instanceID string, max int) ([]byte, error)
}

// Events lists what happened.
type Events interface {
	Events(ctx context.Context, c cloud.Caller, f cloud.EventFilter) ([]cloud.Event, error)
	// LastEvent is the greatest sequence number there is, 0 for none.
	LastEvent(ctx context.Context) (int64, error)
	// NextEvents closes once more events of the tenant, "" of any, can be read.
	NextEvents(tenantID string) <-chan struct{}
}

// Usage gives the ledger's intervals that touch a period, the bytes that were
// counted in it, and the whole ledger.
type Usage interface {
	UsageIntervals(ctx context.Context, c cloud.Caller, f cloud.UsageFilter) ([]cloud.Interval, error)
	UsageTraffic(ctx context.Context, c cloud.Caller, f cloud.UsageFilter) ([]cloud.Traffic, error)
	TrafficSums(ctx context.Context, c cloud.Caller, f cloud.UsageFilter) ([]cloud.TrafficSum, error)
	ReadLedger(ctx context.Context, f func(cloud.Ledger) error) error
}

// Facts gives what resources were called and labelled.
type Facts interface {
	UsageFacts(ctx context.Context, c cloud.Caller, f cloud.UsageFilter) ([]cloud.UsageFact, error)
}

// Prices keeps the price book.
type Prices interface {
	Prices(ctx context.Context, c cloud.Caller, f cloud.PriceFilter) ([]cloud.Price, error)
	PricePage(ctx context.Context, c cloud.Caller, f cloud.PriceFilter, p cloud.Page) (items []cloud.Price, next string, err error)
	Price(ctx context.Context, c cloud.Caller, id string) (cloud.Price, error)
	CreatePrice(ctx context.Context, c cloud.Caller, now time.Time, p cloud.Price, replace bool) (cloud.Price, error)
	EndPrice(ctx context.Context, c cloud.Caller, now time.Time, id string, at time.Time) (cloud.Price, error)
	Currency(ctx context.Context) (cloud.Currency, error)
}

// Discounts keeps what tenants need not pay.
type Discounts interface {
	Discounts(ctx context.Context, c cloud.Caller, f cloud.PriceFilter) ([]cloud.Discount, error)
	DiscountPage(ctx context.Context, c cloud.Caller, f cloud.PriceFilter, p cloud.Page) (items []cloud.Discount, next string, err error)
	Discount(ctx context.Context, c cloud.Caller, id string) (cloud.Discount, error)
	CreateDiscount(ctx context.Context, c cloud.Caller, now time.Time, d cloud.Discount) (cloud.Discount, error)
	EndDiscount(ctx context.Context, c cloud.Caller, now time.Time, id string, at time.Time) (cloud.Discount, error)
}

// Hosts lists hosts.
type Hosts interface {
	Hosts(ctx context.Context, c cloud.Caller) ([]cloud.Host, error)
}

// Health answers the probes.
type Health interface {
	// Ready returns nil when the store takes writes.
	Ready(ctx context.Context) error
}

// Audit keeps who did what.
type Audit interface {
	RecordRefusal(ctx context.Context, c cloud.Caller, now time.Time, e cloud.AuditEntry) error
	Audit(ctx context.Context, c cloud.Caller, f cloud.AuditFilter) ([]cloud.AuditEntry, error)
}

// Accounts is what needs a secret to be made, kept or compared.
type Accounts interface {
	// Login opens a session. c has the address and the request only. Returns
	// CodeUnauthorized, the same for a wrong name and a wrong password, and
	// CodeLockedOut.
	Login(ctx context.Context, c cloud.Caller, now time.Time, name, password string) (secret string, k cloud.Token, err error)
	CreateUser(ctx context.Context, c cloud.Caller, now time.Time, n cloud.NewUser, password string) (cloud.User, error)
	SetPassword(ctx context.Context, c cloud.Caller, now time.Time, user, password, current string) error
	CreateToken(ctx context.Context, c cloud.Caller, now time.Time, n cloud.NewToken) (secret string, k cloud.Token, err error)
}

// Users keeps who may come in.
type Users interface {
	User(ctx context.Context, c cloud.Caller, idOrName string) (cloud.User, error)
	Users(ctx context.Context, c cloud.Caller, f cloud.Filter, p cloud.Page) (items []cloud.User, next string, err error)
	DeleteUser(ctx context.Context, c cloud.Caller, now time.Time, idOrName string) error
	// LinkUser says who a user is at an identity provider; "" and "" are nobody.
	LinkUser(ctx context.Context, c cloud.Caller, now time.Time, idOrName, issuer, subject string) (cloud.User, error)
}

// SignOn lets users in whom an identity provider knows. c has the address and the
// request only.
type SignOn interface {
	Provider() (issuer, clientID string)
	// StartSignOn begins a login. Without a redirectURI the person ends it on another
	// machine. Returns CodeInvalid for a redirectURI that is not one of lodge's,
	// CodeUnavailable while the provider does not answer, CodeLockedOut.
	StartSignOn(ctx context.Context, c cloud.Caller, now time.Time, redirectURI string) (cloud.SignOn, error)
	// FinishSignOn opens a session; still is set in its place while the person has not
	// answered. Returns CodeUnauthorized for a login that is not good (any more),
	// CodeForbidden for somebody who is no user, CodeNameTaken, CodeUnavailable,
	// CodeLockedOut.
	FinishSignOn(ctx context.Context, c cloud.Caller, now time.Time, login, state, code string) (secret string, k cloud.Token, still *cloud.SignOn, err error)
}

// Members keeps who is in which tenant.
type Members interface {
	Members(ctx context.Context, c cloud.Caller, tenantID string) ([]cloud.Membership, error)
	Member(ctx context.Context, c cloud.Caller, tenantID, user string) (cloud.Membership, error)
	SetMember(ctx context.Context, c cloud.Caller, now time.Time, tenantID, user string, role cloud.Role) (cloud.Membership, error)
	RemoveMember(ctx context.Context, c cloud.Caller, now time.Time, tenantID, user string) error
}

// Tokens keeps what programs come in with.
type Tokens interface {
	Tokens(ctx context.Context, c cloud.Caller, now time.Time, f cloud.Filter, p cloud.Page) (items []cloud.Token, next string, err error)
	Token(ctx context.Context, c cloud.Caller, now time.Time, id string) (cloud.Token, error)
	RevokeToken(ctx context.Context, c cloud.Caller, now time.Time, id string) error
}

// Quotas keeps how much tenants may have. An empty tenant is the installation.
type Quotas interface {
	Quotas(ctx context.Context, c cloud.Caller, now time.Time, tenantID string) ([]cloud.Quota, error)
	SetQuotas(ctx context.Context, c cloud.Caller, now time.Time, tenantID string, change map[cloud.Resource]*int64) error
}

// Operations keeps the work that wishes mean.
type Operations interface {
	Operation(ctx context.Context, c cloud.Caller, id string) (cloud.Operation, error)
	Operations(ctx context.Context, c cloud.Caller, f cloud.OperationFilter, p cloud.Page) (items []cloud.Operation, next string, err error)
	// WaitOperation answers when the operation has ended, or as it is when ctx ends.
	WaitOperation(ctx context.Context, c cloud.Caller, id string) (cloud.Operation, error)
	CancelOperation(ctx context.Context, c cloud.Caller, now time.Time, id string) (cloud.Operation, error)
}

// Invoices keeps frozen months. makes is what has its lines and sums.
type Invoices interface {
	CreateInvoice(ctx context.Context, c cloud.Caller, now time.Time, n cloud.NewInvoice, makes cloud.MakeInvoice) (cloud.Invoice, error)
	DraftInvoice(ctx context.Context, c cloud.Caller, now time.Time, n cloud.NewInvoice, makes cloud.MakeInvoice) (cloud.Invoice, error)
	Invoices(ctx context.Context, c cloud.Caller, f cloud.InvoiceFilter) ([]cloud.Invoice, error)
	Invoice(ctx context.Context, c cloud.Caller, id string) (cloud.Invoice, error)
}

// Billing says who used anything, and until when hours are closed.
type Billing interface {
	BillingAccounts(ctx context.Context, c cloud.Caller, tenantID string) ([]cloud.BillingAccount, error)
	ClosedUntil(ctx context.Context) (time.Time, error)
}

// Rates bound how many requests a caller sends; limited is false for whom there
// is no bound.
type Rates interface {
	Spend(now time.Time, c cloud.Caller) (a cloud.Allowance, limited bool)
}

// Budgets keeps how much tenants may cost.
type Budgets interface {
	Budgets(ctx context.Context, c cloud.Caller, tenantID string) ([]cloud.Budget, error)
	Budget(ctx context.Context, c cloud.Caller, id string) (cloud.Budget, error)
	BudgetUsage(ctx context.Context, b cloud.Budget, now time.Time) (cloud.BudgetUsage, error)
	CreateBudget(ctx context.Context, c cloud.Caller, now time.Time, b cloud.Budget, judge cloud.JudgeBudget) (cloud.Budget, error)
	UpdateBudget(ctx context.Context, c cloud.Caller, now time.Time, id string, ch cloud.BudgetChange, judge cloud.JudgeBudget) (cloud.Budget, error)
	DeleteBudget(ctx context.Context, c cloud.Caller, now time.Time, id string) (b cloud.Budget, left bool, err error)
}

// Webhooks keeps whom budgets tell.
type Webhooks interface {
	Webhooks(ctx context.Context, c cloud.Caller, tenantID string) ([]cloud.Webhook, error)
	Webhook(ctx context.Context, c cloud.Caller, id string) (cloud.Webhook, error)
	CreateWebhook(ctx context.Context, c cloud.Caller, now time.Time, n cloud.IssuedWebhook) (cloud.IssuedWebhook, error)
	UpdateWebhook(ctx context.Context, c cloud.Caller, now time.Time, id string, ch cloud.WebhookChange) (cloud.Webhook, error)
	RotateWebhook(ctx context.Context, c cloud.Caller, now time.Time, id string, n cloud.NewSecret) (cloud.IssuedWebhook, error)
	DeleteWebhook(ctx context.Context, c cloud.Caller, now time.Time, id string) error
}

// Schedules keeps when instances are stopped and started.
type Schedules interface {
	Schedules(ctx context.Context, c cloud.Caller, tenantID string) ([]cloud.Schedule, error)
	Schedule(ctx context.Context, c cloud.Caller, id string) (cloud.Schedule, error)
	CreateSchedule(ctx context.Context, c cloud.Caller, now time.Time, s cloud.Schedule) (cloud.Schedule, error)
	UpdateSchedule(ctx context.Context, c cloud.Caller, now time.Time, id string, ch cloud.ScheduleChange, check func(cloud.Schedule) error) (cloud.Schedule, error)
	DeleteSchedule(ctx context.Context, c cloud.Caller, now time.Time, id string) (s cloud.Schedule, left bool, err error)
	// Rests are the times since from in which a schedule had instances stopped.
	Rests(ctx context.Context, scheduleID string, from time.Time) ([]cloud.Rest, error)
}
