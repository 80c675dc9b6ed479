//go:build customrand

//go:debug cryptocustomrand=1
package main
