package ingest

import (
	"errors"
	"fmt"
	"strings"
)

// Class says what is wrong with a message, in a word that metrics, headers and
// `barograph feed deadletters --reason` share. It is an error so that errors.Is tells
// the class of a Rejection.
type Class string

// Classes of bad input, and (the last two) of failures in a stage.
const (
	NotJSON     Class = "not-json"     // not one JSON object and nothing else
	InvalidUTF8 Class = "invalid-utf8" // bytes that are no UTF-8, anywhere in the message
	WrongType   Class = "wrong-type"   // a field holds another type than it should
	BadValue    Class = "bad-value"    // a field of the right type holds what cannot be meant
	NoText      Class = "no-text"      // neither title nor text
	NoTime      Class = "no-time"      // no time of publication
	Future      Class = "future"       // published further ahead than clocks go wrong
	TooOld      Class = "too-old"      // published before the history that is kept
	TooLarge    Class = "too-large"    // more text than is read
	Failed      Class = "failed"       // a stage gave the item up
	Panicked    Class = "panic"        // the program's own fault, confined to this message
)

// Classes lists them all.
func Classes() []Class {
	return []Class{NotJSON, InvalidUTF8, WrongType, BadValue, NoText, NoTime, Future, TooOld, TooLarge, Failed, Panicked}
}

// Error implements error.
func (c Class) Error() string { return string(c) }

// Rejection says why a message is no item. It prints as "class: detail", the value of
// the barograph-reason header, and matches its Class and cause by errors.Is.
type Rejection struct {
	Class  Class
	Field  string // of the wire format, where one is to blame
	Detail string // for people
	Err    error  // cause; may be nil
}

// Error implements error.
func (r *Rejection) Error() string {
	var b strings.Builder
	b.WriteString(string(r.Class))
	b.WriteString(": ")
	if r.Field != "" {
		b.WriteString(r.Field + ": ")
	}
	b.WriteString(r.Detail)
	if r.Err != nil {
		if r.Detail != "" {
			b.WriteString(": ")
		}
		b.WriteString(r.Err.Error())
	}
	return b.String()
}

// Unwrap gives the class and the cause to errors.Is and errors.As.
func (r *Rejection) Unwrap() []error {
	if r.Err == nil {
		return []error{r.Class}
	}
	return []error{r.Class, r.Err}
}

// rejection makes any error one: those of stages are of class Failed.
func rejection(err error) *Rejection {
	var r *Rejection
	if errors.As(err, &r) {
		return r
	}
	return &Rejection{Class: Failed, Err: err}
}

func reject(class Class, field, format string, args ...any) *Rejection {
	return &Rejection{Class: class, Field: field, Detail: fmt.Sprintf(format, args...)}
}
