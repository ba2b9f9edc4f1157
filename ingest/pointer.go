package ingest

import (
	"bytes"
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

// node is a place in a document that pointers of the mapping end at or lead through.
type node struct {
	token    string
	index    int     // the token as an array's index; -1 = it is none
	fields   []field // whose pointers end here
	children []*node
}

// add puts a field where its pointer leads.
func (n *node) add(p pointer, f field) {
	for _, token := range p {
		var next *node
		for _, child := range n.children {
			if child.token == token {
				next = child
			}
		}
		if next == nil {
			next = &node{token: token, index: arrayIndex(token)}
			n.children = append(n.children, next)
		}
		n = next
	}
	n.fields = append(n.fields, f)
}

// element is the node of an array's element; nil where nothing of it is mapped.
func (n *node) element(i int) *node {
	for _, child := range n.children {
		if child.index == i {
			return child
		}
	}
	return nil
}

// forget drops what was found here and below.
func (n *node) forget(found *[fieldCount]span) {
	for _, f := range n.fields {
		found[f] = span{}
	}
	for _, child := range n.children {
		child.forget(found)
	}
}

// arrayIndex reads an index without leading zeros (section 4); -1 where it is none.
func arrayIndex(token string) int {
	if token == "" || token[0] == '+' || len(token) > 1 && token[0] == '0' {
		return -1
	}
	i, err := strconv.ParseUint(token, 10, 31)
	if err != nil {
		return -1
	}
	return int(i)
}

func hasEscape(raw []byte) bool { return bytes.IndexByte(raw, '\\') >= 0 }
