//go:build !unix

package main

import (
	"errors"
	"fmt"
)

func becomeUser(name string) error {
	return fmt.Errorf("-user %s: this system has no such users: %w", name, errors.ErrUnsupported)
}
