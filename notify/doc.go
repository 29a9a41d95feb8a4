// Package notify tells webhooks what they are to be told.
//
// A message is in the store before anybody is told, and stays there until the
// webhook has taken it: so it comes at least once, and its id says when it comes
// again. How it is signed is that of https://www.standardwebhooks.com, so that
// its libraries verify it. The room makes no connection itself.
package notify
