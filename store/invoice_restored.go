package store

// givenBefore is a sentence on an invoice that is made behind a restore: its number
// may be that of one that was made after the backup and lost with it. Nobody can
// know how many those were, so it is said of each, until the operator has taken a
// prefix that no invoice from before the restore has. "" when there is nothing to say.
func (t *tx) givenBefore(prefix string) (string, error) {
	r, found, err := lastRestore(t)
	if err != nil || !found {
		return "", err
	}
	until := r.RestoredAt
	if r.TakenAt.After(until) { // lodge's time was ahead of the machine's clock
		until = r.TakenAt
	}
	old, err := exists(t, `SELECT 1 FROM invoice WHERE created_at <= ?`, stamp(until))
	if err != nil {
		return "", err
	}
	same, err := exists(t, `SELECT 1 FROM invoice WHERE created_at <= ? AND substr(number, 1, length(?)) = ?`, stamp(until), prefix, prefix)
	if err != nil || old && !same {
		return "", err
	}
	return " lodge was restored from a backup of " + r.TakenAt.UTC().Format("2006-01-02 15:04") +
		" UTC: an invoice that was made after that, and is lost, may have had this number. Compare it with what was sent; another invoice-prefix keeps them apart.", nil
}
