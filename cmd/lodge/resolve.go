package main

import (
	"cmp"
	"context"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"lodge/api/client"
	"lodge/api/wire"
)

// uuid is what an id looks like. lodged writes them in lower case.
var uuid = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// one picks the object that a name means. A name that several tenants use has
// to be told apart.
func one[T any](noun, name string, items []T) (T, error) {
	var zero T
	switch len(items) {
	case 0:
		return zero, notFoundf("There is no %s %s.", noun, shown(name))
	case 1:
		return items[0], nil
	}
	return zero, usagef("Several tenants have %s %s %s; say which with --tenant, or give its id.", article(noun), noun, shown(name))
}

// shown is a word of the user as it can stand in a sentence: quoted when a
// terminal would obey it.
func shown(word string) string {
	if strings.ContainsFunc(word, unprintable) || !utf8.ValidString(word) {
		return strconv.Quote(word)
	}
	return word
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }

func article(noun string) string {
	if strings.ContainsAny(noun[:1], "aeiou") {
		return "an"
	}
	return "a"
}

// instance finds an instance by id or name.
func (a *app) instance(ctx context.Context, c *client.Client, arg string) (wire.Instance, error) {
	if uuid.MatchString(arg) {
		return c.Instance(ctx, strings.ToLower(arg))
	}
	items, err := c.AllInstances(ctx, client.Query{Tenant: a.tenant, Name: arg})
	if err != nil {
		return wire.Instance{}, err
	}
	return one("instance", arg, items)
}

func (a *app) image(ctx context.Context, c *client.Client, arg string) (wire.Image, error) {
	if uuid.MatchString(arg) {
		return c.Image(ctx, strings.ToLower(arg))
	}
	items, err := c.AllImages(ctx, client.Query{Tenant: a.tenant, Name: arg})
	if err != nil {
		return wire.Image{}, err
	}
	if a.tenant == "" || len(items) < 2 {
		return one("image", arg, items)
	}
	// A tenant sees the public images of others too; its own one goes first.
	t, err := a.findTenant(ctx, c, a.tenant)
	if err != nil {
		return wire.Image{}, err
	}
	if i := slices.IndexFunc(items, func(i wire.Image) bool { return i.TenantID == t.ID }); i >= 0 {
		return items[i], nil
	}
	return wire.Image{}, usagef("Several tenants have a public image %s and %s has none of its own; give the id.", shown(arg), shown(t.Name))
}

// owner gives the name of a tenant by its id.
type owner func(id string) string

// owner asks for the tenants when the first name is wanted. Where they cannot be
// had, the id has to do.
func (a *app) owner(ctx context.Context, c *client.Client) owner {
	var names map[string]string
	return func(id string) string {
		if names == nil {
			names = map[string]string{}
			tenants, _ := c.AllTenants(ctx, client.Query{})
			for _, t := range tenants {
				names[t.ID] = t.Name
			}
		}
		return cmp.Or(names[id], id)
	}
}

func (a *app) findTenant(ctx context.Context, c *client.Client, arg string) (wire.Tenant, error) {
	if a.way.socket == "" { // a member of several tenants may look at one at a time
		items, err := c.AllTenants(ctx, client.Query{Tenant: arg})
		if err != nil {
			return wire.Tenant{}, err
		}
		return one("tenant", arg, items)
	}
	if uuid.MatchString(arg) {
		return c.Tenant(ctx, strings.ToLower(arg))
	}
	items, err := c.AllTenants(ctx, client.Query{Name: arg})
	if err != nil {
		return wire.Tenant{}, err
	}
	return one("tenant", arg, items)
}

func (a *app) network(ctx context.Context, c *client.Client, arg string) (wire.Network, error) {
	if uuid.MatchString(arg) {
		return c.Network(ctx, strings.ToLower(arg))
	}
	items, err := c.AllNetworks(ctx, client.Query{Tenant: a.tenant, Name: arg})
	if err != nil {
		return wire.Network{}, err
	}
	return one("network", arg, items)
}

// completePatience keeps a shell from hanging on a lodged that does not answer.
const completePatience = 2 * time.Second

// completer gives the words for an argument.
type completer = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective)

// names completes from lodged. most is how many arguments the command takes, -1
// for any number.
func (a *app) names(most int, ask func(context.Context, *client.Client) ([]string, error)) completer {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		const plain = cobra.ShellCompDirectiveNoFileComp
		if most >= 0 && len(args) >= most {
			return nil, plain
		}
		if a.settle(cmd.Context()) != nil { // the root's own hook does not run for a completion
			return nil, plain
		}
		c, err := a.client()
		if err != nil {
			return nil, plain
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completePatience)
		defer cancel()
		words, err := ask(ctx, c)
		if err != nil {
			return nil, plain
		}
		return words, plain
	}
}

// pick makes words of objects.
func pick[T any](items []T, err error, word func(T) string) ([]string, error) {
	words := make([]string, 0, len(items))
	for _, item := range items {
		words = append(words, word(item))
	}
	return words, err
}

func (a *app) instanceNames(ctx context.Context, c *client.Client) ([]string, error) {
	items, err := c.AllInstances(ctx, client.Query{Tenant: a.tenant})
	return pick(items, err, func(i wire.Instance) string { return i.Name + "\t" + i.State })
}

func (a *app) imageNames(ctx context.Context, c *client.Client) ([]string, error) {
	items, err := c.AllImages(ctx, client.Query{Tenant: a.tenant})
	return pick(items, err, func(i wire.Image) string { return i.Name + "\t" + i.State })
}

func (a *app) tenantNames(ctx context.Context, c *client.Client) ([]string, error) {
	items, err := c.AllTenants(ctx, client.Query{})
	return pick(items, err, func(t wire.Tenant) string { return t.Name })
}

func (a *app) networkNames(ctx context.Context, c *client.Client) ([]string, error) {
	items, err := c.AllNetworks(ctx, client.Query{Tenant: a.tenant})
	return pick(items, err, func(n wire.Network) string { return n.Name })
}

func (a *app) flavorNames(ctx context.Context, c *client.Client) ([]string, error) {
	items, err := c.Flavors(ctx)
	return pick(items, err, func(f wire.Flavor) string { return f.ID })
}

// complete gives a flag its words. It panics for a flag that does not exist.
func (a *app) complete(cmd *cobra.Command, flag string, words ...string) {
	a.completeFrom(cmd, flag, func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return words, cobra.ShellCompDirectiveNoFileComp
	})
}

func (a *app) completeFrom(cmd *cobra.Command, flag string, f completer) {
	if err := cmd.RegisterFlagCompletionFunc(flag, f); err != nil {
		panic(err)
	}
}
