module github.com/clonerand/rand/examples

go 1.26.0

require (
	filippo.io/age v1.3.2
	github.com/clonerand/rand v0.0.0
	github.com/gofrs/uuid/v5 v5.5.1
	github.com/google/uuid v1.6.0
	github.com/oklog/ulid/v2 v2.1.2
	golang.org/x/crypto v0.59.0
)

require (
	filippo.io/hpke v0.4.0 // indirect
	golang.org/x/sys v0.50.0 // indirect
)

replace github.com/clonerand/rand => ..
