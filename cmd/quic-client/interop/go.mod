module github.com/boringquic/boringquic/cmd/quic-client/interop

go 1.26.0

replace github.com/boringquic/boringquic => ../../..

require (
	github.com/boringquic/boringquic v0.0.0-00010101000000-000000000000
	github.com/quic-go/qpack v0.6.0
	github.com/quic-go/quic-go v0.65.0
	golang.org/x/net v0.56.0
)

require (
	github.com/dunglas/httpsfv v1.1.2 // indirect
	golang.org/x/crypto v0.54.0 // indirect
	golang.org/x/sys v0.47.0 // indirect
	golang.org/x/text v0.40.0 // indirect
)
