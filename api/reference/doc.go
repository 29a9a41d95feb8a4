// Package reference makes a page for people out of an OpenAPI file: one HTML
// document that needs no script, no picture and no other file. It knows the part
// of OpenAPI that openapi.yaml of lodge uses, and no word of what is installed.
package reference
