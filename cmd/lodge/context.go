package main

import (
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"lodge/api/wire"
	"lodge/cert/pin"
)

// contextView is what is shown of a context: everything but the token.
type contextView struct {
	Name        string    `json:"name"`
	Current     bool      `json:"current"`
	URL         string    `json:"url"`
	Tenant      string    `json:"tenant,omitempty"`
	User        string    `json:"user,omitempty"`
	LoggedIn    bool      `json:"logged_in"`
	ExpiresAt   wire.Time `json:"expires_at,omitzero"`
	Fingerprint string    `json:"fingerprint,omitempty"` // of the authority that is believed; none: the system's
}

func (a *app) view(f *contexts, name string) contextView {
	c := f.Contexts[name]
	v := contextView{
		Name: name, Current: name == f.Current, URL: c.URL, Tenant: c.Tenant, User: c.User, ExpiresAt: c.ExpiresAt,
		LoggedIn: c.Token != "" && (c.ExpiresAt.IsZero() || a.now().Before(c.ExpiresAt.Time)),
	}
	if ca, err := pin.Parse([]byte(c.CA)); err == nil {
		v.Fingerprint = pin.Fingerprint(ca)
	}
	return v
}

// loginText writes what is left of a login.
func (a *app) loginText(v contextView) string {
	switch {
	case v.LoggedIn && v.ExpiresAt.IsZero():
		return "with a token that was given"
	case v.LoggedIn:
		return "until " + a.until(v.ExpiresAt)
	case !v.ExpiresAt.IsZero():
		return "ended"
	}
	return "no"
}

// until writes a moment to come and how far it is.
func (a *app) until(t wire.Time) string {
	text := t.UTC().Format("2006-01-02 15:04:05Z")
	if left := t.Sub(a.now()); left > 0 {
		text += " (in " + nearly(left) + ")"
	}
	return text
}

func (a *app) contextCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "context", Short: "Choose between lodgeds and who you are there"}
	cmd.AddCommand(a.contextListCommand(), a.contextUseCommand(), a.contextShowCommand(), a.contextDeleteCommand(), a.contextRenameCommand())
	return group(cmd)
}

func (a *app) contextListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List contexts",
		Example: "  lodge context list\n  lodge context list -o json",
		Args:    takes(0, 0), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(*cobra.Command, []string) error {
			f, err := a.readContexts()
			if err != nil {
				return err
			}
			views := []contextView{}
			for _, name := range slices.Sorted(maps.Keys(f.Contexts)) {
				views = append(views, a.view(f, name))
			}
			return a.print(views, func() writer {
				t := &table{header: []string{"NAME", "CURRENT", "URL", "TENANT", "USER", "LOGGED IN"}}
				for _, v := range views {
					t.add(v.Name, yesNo(v.Current), v.URL, v.Tenant, v.User, a.loginText(v))
				}
				return t
			})
		},
	}
}

func (a *app) contextShowCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show [NAME]", Short: "Show a context, the current one unless named; never its token",
		Example: "  lodge context show\n  lodge context show prod -o yaml",
		Args:    takes(0, 1), ValidArgsFunction: a.contextNames(1),
		RunE: func(_ *cobra.Command, args []string) error {
			f, err := a.readContexts()
			if err != nil {
				return err
			}
			name := f.Current
			if len(args) > 0 {
				name = args[0]
			}
			if name == "" {
				return notFoundf("No context is current; `lodge context list` shows those there are, and `lodge login URL` makes one.")
			}
			if _, err := f.find(name); err != nil {
				return err
			}
			v := a.view(f, name)
			return a.print(v, func() writer { return a.contextFields(v) })
		},
	}
}

func (a *app) contextFields(v contextView) *fields {
	f := &fields{}
	f.set("Name", v.Name)
	f.set("Current", yesNo(v.Current))
	f.set("URL", v.URL)
	f.set("Tenant", v.Tenant)
	f.set("User", v.User)
	f.set("Logged in", a.loginText(v))
	f.set("Fingerprint", v.Fingerprint)
	return f
}

func (a *app) contextUseCommand() *cobra.Command {
	return &cobra.Command{
		Use: "use NAME", Short: "Make a context the current one", Example: "  lodge context use prod",
		Args: takes(1, 1), ValidArgsFunction: a.contextNames(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.changeContext(args[0], func(f *contexts, _ *place) error {
				f.Current = args[0]
				return nil
			}, "The context %s is current.", args[0])
		},
	}
}

func (a *app) contextDeleteCommand() *cobra.Command {
	return &cobra.Command{
		Use: "delete NAME", Aliases: []string{"rm"}, Short: "Forget a context",
		Long:    "delete forgets a context with its token. It ends no session; `lodge logout` does.",
		Example: "  lodge context delete prod",
		Args:    takes(1, 1), ValidArgsFunction: a.contextNames(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.changeContext(args[0], func(f *contexts, _ *place) error {
				delete(f.Contexts, args[0])
				if f.Current == args[0] {
					f.Current = ""
				}
				return nil
			}, "%s deleted.", args[0])
		},
	}
}

func (a *app) contextRenameCommand() *cobra.Command {
	return &cobra.Command{
		Use: "rename OLD NEW", Short: "Give a context another name", Example: "  lodge context rename 192.0.2.7:8443 prod",
		Args: takes(2, 2), ValidArgsFunction: a.contextNames(1),
		RunE: func(_ *cobra.Command, args []string) error {
			from, to := args[0], args[1]
			if err := checkContextName(to); err != nil {
				return err
			}
			return a.changeContext(from, func(f *contexts, c *place) error {
				if f.Contexts[to] != nil && from != to {
					return refusedf("There is a context %s already; choose another name.", to)
				}
				delete(f.Contexts, from)
				f.Contexts[to] = c
				if f.Current == from {
					f.Current = to
				}
				return nil
			}, "The context %s is now %s.", from, to)
		},
	}
}

// changeContext changes one context and says so.
func (a *app) changeContext(name string, change func(*contexts, *place) error, format string, words ...any) error {
	err := a.changeContexts(func(f *contexts) error {
		c, err := f.find(name)
		if err != nil {
			return err
		}
		return change(f, c)
	})
	if err == nil {
		a.say(format, words...)
	}
	return err
}

// contextNames completes from the file.
func (a *app) contextNames(most int) completer {
	return func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		f, err := a.readContexts()
		if err != nil || most >= 0 && len(args) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return slices.Sorted(maps.Keys(f.Contexts)), cobra.ShellCompDirectiveNoFileComp
	}
}
