package api

import (
	"net/http"
	"net/url"

	"lodge/api/wire"
	"lodge/cloud"
)

// rehearsable are the routes that take dry_run: those whose whole effect is one
// transaction, which can be taken back. On any other it is an unknown parameter.
var rehearsable = map[string]bool{
	"POST /v1/instances": true, "PATCH /v1/instances/{id}": true, "DELETE /v1/instances/{id}": true,
	"POST /v1/instances/{id}/start": true, "POST /v1/instances/{id}/stop": true, "POST /v1/instances/{id}/reboot": true,
	"POST /v1/images": true, "PATCH /v1/images/{id}": true, "DELETE /v1/images/{id}": true,
	"POST /v1/tenants": true, "DELETE /v1/tenants/{id}": true,
	"POST /v1/users": true, "DELETE /v1/users/{user}": true,
	"POST /v1/flavors": true, "DELETE /v1/flavors/{id}": true,
	"POST /v1/budgets": true, "PATCH /v1/budgets/{id}": true, "DELETE /v1/budgets/{id}": true,
	"POST /v1/webhooks": true, "PATCH /v1/webhooks/{id}": true, "DELETE /v1/webhooks/{id}": true,
	"POST /v1/schedules": true, "PATCH /v1/schedules/{id}": true, "DELETE /v1/schedules/{id}": true,
}

// dryRun takes dry_run out of the query, so that the handlers are the same with
// it and without.
func dryRun(r *http.Request, rt route) (bool, error) {
	if r.URL.RawQuery == "" || !rehearsable[rt.method+" "+rt.path] {
		return false, nil
	}
	all, err := url.ParseQuery(r.URL.RawQuery)
	values, given := all["dry_run"]
	if err != nil || !given {
		return false, nil // the handler says what is wrong with the rest
	}
	if len(values) > 1 || values[0] == "" {
		return false, invalid("dry_run", "The parameter dry_run is true or false, once.")
	}
	q := query{Values: all}
	dry := q.flag("dry_run")
	if q.err != nil {
		return false, q.err
	}
	if dry && rt.method == http.MethodPost && isUpload(r, rt) {
		return false, invalid("dry_run", "An upload has no dry run: what matters about it is in its bytes.")
	}
	all.Del("dry_run")
	u := *r.URL
	u.RawQuery = all.Encode()
	r.URL = &u
	return dry, nil
}

// pricedActions are those that make or change what an instance costs.
var pricedActions = map[string]bool{"instance.create": true, "instance.update": true}

// replyRehearsal says what would have been done.
func (s *server) replyRehearsal(w http.ResponseWriter, req *http.Request, c cloud.Caller, r *cloud.Rehearsal) error {
	out := wire.DryRun{DryRun: true, Action: r.Action, Estimate: wire.Estimate{
		VCPUs: r.More(cloud.ResourceVCPUs), MemoryMiB: r.More(cloud.ResourceMemory), DiskGiB: r.More(cloud.ResourceDisk),
		Quota: []wire.QuotaEstimate{},
	}}
	for _, res := range r.Changes() {
		q := wire.QuotaEstimate{Resource: string(res), Before: r.Before[res], After: r.After[res]}
		if limit, limited := r.Limits[res]; limited {
			q.Limit = &limit
		}
		out.Estimate.Quota = append(out.Estimate.Quota, q)
	}
	switch v := r.Object.(type) {
	case cloud.Instance:
		out.Instance = some(wireInstance(v))
		if !pricedActions[r.Action] {
			break
		}
		price, err := s.estimate(req.Context(), c, v.TenantID, quoted{v.VCPUs, v.MemoryMiB, v.DiskGiB, v.FlavorID, v.Labels}, monthHours)
		if err != nil {
			return err
		}
		out.Estimate.Price = &price
	case cloud.Image:
		out.Image = some(wireImage(v))
	case cloud.Tenant:
		out.Tenant = some(wireTenant(v))
	case cloud.User:
		out.User = some(wireUser(v))
	case cloud.Flavor:
		out.Flavor = some(wireFlavor(v))
	case cloud.Budget:
		out.Budget = some(wireBudget(v))
	case cloud.Webhook:
		out.Webhook = some(s.wireWebhook(v))
	case cloud.IssuedWebhook: // its secret signs nothing
		out.Webhook = some(s.wireWebhook(v.Webhook))
	case cloud.Schedule:
		out.Schedule = some(wireSchedule(v))
	}
	return reply(w, http.StatusOK, out)
}

func some[T any](v T) *T { return &v }
