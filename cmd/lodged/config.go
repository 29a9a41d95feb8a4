package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
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
	var values map[string]any
	if err := yaml.UnmarshalStrict(b, &values); err != nil {
		return fmt.Errorf("config %s: %w", path, err)
	}
	for name, v := range values {
		f := flags.Lookup(name)
		if f == nil || name == "config" {
			return fmt.Errorf("config %s: %q is no setting; `lodged --help` lists them", path, name)
		}
		if f.Changed {
			continue
		}
		if err := flags.Set(name, text(v)); err != nil {
			return fmt.Errorf("config %s: %s: %w", path, name, err)
		}
	}
	return nil
}

// text is a YAML value as it would stand on the command line.
func text(v any) string {
	list, ok := v.([]any)
	if !ok {
		return fmt.Sprint(v)
	}
	parts := make([]string, len(list))
	for i, e := range list {
		parts[i] = fmt.Sprint(e)
	}
	return strings.Join(parts, ",")
}
