// Package fetch opens the URLs that tenants name, for an image import or to be told
// something.
//
// A request from the host reaches what a tenant cannot: the host's own
// services, its neighbours on the private network, the metadata address of a
// cloud it runs in. So a target must be a public address. That is decided for
// the address that is really dialled, after name resolution and again for every
// redirect and every retry, so a name that changes its mind between a check and
// the connection gains nothing. Check judges what can be seen in the URL itself
// and is for a quick answer only; it protects nothing.
//
// The ranges come from the IANA special-purpose address registries for IPv4 and
// IPv6 (RFC 6890). IPv6 addresses that carry an IPv4 address inside (mapped,
// 6to4, Teredo, NAT64) are judged by both.
//
// The room makes GET requests for images and POST requests for webhooks, which
// follow no redirect, and nothing else: no cookies, no credentials, no
// proxy unless the operator names one, and it follows five redirects at most.
// It keeps no bytes; whether they are an image is storage's question.
package fetch
