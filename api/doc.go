// Package api is the HTTP front of lodge: /v1. It parses, asks the stores, and
// renders; it holds no SQL, decides no quota, and waits on no host. Reads come
// from the store only, so they are answered while the host is away.
//
// What it needs of the rest of the house is in stores.go. The JSON is package
// wire's, and openapi.yaml says the same to everybody else.
package api
