// Package settings reads a configuration struct: environment over a strict YAML file
// over the values that the struct holds already.
package settings

import (
	"encoding"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

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
		file, err := os.Open(path)
		if err != nil {
			return fmt.Errorf("configuration: %w", err)
		}
		defer file.Close()
		values := reflect.ValueOf(config).Elem()
		given := reflect.New(values.Type()).Elem()
		given.Set(values)
		err = yaml.NewDecoder(file, yaml.Strict()).Decode(config)
		switch {
		case errors.Is(err, io.EOF): // it holds nothing, which the decoder takes for zero values
			values.Set(given)
		case err != nil:
			return fmt.Errorf("configuration %s: %s", path, yaml.FormatError(err, false, true))
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

func set(v reflect.Value, text string) error {
	switch target := v.Addr().Interface().(type) {
	case *secret.Secret: // a variable holds the secret, a file only refers to it
		*target = secret.Secret(text)
		return nil
	case *time.Duration:
		d, err := time.ParseDuration(text)
		*target = d
		return err
	case encoding.TextUnmarshaler:
		return target.UnmarshalText([]byte(text))
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		v.SetBool(b)
		return err
	case reflect.Int, reflect.Int64:
		n, err := strconv.ParseInt(text, 10, 64)
		v.SetInt(n)
		return err
	case reflect.Float64:
		f, err := strconv.ParseFloat(text, 64)
		v.SetFloat(f)
		return err
	case reflect.Slice:
		words := reflect.MakeSlice(v.Type(), 0, 1)
		for word := range strings.SplitSeq(text, ",") {
			if word = strings.TrimSpace(word); word != "" {
				words = reflect.Append(words, reflect.ValueOf(word).Convert(v.Type().Elem()))
			}
		}
		v.Set(words)
	}
	return nil
}
