// Package cloud is the vocabulary of lodge: the nouns, their states, the error
// codes, and the rules that need nothing but their arguments.
//
// Every room imports it and it imports no room. It uses the standard library
// only, does no I/O and never reads a clock: time, ids and randomness arrive as
// arguments, so every rule here can be tested with a table.
package cloud
