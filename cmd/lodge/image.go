package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"lodge/api/client"
	"lodge/api/wire"
)

func (a *app) imageCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "image", Short: "Import, list, change and delete images"}
	cmd.AddCommand(a.imageImportCommand(),
		narrowed(a, "image", imageTable, func(ctx context.Context, c *client.Client, q client.Query) ([]wire.Image, error) {
			q.Tenant = a.tenant
			return c.AllImages(ctx, q)
		}),
		showing(a, "image", a.imageNames, a.image, a.imageFields),
		a.imageUpdateCommand(),
		deleting(a, "image", a.imageNames, a.image,
			func(ctx context.Context, c *client.Client, i wire.Image) error { return c.DeleteImage(ctx, i.ID) }))
	return group(cmd)
}

type importFlags struct {
	wire.ImportImage
	noWait  bool
	timeout time.Duration
}

func (a *app) imageImportCommand() *cobra.Command {
	var f importFlags
	cmd := &cobra.Command{
		Use:   "import FILE|URL|-",
		Short: "Import a raw or qcow2 image from a file, a URL or standard input",
		Long: "import takes a single raw or qcow2 disk that boots with cloud-init. A file is sent from here, a URL is\n" +
			"fetched by lodged. The first image of an installation becomes the default one.",
		Example: `  lodge image import debian-12-genericcloud-amd64.qcow2 --name debian-12 --user debian --public --default
  lodge image import https://cloud.debian.org/images/cloud/bookworm/latest/debian-12-genericcloud-amd64.qcow2 \
    --name debian-12 --user debian --firmware uefi
  zstdcat disk.raw.zst | lodge image import - --name mine`,
		Args: takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.Name == "" {
				return usagef("Give the image a --name.")
			}
			f.Tenant = a.tenant
			f.SHA256 = strings.ToLower(strings.TrimPrefix(f.SHA256, "sha256:"))
			c, err := a.client()
			if err != nil {
				return err
			}
			var img wire.Image
			if strings.Contains(args[0], "://") {
				f.URL = args[0]
				img, err = a.importURL(cmd.Context(), c, f)
			} else {
				img, err = a.upload(cmd.Context(), c, f, args[0])
			}
			if err != nil {
				return err
			}
			return a.print(img, func() writer { return line(imported(img)) })
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&f.Name, "name", "", "name of the image (needed)")
	fs.StringVar(&f.SHA256, "sha256", "", "checksum the bytes must have")
	fs.StringVar(&f.Firmware, "firmware", "", "what starts it: uefi or bios (default bios)")
	fs.StringVar(&f.LoginUser, "user", "", "login that cloud-init makes, as debian")
	fs.BoolVar(&f.Public, "public", false, "every tenant may use it")
	fs.BoolVar(&f.Default, "default", false, "taken when a request names no image")
	fs.BoolVar(&f.Protected, "protect", false, "refuse its deletion until lodge image update NAME --unprotect")
	fs.BoolVar(&f.noWait, "no-wait", false, "do not wait for a URL to be fetched")
	fs.DurationVar(&f.timeout, "timeout", 2*time.Hour, "how long to wait for a URL at most")
	a.complete(cmd, "firmware", "uefi", "bios")
	return cmd
}

func imported(img wire.Image) string {
	if img.State != "active" {
		return fmt.Sprintf("%s is %s; `lodge image show %s` tells how it goes on.", img.Name, img.State, img.Name)
	}
	return fmt.Sprintf("%s is ready: %s, %s, a disk of %s.", img.Name, img.Format, iec(img.SizeBytes), iec(img.VirtualSize))
}

// upload sends a file, or standard input for "-".
func (a *app) upload(ctx context.Context, c *client.Client, f importFlags, path string) (wire.Image, error) {
	in, size := a.in, int64(-1)
	if path != "-" {
		file, err := awaited(ctx, func() (*os.File, error) { return os.Open(path) })
		if err != nil {
			return wire.Image{}, err
		}
		defer file.Close()
		info, err := file.Stat()
		if err != nil {
			return wire.Image{}, err
		}
		if info.IsDir() {
			return wire.Image{}, usagef("%s is a folder; give a file.", path)
		}
		in = file
		if info.Mode().IsRegular() {
			size = info.Size()
		}
	}
	bar := a.bytesBar("sending "+f.Name, size)
	want := wire.UploadImage{
		Name: f.Name, Tenant: f.Tenant, SHA256: f.SHA256, Firmware: f.Firmware, LoginUser: f.LoginUser,
		Public: f.Public, Default: f.Default, Protected: f.Protected,
	}
	img, err := c.UploadImage(ctx, want, in, size, func(done int64) { _ = bar.Set64(done) })
	_ = bar.Finish()
	if err != nil && ctx.Err() != nil {
		return img, codedError{exitInterrupted, "Interrupted; nothing was imported."}
	}
	return img, err
}

// importURL lets lodged fetch, and waits for it.
func (a *app) importURL(ctx context.Context, c *client.Client, f importFlags) (wire.Image, error) {
	img, err := c.ImportImage(ctx, f.ImportImage)
	if err != nil || f.noWait {
		return img, err
	}
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	p := a.progress()
	defer p.clear()
	var bar *progressbar.ProgressBar
	for {
		switch img.State {
		case "active":
			finish(bar)
			return img, nil
		case "error":
			finish(bar)
			return img, waitf("%s was not imported: %s", img.Name, problemText(img.Problem))
		}
		bar = a.fetched(p, bar, img)
		select {
		case <-ctx.Done():
			finish(bar)
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return img, waitf("%s is still %s after %s.", img.Name, img.State, f.timeout)
			}
			return img, ctx.Err()
		case <-time.After(a.pause):
		}
		next, err := c.Image(ctx, img.ID)
		if err != nil {
			if ctx.Err() != nil {
				continue // the select above tells why
			}
			finish(bar)
			return img, err
		}
		img = next
	}
}

// fetched tells how far lodged is: a bar on a terminal once there are bytes, a
// line where something changed elsewhere.
func (a *app) fetched(p *progress, bar *progressbar.ProgressBar, img wire.Image) *progressbar.ProgressBar {
	if img.Problem != nil || img.BytesDone == 0 || !a.tty {
		text := img.Name + ": " + img.State
		if img.Problem != nil {
			text += "; " + img.Problem.Message
		}
		finish(bar)
		p.say(text)
		return nil
	}
	if bar == nil {
		p.clear()
		total := img.BytesTotal
		if total <= 0 {
			total = -1
		}
		bar = a.bytesBar("fetching "+img.Name, total)
	}
	_ = bar.Set64(img.BytesDone)
	return bar
}

func finish(bar *progressbar.ProgressBar) {
	if bar != nil {
		_ = bar.Finish()
	}
}

// imageTable has a column for tenants only when there are some to tell apart.
func imageTable(a *app, items []wire.Image, tenant owner) *table {
	tenants := slices.ContainsFunc(items, func(i wire.Image) bool { return i.TenantID != items[0].TenantID })
	t := &table{}
	if tenants {
		t.header = append(t.header, "TENANT")
	}
	t.header = append(t.header, "NAME", "STATE", "FORMAT", "SIZE", "DISK", "FIRMWARE", "LOGIN", "PUBLIC", "DEFAULT", "AGE")
	for _, i := range items {
		state := i.State
		if state == "importing" && i.BytesTotal > 0 {
			state = fmt.Sprintf("importing %d%%", 100*i.BytesDone/i.BytesTotal)
		}
		if i.Problem != nil {
			state += " ! " + i.Problem.Code
		}
		var row []string
		if tenants {
			row = append(row, tenant(i.TenantID))
		}
		t.add(append(row, i.Name, state, i.Format, bytesOrNone(i.SizeBytes), bytesOrNone(i.VirtualSize), i.Firmware, i.LoginUser,
			yesNo(i.Public), yesNo(i.Default), age(a.now(), i.CreatedAt.Time))...)
	}
	return t
}

func bytesOrNone(n int64) string {
	if n == 0 {
		return ""
	}
	return iec(n)
}

func (a *app) imageFields(i wire.Image, tenant owner) *fields {
	f := &fields{}
	f.set("Name", i.Name)
	f.set("Id", i.ID)
	f.set("Tenant", tenant(i.TenantID))
	f.set("State", i.State)
	f.set("Problem", a.problem(i.Problem))
	if i.State == "importing" {
		f.set("Fetched", iec(i.BytesDone))
		f.set("Of", bytesOrNone(i.BytesTotal))
	}
	f.set("Format", i.Format)
	f.set("Size", bytesOrNone(i.SizeBytes))
	f.set("Disk", bytesOrNone(i.VirtualSize))
	f.set("Firmware", i.Firmware)
	f.set("Login", i.LoginUser)
	f.set("Public", yesNo(i.Public))
	f.set("Default", yesNo(i.Default))
	if i.Protected {
		f.set("Protected", "from deletion")
	}
	f.set("Source", i.Source)
	f.set("URL", i.URL)
	f.set("SHA-256", i.SHA256)
	f.set("Labels", labels(i.Labels))
	f.set("Created", a.when(i.CreatedAt))
	return f
}
