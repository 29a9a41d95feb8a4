package main

import (
	"fmt"

	"github.com/spf13/pflag"

	"lodge/backup"
	"lodge/cmd/lodged/daemon"
)

// backupFlags say where backups are kept, and when they are made.
type backupFlags struct {
	to, credentials, schedule, keep, recipient string
}

func (b *backupFlags) register(fs *pflag.FlagSet) {
	fs.StringVar(&b.to, "backup-to", "", "where backups are kept: a folder's whole path, or s3:https://host/bucket/prefix")
	fs.StringVar(&b.credentials, "backup-s3-credentials", "", "file with the keys of the bucket, as the AWS tools write it (default theirs, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY)")
	fs.StringVar(&b.schedule, "backup-schedule", "", "when lodged makes one: five fields of cron in UTC, as '0 * * * *'; never by default")
	fs.StringVar(&b.keep, "backup-keep", "hourly=24,daily=7,weekly=4", "how many scheduled backups leave of this host's: the newest of each hour, day and week")
	fs.StringVar(&b.recipient, "backup-recipient", "", "encrypt backups for this recipient of age, as age1...")
}

func (b *backupFlags) config(file string) (out daemon.Backups, err error) {
	out = daemon.Backups{To: b.to, Credentials: b.credentials, Schedule: b.schedule, Config: file}
	if out.Keep, err = backup.ReadKeep(b.keep); err != nil {
		return out, fmt.Errorf("--backup-keep %w", err)
	}
	if b.recipient != "" {
		if out.Recipient, err = backup.ReadRecipient(b.recipient); err != nil {
			return out, fmt.Errorf("--backup-recipient: %w", err)
		}
	}
	if b.schedule == "" {
		return out, nil
	}
	if b.to == "" {
		return out, fmt.Errorf("--backup-schedule goes with --backup-to")
	}
	_, err = daemon.BackupTimes(b.schedule)
	return out, err
}
