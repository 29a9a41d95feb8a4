package main

import (
	"context"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"lodge/api/client"
	"lodge/api/wire"
)

// auditPart is the most that lodged gives at once.
const auditPart = 500

func (a *app) auditCommand() *cobra.Command {
	var q client.AuditQuery
	cmd := &cobra.Command{
		Use: "audit", Short: "Show who did what, the newest first",
		Example: `  lodge audit --limit 20
  lodge audit --user ada --refused
  lodge audit --subject 0192f0c4-0000-7000-8000-000000000001 -o json`,
		Args: takes(0, 0), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if q.Limit < 1 {
				return usagef("--limit counts from 1 up.")
			}
			q.Tenant = a.tenant
			c, err := a.client()
			if err != nil {
				return err
			}
			items, err := auditEntries(cmd.Context(), c, q)
			if err != nil {
				return err
			}
			return a.print(list(items), func() writer { return auditTable(items) })
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&q.User, "user", "", "only what this user did, by name or id")
	fs.StringVar(&q.Action, "action", "", "only this action, as instance.delete")
	fs.StringVar(&q.Subject, "subject", "", "only what was done to this object, by id")
	fs.BoolVar(&q.Refused, "refused", false, "only what was refused")
	fs.IntVar(&q.Limit, "limit", 50, "at most so many")
	a.completeFrom(cmd, "user", a.names(-1, a.userNames))
	return cmd
}

// auditEntries reads as many parts as the limit needs.
func auditEntries(ctx context.Context, c *client.Client, q client.AuditQuery) ([]wire.AuditEntry, error) {
	var items []wire.AuditEntry
	for left := q.Limit; left > 0; left = q.Limit - len(items) {
		part := q
		part.Limit = min(left, auditPart)
		if len(items) > 0 {
			part.Before = items[len(items)-1].Seq
		}
		got, err := c.Audit(ctx, part)
		if err != nil {
			return nil, err
		}
		items = append(items, got.Items...)
		if got.Next == "" || len(got.Items) == 0 {
			break
		}
	}
	return items, nil
}

// auditTable shows names that strangers chose: nothing in it is for the terminal
// to obey.
func auditTable(items []wire.AuditEntry) *table {
	t := &table{header: []string{"SEQ", "TIME", "USER", "FROM", "ACTION", "SUBJECT", "RESULT"}}
	for _, e := range items {
		from := strings.TrimSpace(e.Via + " " + e.Address)
		subject := e.Name
		if subject == "" {
			subject = e.SubjectID
		}
		subject = strings.TrimSpace(e.SubjectKind + " " + subject)
		t.add(strconv.FormatInt(e.Seq, 10), e.At.UTC().Format("2006-01-02 15:04:05Z"), harmless(e.UserName), harmless(from),
			harmless(e.Action), harmless(subject), harmless(e.Result))
	}
	return t
}
