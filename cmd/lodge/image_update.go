package main

import (
	"github.com/spf13/cobra"

	"lodge/api/wire"
)

func (a *app) imageUpdateCommand() *cobra.Command {
	var name string
	var public, def bool
	var tags labelFlags
	var guard protection
	cmd := &cobra.Command{
		Use:   "update NAME",
		Short: "Change an image's name, labels, or who may use it",
		Long: "update changes what is said of an image; its bytes stay. Instances that were made from it stay as they\n" +
			"are. With --default it takes the place of the default image before it.",
		Example: `  lodge image update debian-12 --default
  lodge image update mine --name golden --label team=red --unlabel draft
  lodge image update golden --public=false`,
		Args:              takes(1, 1),
		ValidArgsFunction: a.names(1, a.imageNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			var want wire.UpdateImage
			var err error
			changed := cmd.Flags().Changed
			if changed("name") {
				want.Name = &name
			}
			if changed("public") {
				want.Public = &public
			}
			if changed("default") {
				want.Default = &def
			}
			if want.Labels, err = tags.wanted(); err != nil {
				return err
			}
			if want.Protected, err = guard.wanted(); err != nil {
				return err
			}
			if want.Name == nil && want.Public == nil && want.Default == nil && want.Labels == nil && want.Protected == nil {
				return usagef("Say what to change: --name, --label, --unlabel, --public, --default, --protect or --unprotect.")
			}
			return a.updateImage(cmd, args[0], want)
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "new name")
	cmd.Flags().BoolVar(&public, "public", false, "every tenant may use it; --public=false takes that back")
	cmd.Flags().BoolVar(&def, "default", false, "taken when a request names no image")
	tags.register(cmd)
	guard.register(cmd)
	return cmd
}

func (a *app) updateImage(cmd *cobra.Command, name string, want wire.UpdateImage) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	img, err := a.image(cmd.Context(), c, name)
	if err != nil {
		return err
	}
	if img, err = c.UpdateImage(cmd.Context(), img.ID, want); err != nil {
		return err
	}
	return a.print(img, func() writer { return line(img.Name + " is changed.") })
}
