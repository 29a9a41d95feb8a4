// Package backup makes, keeps, checks and unpacks backups of lodge's own state:
// the database and the few files beside it that a fresh machine needs to go on.
// Disks of guests are not in them.
//
// It knows archives, manifests and the places where they are kept, and nothing of
// SQL: who copies the database and who judges a copy comes in as an argument.
package backup
