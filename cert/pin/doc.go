// Package pin is the client's side of lodge's own certificate authority: it
// shows the authority of a server that is not known yet, for people to compare
// its fingerprint, and then trusts that authority and nothing else.
//
// It imports the standard library only. It stores nothing and decides nothing:
// whether an Offer is taken is for the person at the keyboard, and where it is
// kept for the caller.
package pin
