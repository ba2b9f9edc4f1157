package secret

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// Check names every secret within v that refers to nothing, by its key: name, and then the yaml
// tags that lead to it. v is a struct, or holds some in pointers and lists. Whoever sends secrets
// of v checks it first.
func Check(name string, v any) error { return check(name, reflect.ValueOf(v)) }

func check(name string, v reflect.Value) error {
	var faults []error
	switch {
	case v.Type() == reflect.TypeFor[Secret]():
		if err := v.Interface().(Secret).Err(); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	case v.Kind() == reflect.Pointer && !v.IsNil():
		return check(name, v.Elem())
	case v.Kind() == reflect.Slice:
		for i := range v.Len() {
			faults = append(faults, check(name, v.Index(i)))
		}
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			tag, options, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
			switch {
			case strings.Contains(options, "inline"):
				faults = append(faults, check(name, v.Field(i)))
			case tag != "" && tag != "-":
				faults = append(faults, check(name+"."+tag, v.Field(i)))
			}
		}
	}
	return errors.Join(faults...)
}
