// Package cert gives the API's TCP address its certificate: one of lodge's own
// certificate authority, made at the first start, one from files that the
// operator gives, or one that an ACME authority issues.
//
// A certificate is looked after when somebody connects, at most every few
// seconds, so that nothing runs in the background and nothing has to be stopped.
// Subfolder pin is the client's side and shares no code with this one.
//
// The room never replaces a certificate authority that is there, however
// damaged: clients have pinned it. It never gives a private key away, and it
// judges no client's certificate.
package cert
