package settings

import (
	"encoding"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"

	"github.com/barograph/barograph/internal/secret"
)

// fit finds the values of a file that do not fit their settings, before the decoder does, which
// speaks of Go's types: the error names the key, what was found and what is wanted. What it does
// not know, such as keys that are no settings and what anchors stand for, is the decoder's.
func fit(n ast.Node, t reflect.Type, key string) error {
	switch n := n.(type) {
	case nil, *ast.NullNode, *ast.AnchorNode, *ast.AliasNode, *ast.TagNode, *ast.MergeKeyNode:
		return nil
	case ast.ScalarNode:
		return fitScalar(n, t, key)
	}
	switch section, isSection := n.(ast.MapNode); {
	case leafOf(t), !isSection && t.Kind() != reflect.Slice, isSection && t.Kind() == reflect.Slice:
		return misfit(n, t, key)
	case isSection:
		return fitSection(section, t, key)
	}
	list, is := n.(*ast.SequenceNode)
	if !is {
		return nil
	}
	for i, entry := range list.Values {
		if t.Elem().Kind() == reflect.String {
			list.Values[i] = rejoined(entry)
		}
		if err := fit(list.Values[i], t.Elem(), fmt.Sprintf("%s[%d]", key, i)); err != nil {
			return err
		}
	}
	return nil
}

func fitSection(section ast.MapNode, t reflect.Type, key string) error {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	for pairs := section.MapRange(); pairs.Next(); {
		name := pairs.Key().GetToken().Value
		of, known := field(t, name)
		if t.Kind() == reflect.Map {
			of, known = t.Elem(), true
		}
		if !known {
			continue
		}
		if err := fit(pairs.Value(), of, strings.TrimPrefix(key+"."+name, ".")); err != nil {
			return err
		}
	}
	return nil
}

// field is the type of a struct's field by its yaml tag.
func field(t reflect.Type, name string) (reflect.Type, bool) {
	if t.Kind() != reflect.Struct {
		return nil, false
	}
	for i := range t.NumField() {
		tag, options, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
		if tag == name && tag != "-" {
			return t.Field(i).Type, true
		}
		if strings.Contains(options, "inline") {
			if of, known := field(t.Field(i).Type, name); known {
				return of, true
			}
		}
	}
	return nil, false
}

// fitScalar tries a value as the environment's would be set, but for secrets, which a file only
// refers to.
func fitScalar(n ast.ScalarNode, t reflect.Type, key string) error {
	if !leafOf(t) {
		return misfit(n, t, key)
	}
	text := n.GetToken().Value
	switch value := n.(type) {
	case *ast.LiteralNode:
		text = value.Value.Value
	case *ast.FloatNode:
		if t.Kind() == reflect.Int && value.Value == math.Trunc(value.Value) {
			return nil
		}
	case *ast.StringNode: // 64e6 is a whole number, too, to the decoder
		if f, err := strconv.ParseFloat(text, 64); t.Kind() == reflect.Int && err == nil && f == math.Trunc(f) && math.Abs(f) < 1<<53 {
			return nil
		}
	case *ast.IntegerNode:
		if durationOf(t) && value.Token.Value == "0" { // which the decoder does not take
			return located(n, key+`: "0" is not a time with its unit, such as 0s, 90s or 24h`)
		}
		// 0x40 and 1_000 are numbers in YAML; the decoder knows how large they may be.
		if k := t.Kind(); !durationOf(t) && (k == reflect.Float64 || k == reflect.Int || k == reflect.Int64) && fits(value, t) {
			return nil
		}
	case *ast.InfinityNode, *ast.NanNode:
		return nil
	}
	if t == reflect.TypeFor[secret.Secret]() {
		var s secret.Secret
		if err := s.UnmarshalText([]byte(text)); err != nil {
			return atSecret(n, fmt.Errorf("%s: %w", key, err))
		}
		return nil
	}
	if err := set(reflect.New(t).Elem(), text); err != nil {
		return located(n, fmt.Sprintf("%s: %v", key, err))
	}
	return nil
}

// fits tells whether a whole number of YAML is one of the setting's type.
func fits(n *ast.IntegerNode, t reflect.Type) bool {
	v := reflect.New(t).Elem()
	switch value := n.Value.(type) {
	case int64:
		return v.Kind() == reflect.Float64 || !v.OverflowInt(value)
	case uint64:
		return v.Kind() == reflect.Float64 || value <= math.MaxInt64 && !v.OverflowInt(int64(value))
	}
	return false
}

// leafOf tells the types that one value sets; lists of words are none in a file.
func leafOf(t reflect.Type) bool { return t.Kind() != reflect.Slice && settable(t) }

func durationOf(t reflect.Type) bool { return t.Kind() == reflect.Int64 && t.Name() == "Duration" }

func misfit(n ast.Node, t reflect.Type, key string) error {
	found := "a section"
	switch n := n.(type) {
	case *ast.SequenceNode:
		found = "a list"
	case ast.ScalarNode:
		found = strconv.Quote(n.GetToken().Value)
	}
	if key == "" {
		key = "the whole of it"
	}
	if t == reflect.TypeFor[secret.Secret]() {
		return atSecret(n, fmt.Errorf("%s is %s; it is %s", key, found, wanted(t)))
	}
	return located(n, fmt.Sprintf("%s is %s; it is %s", key, found, wanted(t)))
}

// located adds where in the file it is, with its lines.
func located(n ast.Node, message string) error {
	return errors.New(yaml.FormatErrorWithToken(message, n.GetToken(), false, true))
}

// atSecret adds where in the file it is, without the line, which would show the secret.
func atSecret(n ast.Node, err error) error {
	at := n.GetToken().Position
	return fmt.Errorf("[%d:%d] %w", at.Line, at.Column, err)
}

// wanted says what a setting of the type is.
func wanted(t reflect.Type) string {
	switch {
	case durationOf(t):
		return "a time with its unit, such as 90s or 24h"
	case t == reflect.TypeFor[slog.Level]():
		return "debug, info, warn or error"
	case t == reflect.TypeFor[secret.Secret]():
		return "env:NAME or file:PATH"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int64:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	case reflect.Slice:
		if t.Elem().Kind() == reflect.String {
			return "a list, such as [a, b]"
		}
		return "a list of sections, each after a -"
	case reflect.Struct, reflect.Pointer, reflect.Map:
		if !settable(t) {
			return "a section of keys and values"
		}
	}
	return "one value"
}

// rejoined is host:port as one word. Within braces the parser takes [host:port] for a section, which in
// YAML needs a blank after the colon.
func rejoined(n ast.Node) ast.Node {
	section, is := n.(*ast.MappingNode)
	if !is || section.IsFlowStyle || len(section.Values) != 1 {
		return n
	}
	pair := section.Values[0]
	name, isWord := pair.Key.(*ast.StringNode)
	value, isScalar := pair.Value.(ast.ScalarNode)
	if !isWord || !isScalar {
		return n
	}
	colon, after := pair.Start.Position, value.GetToken().Position
	if after.Line != colon.Line || after.Column != colon.Column+1 {
		return n
	}
	word := name.Token.Clone()
	word.Value += ":" + value.GetToken().Value
	return ast.String(word)
}

// parse sets v from the text of a setting; the error says what is wanted.
func parse(v reflect.Value, text string) error {
	var err error
	switch target := v.Addr().Interface().(type) {
	case *time.Duration:
		*target, err = time.ParseDuration(text)
	case encoding.TextUnmarshaler:
		err = target.UnmarshalText([]byte(text))
		if err != nil && !durationOf(v.Type()) && v.Type() != reflect.TypeFor[slog.Level]() {
			return err // in the setting's own words
		}
	default:
		switch v.Kind() {
		case reflect.Bool:
			var b bool
			b, err = strconv.ParseBool(text)
			v.SetBool(b)
		case reflect.Int, reflect.Int64:
			var n int64
			n, err = strconv.ParseInt(text, 10, 64)
			v.SetInt(n)
		case reflect.Float64:
			var f float64
			f, err = strconv.ParseFloat(text, 64)
			v.SetFloat(f)
		}
	}
	if err != nil {
		return fmt.Errorf("%q is not %s", text, wanted(v.Type()))
	}
	return nil
}
