package cloud

import (
	"fmt"
	"strings"
	"time"
)

// Budget says how much a tenant, or what of it has certain labels, may cost in a
// period, and what happens on the way there.
type Budget struct {
	ID                   string
	TenantID             string
	Name                 string
	Selector             string // of labels, as Selector.String writes it; "": everything
	Amount               string // decimal text, in the currency of the book
	Period               BudgetPeriod
	Thresholds           []BudgetThreshold
	WebhookID            string // told of what happens; "": nobody
	ByOperator           bool   // only an operator changes it
	Generation           int64  // grows with every change of what it decides by
	CreatedAt, UpdatedAt time.Time
	DeletedAt            time.Time // it does nothing any more, and goes when Holds is 0
	Revision             int64
	Holds                int // instances that it has stopped and may start again
	// Crossings are what is in force, the first crossed first.
	Crossings []BudgetCrossing
}

// Limit is the amount in words: "1 EUR a month". currency may be "".
func (b Budget) Limit(currency string) string {
	amount := strings.TrimSpace(b.Amount + " " + currency)
	if b.Period == BudgetTotal {
		return amount + " in total"
	}
	return amount + " a " + string(b.Period)
}

// Tag names a version of a budget.
func (b Budget) Tag() string { return dated(b.CreatedAt, b.Revision) }

// BudgetPeriod is after how long a budget begins anew; of UTC.
type BudgetPeriod string

// The periods of a budget.
const (
	BudgetDay   BudgetPeriod = "day"
	BudgetMonth BudgetPeriod = "month"
	BudgetTotal BudgetPeriod = "total" // it never begins anew
)

// Of is the period of a budget that an instant is in; a total one begins with the
// hour in which the budget was made, and its end is zero.
func (b Budget) Of(at time.Time) (from, to time.Time) {
	at = at.UTC()
	switch b.Period {
	case BudgetDay:
		from = time.Date(at.Year(), at.Month(), at.Day(), 0, 0, 0, 0, time.UTC)
		return from, from.AddDate(0, 0, 1)
	case BudgetMonth:
		from = Month(at)
		return from, from.AddDate(0, 1, 0)
	}
	return Hour(b.CreatedAt), time.Time{}
}

// BudgetBasis is what a threshold looks at.
type BudgetBasis string

// What a threshold looks at.
const (
	BudgetActual   BudgetBasis = "actual"   // what was spent
	BudgetForecast BudgetBasis = "forecast" // what the period will cost, if nothing changes
)

// BudgetAction is what happens at a threshold.
type BudgetAction string

// The actions. Each has an event, and the webhook is told.
const (
	BudgetNotify BudgetAction = "notify"
	BudgetRefuse BudgetAction = "refuse" // nothing is made, started or grows
	BudgetStop   BudgetAction = "stop"   // and what runs is stopped after the grace
)

// Refuses reports whether nothing is made, started or grows.
func (a BudgetAction) Refuses() bool { return a == BudgetRefuse || a == BudgetStop }

// BudgetThreshold is a part of the amount and what happens there.
type BudgetThreshold struct {
	Percent int // of the amount
	On      BudgetBasis
	Action  BudgetAction
	Grace   time.Duration // of a stop, in whole seconds
}

// Rule names the threshold among those of its budget.
func (t BudgetThreshold) Rule() string { return fmt.Sprintf("%s/%d/%s", t.On, t.Percent, t.Action) }

// BudgetCrossing is a threshold that was reached.
type BudgetCrossing struct {
	Threshold BudgetThreshold
	At        time.Time
	Period    time.Time // its beginning
	Until     time.Time // its end; zero: none
	Spent     string    // then, in the currency of the book; of a forecast: what was expected
	StopAt    time.Time // when what runs is stopped; zero: it is not
	StoppedAt time.Time // when that was done
}

// BudgetUsage is all that the state of a budget is a function of, besides the
// budget and the time.
type BudgetUsage struct {
	Intervals []Interval
	Facts     []UsageFact
	Traffic   []Traffic
	Prices    []Price
	Discounts []Discount
}

// BudgetState is where a budget stands.
type BudgetState struct {
	From, To time.Time // the period; To is zero without an end
	Spent    string    // so far
	Forecast string    // for the whole period; "" without an end
	Reached  []bool    // of each threshold
	// Next is the first millisecond at which the next threshold is reached if nothing
	// changes; zero: it is not known to be.
	Next          time.Time
	NextThreshold int // which, when Next is not zero
}

// BudgetMark is how far somebody has read what can change what a budget pays for.
type BudgetMark struct {
	Event   int64 // sequence number of the last event
	Traffic int64 // of the last row of bytes
}

// JudgeBudget says where a budget stands. It is a pure function.
type JudgeBudget func(b Budget, u BudgetUsage, now time.Time) BudgetState

// BudgetChange is a PATCH: nil means "as it is".
type BudgetChange struct {
	Name       *string
	Selector   *string
	Amount     *string
	Thresholds []BudgetThreshold // nil: as they are
	WebhookID  *string
}

// The bounds of a budget.
const (
	MaxThresholds    = 10
	MaxBudgetPercent = 1000
	MaxBudgetGrace   = 7 * 24 * time.Hour
	// MaxBudgets is how many budgets a tenant has at most: each change of the ledger
	// looks at all of them.
	MaxBudgets = 50
)

// Checked is the budget with its text in one form. Returns CodeInvalid.
func (b Budget) Checked() (Budget, error) {
	bad := ValidateName("name", b.Name)
	var wrong []FieldError
	b.Selector, wrong = checkSelector("label", b.Selector)
	bad = append(bad, wrong...)
	if wrong := ValidateDecimal("amount", b.Amount, maxPlaces); wrong != nil {
		bad = append(bad, wrong...)
	} else if b.Amount = plainDecimal(b.Amount); b.Amount == "0" {
		bad = append(bad, fieldError("amount", "A budget is above 0.")...)
	}
	switch b.Period {
	case BudgetDay, BudgetMonth, BudgetTotal:
	default:
		bad = append(bad, fieldError("period", "A period is \"day\", \"month\" or \"total\", not %s.", quoteShort(string(b.Period)))...)
	}
	bad = append(bad, b.checkThresholds()...)
	return b, Invalid(bad)
}

func checkSelector(field, text string) (string, []FieldError) {
	if text == "" {
		return "", nil
	}
	sel, err := ParseSelector(text)
	switch {
	case err != nil:
		return text, []FieldError{{Field: field, Message: MessageOf(err)}}
	case strings.TrimSpace(text) != text:
		return text, fieldError(field, "The label selector %s begins or ends with a space.", quoteShort(text))
	}
	return sel.String(), nil
}

func (b Budget) checkThresholds() (bad []FieldError) {
	if len(b.Thresholds) == 0 || len(b.Thresholds) > MaxThresholds {
		return fieldError("thresholds", "A budget has 1 to %d thresholds, not %d.", MaxThresholds, len(b.Thresholds))
	}
	seen := map[string]bool{}
	for i, t := range b.Thresholds {
		field := fmt.Sprintf("thresholds[%d]", i)
		say := func(format string, args ...any) { bad = append(bad, fieldError(field, format, args...)...) }
		switch {
		case t.Percent < 1 || t.Percent > MaxBudgetPercent:
			say("A threshold is at 1 to %d percent, not %d.", MaxBudgetPercent, t.Percent)
		case t.On != BudgetActual && t.On != BudgetForecast:
			say("A threshold is on \"actual\" or \"forecast\", not %s.", quoteShort(string(t.On)))
		case t.Action != BudgetNotify && !t.Action.Refuses():
			say("An action is \"notify\", \"refuse\" or \"stop\", not %s.", quoteShort(string(t.Action)))
		case t.On == BudgetForecast && b.Period == BudgetTotal:
			say("A budget without an end has no forecast; look at what is spent.")
		case t.Grace != 0 && t.Action != BudgetStop:
			say("Only a stop has a grace.")
		case t.Grace < 0 || t.Grace > MaxBudgetGrace || t.Grace%time.Second != 0:
			say("A grace is 0 to %d seconds.", int(MaxBudgetGrace/time.Second))
		case seen[t.Rule()]:
			say("This threshold is there twice.")
		}
		seen[t.Rule()] = true
	}
	return bad
}

// Selects reports whether the budget is about what has the labels.
func (b Budget) Selects(labels map[string]string) bool {
	if b.Selector == "" {
		return true
	}
	sel, err := ParseSelector(b.Selector)
	return err == nil && sel.Fits(labels)
}

// The kinds of what acts on instances by itself, and of whom it tells.
const (
	KindBudget   Kind = "budget"
	KindSchedule Kind = "schedule"
	KindWebhook  Kind = "webhook"
)
