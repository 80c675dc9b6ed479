//go:build !linux

package main

func fork() string { return "no way to fork" }
