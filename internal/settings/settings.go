// Package settings reads a configuration struct: environment over a strict YAML file
// over the values that the struct holds already.
package settings

import (
	"encoding"
	"fmt"
	"os"
	"reflect"
	"sort"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/parser"

	"github.com/barograph/barograph/internal/secret"
)

// Read fills *config, a struct whose fields carry yaml tags, from the YAML file at path
// ("" = no file) and then from the environment: the field kafka.group is PREFIX_KAFKA_GROUP,
// lists of words are separated by commas, and a secret's variable holds the secret itself.
//
// Unknown keys, doubled keys and values of the wrong type are errors that show the line;
// an unknown variable that begins with PREFIX_ is an error that names it, but for those
// listed in known.
func Read(config any, path, prefix string, environ []string, known ...string) error {
	if path != "" {
		if err := readFile(config, path); err != nil {
			return err
		}
	}
	leaves := map[string]leaf{}
	collect(leaves, prefix, reflect.ValueOf(config).Elem(), func() {})
	for _, name := range known {
		leaves[name] = leaf{}
	}
	sort.Strings(environ)
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, prefix+"_") || injected(strings.TrimPrefix(name, prefix+"_")) {
			continue
		}
		found, ok := leaves[name]
		if !ok {
			return fmt.Errorf("environment: %s is not a setting; the settings are the keys of the configuration file in capitals, for example %s_KAFKA_GROUP", name, prefix)
		}
		if !found.value.IsValid() {
			continue
		}
		if err := set(found.value, value); err != nil {
			return fmt.Errorf("environment: %s: %w", name, err)
		}
		found.attach()
	}
	return nil
}

func readFile(config any, path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		return fmt.Errorf("configuration %s: %s", path, yaml.FormatError(err, false, true))
	}
	if len(file.Docs) == 0 || file.Docs[0].Body == nil { // it says nothing
		return nil
	}
	if err := fit(file.Docs[0].Body, reflect.TypeOf(config).Elem(), ""); err != nil {
		return fmt.Errorf("configuration %s: %w", path, err)
	}
	if err := yaml.NodeToValue(file.Docs[0].Body, config, yaml.Strict()); err != nil {
		return fmt.Errorf("configuration %s: %s", path, yaml.FormatError(err, false, true))
	}
	return nil
}

// injected tells the variables that Kubernetes sets for a Service of the prefix's name.
func injected(name string) bool {
	return strings.HasPrefix(name, "SERVICE_") || name == "PORT" || strings.HasPrefix(name, "PORT_")
}

// leaf is a field that one variable can set. attach hangs the struct around it into the
// configuration where that was behind a nil pointer.
type leaf struct {
	value  reflect.Value
	attach func()
}

// collect finds every leaf by the name of its variable. Lists of structs have none: they
// can be set in the file only.
func collect(leaves map[string]leaf, name string, v reflect.Value, attach func()) {
	for i := range v.NumField() {
		field, inner := v.Type().Field(i), v.Field(i)
		tag, options, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		under := name + "_" + strings.ToUpper(tag)
		switch {
		case !field.IsExported() || tag == "-":
		case strings.Contains(options, "inline"):
			collect(leaves, name, inner, attach)
		case tag == "":
		case settable(field.Type):
			leaves[under] = leaf{inner, attach}
		case field.Type.Kind() == reflect.Struct:
			collect(leaves, under, inner, attach)
		case field.Type.Kind() == reflect.Pointer && field.Type.Elem().Kind() == reflect.Struct:
			target := inner
			if inner.IsNil() {
				target = reflect.New(field.Type.Elem())
			}
			collect(leaves, under, target.Elem(), func() { attach(); inner.Set(target) })
		}
	}
}

var textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()

func settable(t reflect.Type) bool {
	if reflect.PointerTo(t).Implements(textUnmarshaler) {
		return true
	}
	switch t.Kind() {
	case reflect.String, reflect.Bool, reflect.Int, reflect.Int64, reflect.Float64:
		return true
	case reflect.Slice:
		return t.Elem().Kind() == reflect.String
	}
	return false
}

// set sets v from the text of one variable. The error says what is wanted.
func set(v reflect.Value, text string) error {
	if target, is := v.Addr().Interface().(*secret.Secret); is { // a variable holds the secret, a file only refers to it
		*target = secret.Secret(text)
		return nil
	}
	switch {
	case v.Kind() == reflect.Slice:
		words := reflect.MakeSlice(v.Type(), 0, 1)
		for word := range strings.SplitSeq(text, ",") {
			if word = strings.TrimSpace(word); word != "" {
				words = reflect.Append(words, reflect.ValueOf(word).Convert(v.Type().Elem()))
			}
		}
		v.Set(words)
	case v.Kind() == reflect.String && !reflect.PointerTo(v.Type()).Implements(textUnmarshaler):
		v.SetString(text)
	default:
		return parse(v, text)
	}
	return nil
}
