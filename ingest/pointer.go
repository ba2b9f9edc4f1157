package ingest

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// pointer is a JSON Pointer (RFC 6901), split and unescaped.
type pointer []string

// ErrPointer is returned for a mapping that is no JSON Pointer.
var ErrPointer = errors.New("not a JSON Pointer (RFC 6901), such as /content/body or /tickers/0")

// parsePointer reads the string form of RFC 6901, section 3.
func parsePointer(s string) (pointer, error) {
	if s == "" {
		return pointer{}, nil
	}
	if s[0] != '/' {
		return nil, fmt.Errorf("%q: %w", s, ErrPointer)
	}
	tokens := strings.Split(s[1:], "/")
	for i, token := range tokens {
		for j := range len(token) {
			if token[j] == '~' && (j+1 == len(token) || (token[j+1] != '0' && token[j+1] != '1')) {
				return nil, fmt.Errorf("%q: ~ stands before 0 or 1 only: %w", s, ErrPointer)
			}
		}
		// In this order, or ~01 would become / (section 4).
		tokens[i] = strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
	}
	return tokens, nil
}

// find evaluates the pointer on a document of encoding/json's types. What is not there,
// and null, is nil.
func (p pointer) find(document any) any {
	for _, token := range p {
		switch node := document.(type) {
		case map[string]any:
			document = node[token]
		case []any:
			i, ok := arrayIndex(token)
			if !ok || i >= len(node) {
				return nil
			}
			document = node[i]
		default:
			return nil
		}
	}
	return document
}

// arrayIndex reads an index without leading zeros (section 4).
func arrayIndex(token string) (int, bool) {
	if token == "" || (len(token) > 1 && token[0] == '0') {
		return 0, false
	}
	i, err := strconv.ParseUint(token, 10, 31)
	return int(i), err == nil && token[0] != '+'
}
