package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"sigs.k8s.io/yaml"
)

const defaultConfig = "/etc/lodge/lodged.yaml"

// readConfig sets the flags that a config file names and the command line does
// not. An unknown name or a bad value is an error: a typo must not become a
// default.
func readConfig(path string, flags *pflag.FlagSet) error {
	given := path != ""
	if !given {
		path = defaultConfig
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && !given {
		return nil
	}
	if err != nil {
		return fmt.Errorf("config: %w", err)
	}
	values, err := settings(b)
	if err != nil {
		return fmt.Errorf("config %s: %w", path, err)
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if err := setOne(flags, name, values[name]); err != nil {
			return fmt.Errorf("config %s: %w", path, err)
		}
	}
	return nil
}

// configFile is the config file that is read.
func (f *flags) configFile() string {
	if f.config != "" {
		return f.config
	}
	return defaultConfig
}

// settings reads a config file; one that only has comments sets nothing.
func settings(b []byte) (map[string]any, error) {
	var doc any
	asWritten := func(d *json.Decoder) *json.Decoder {
		d.UseNumber() // 1000000000 and not 1e+09
		return d
	}
	if err := yaml.UnmarshalStrict(b, &doc, asWritten); err != nil {
		return nil, errors.New(firstWrong(err))
	}
	switch doc := doc.(type) {
	case nil:
		return nil, nil
	case map[string]any:
		return doc, nil
	}
	return nil, errors.New("write each setting on a line of its own, as `workers: 4`")
}

// firstWrong is the first thing that a YAML parser found. Below a heading it
// lists keys that are given twice.
func firstWrong(err error) string {
	if inner := errors.Unwrap(err); inner != nil {
		err = inner
	}
	lines := strings.Split(strings.TrimSpace(err.Error()), "\n")
	text := strings.TrimPrefix(strings.TrimSpace(lines[min(1, len(lines)-1)]), "yaml: ")
	return strings.Replace(text, "already set in map", "is given twice", 1)
}

func setOne(flags *pflag.FlagSet, name string, v any) error {
	f := flags.Lookup(name)
	if f == nil || !isSetting(name) {
		return fmt.Errorf("%q is no setting; `lodged --help` lists them", name)
	}
	s, err := text(f, v)
	if err != nil || f.Changed {
		return err
	}
	if err := flags.Set(name, s); err != nil {
		return fmt.Errorf("%s %q: use %s", name, s, wanted(f))
	}
	return nil
}

// isSetting reports whether a name is one of lodged's own flags, which --help,
// --version and those of its commands are not.
func isSetting(name string) bool {
	own := pflag.NewFlagSet("", pflag.ContinueOnError)
	new(flags).register(own)
	return name != "config" && own.Lookup(name) != nil
}

// text is a YAML value as it would stand on the command line.
func text(f *pflag.Flag, v any) (string, error) {
	list, isList := v.([]any)
	if !isList {
		return scalar(f.Name, v)
	}
	if f.Value.Type() != "stringSlice" {
		return "", fmt.Errorf("%s takes one value and not a list", f.Name)
	}
	parts := make([]string, len(list))
	for i, e := range list {
		var err error
		if parts[i], err = scalar(f.Name, e); err != nil {
			return "", err
		}
	}
	return strings.Join(parts, ","), nil
}

// scalar is one value that is neither a list nor a map nor nothing.
func scalar(name string, v any) (string, error) {
	switch v.(type) {
	case nil:
		return "", errEmpty(name)
	case []any, map[string]any:
		return "", fmt.Errorf("%s has a value that is no plain text; write it as %s: VALUE", name, name)
	}
	s := fmt.Sprint(v)
	if s == "" {
		return "", errEmpty(name)
	}
	return s, nil
}

func errEmpty(name string) error {
	return fmt.Errorf("%s is empty; give it a value or leave it out", name)
}

// noEmptyFlag refuses a flag whose value is empty: what a variable that is not
// set leaves behind must not mean the default.
func noEmptyFlag(fs *pflag.FlagSet) (err error) {
	fs.Visit(func(f *pflag.Flag) {
		if err == nil && f.Value.Type() == "string" && f.Value.String() == "" {
			err = errEmpty("--" + f.Name)
		}
	})
	return err
}

// flagMistake says what is wrong with a flag, without the words of Go's parsers.
func flagMistake(err error) error {
	var bad *pflag.InvalidValueError
	if !errors.As(err, &bad) {
		return err
	}
	return fmt.Errorf("--%s %q: use %s", bad.GetFlag().Name, bad.GetValue(), wanted(bad.GetFlag()))
}

// wanted names the values that a flag takes.
func wanted(f *pflag.Flag) string {
	if _, ok := f.Value.(*once); ok {
		return "one only"
	}
	switch f.Value.Type() {
	case "int":
		return "a whole number"
	case "duration":
		return "a time, as 30s"
	case "bool":
		return "true or false"
	}
	return "another value"
}

// once is a text that is given once: of two receivers one would silently get
// nothing.
type once string

func (o *once) String() string { return string(*o) }
func (o *once) Type() string   { return "string" }

func (o *once) Set(v string) error {
	if *o != "" {
		return errors.New("given twice")
	}
	*o = once(v)
	return nil
}
