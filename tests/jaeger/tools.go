//go:build tools

// Package tools names the program that is wanted, so that go.mod and go.sum pin all of it.
package tools

import _ "github.com/jaegertracing/jaeger/cmd/jaeger"
