package api

import (
	"maps"
	"net/http"
	"slices"
	"strings"
)

// actions are the words that changes have in the audit log, by route. The store
// writes them with a change that was made; here they are for one that was
// refused or failed, so that both are found by the same word.
var actions = map[string]string{
	"POST /v1/instances":                     "instance.create",
	"PATCH /v1/instances/{id}":               "instance.update",
	"DELETE /v1/instances/{id}":              "instance.delete",
	"DELETE /v1/instances":                   "instance.delete",
	"POST /v1/instances/start":               "instance.start",
	"POST /v1/instances/stop":                "instance.stop",
	"POST /v1/instances/{id}/start":          "instance.start",
	"POST /v1/instances/{id}/stop":           "instance.stop",
	"POST /v1/instances/{id}/reboot":         "instance.reboot",
	"POST /v1/operations/{id}/cancel":        "operation.cancel",
	"POST /v1/tenants":                       "tenant.create",
	"PATCH /v1/tenants/{id}":                 "tenant.update",
	"DELETE /v1/tenants/{id}":                "tenant.delete",
	"POST /v1/images":                        "image.create",
	"PATCH /v1/images/{id}":                  "image.update",
	"DELETE /v1/images/{id}":                 "image.delete",
	"POST /v1/flavors":                       "flavor.create",
	"DELETE /v1/flavors/{id}":                "flavor.delete",
	"PATCH /v1/networks/{id}":                "network.update",
	"POST /v1/sessions":                      "session.open",
	"POST /v1/sessions/oidc":                 "session.open",
	"POST /v1/sessions/oidc/start":           "session.open",
	"DELETE /v1/sessions/current":            "token.revoke",
	"POST /v1/users":                         "user.create",
	"DELETE /v1/users/{user}":                "user.delete",
	"PUT /v1/users/{user}/password":          "user.set-password",
	"PUT /v1/users/{user}/identity":          "user.link",
	"DELETE /v1/users/{user}/identity":       "user.unlink",
	"PUT /v1/tenants/{id}/members/{user}":    "member.set",
	"DELETE /v1/tenants/{id}/members/{user}": "member.remove",
	"POST /v1/tokens":                        "token.create",
	"DELETE /v1/tokens/{id}":                 "token.revoke",
	"PATCH /v1/tenants/{id}/quota":           "quota.set",
	"PATCH /v1/quota":                        "quota.set",
	"POST /v1/prices":                        "price.create",
	"POST /v1/invoices":                      "invoice.create",
	"POST /v1/prices/{id}/end":               "price.end",
	"POST /v1/discounts":                     "discount.create",
	"POST /v1/discounts/{id}/end":            "discount.end",
	"POST /v1/budgets":                       "budget.create",
	"PATCH /v1/budgets/{id}":                 "budget.update",
	"DELETE /v1/budgets/{id}":                "budget.delete",
	"POST /v1/schedules":                     "schedule.create",
	"PATCH /v1/schedules/{id}":               "schedule.update",
	"DELETE /v1/schedules/{id}":              "schedule.delete",
	"POST /v1/webhooks":                      "webhook.create",
	"PATCH /v1/webhooks/{id}":                "webhook.update",
	"POST /v1/webhooks/{id}/secret":          "webhook.rotate",
	"DELETE /v1/webhooks/{id}":               "webhook.delete",
	"POST /v1/estimates":                     "estimate.make", // which changes nothing: only what was refused is there
}

// actionOf is the word for what a route does. A read has none and is called by
// its route.
func actionOf(rt route) string {
	name := rt.method + " " + rt.path
	if action, ok := actions[name]; ok {
		return action
	}
	return name
}

// knownAction refuses a word that no entry of the audit log has: an empty list
// would look as if nothing had happened.
func knownAction(action string) error {
	known := append(slices.Collect(maps.Values(actions)), actionDropped, "budget.act", "schedule.start", "schedule.stop") // the last ones are lodge's own
	method, path, isRoute := strings.Cut(action, " ")
	isRoute = isRoute && slices.Contains([]string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}, method) &&
		strings.HasPrefix(path, "/") // a read that was refused, and what failed before it had a word
	if action == "" || isRoute || slices.Contains(known, action) {
		return nil
	}
	// The words of the noun that was named, else the nouns: all of them would be no
	// sentence any more.
	noun, _, _ := strings.Cut(action, ".")
	var near, nouns []string
	for _, k := range known {
		of, _, _ := strings.Cut(k, ".")
		nouns = append(nouns, of)
		if of == noun {
			near = append(near, k)
		}
	}
	said, list := "there are", near
	if len(near) == 0 {
		said, list = "each begins with what it is done to:", nouns
	}
	slices.Sort(list)
	return invalid("action", "There is no action %s; %s %s.", quote(action), said, strings.Join(slices.Compact(list), ", "))
}
