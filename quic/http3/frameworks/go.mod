module github.com/boringquic/boringquic/quic/http3/frameworks

go 1.26.0

replace github.com/boringquic/boringquic => ../../..

require (
	connectrpc.com/connect v1.21.1
	github.com/boringquic/boringquic v0.0.0-00010101000000-000000000000
	github.com/go-chi/chi/v5 v5.5.0
	github.com/gorilla/mux v1.8.1
	google.golang.org/protobuf v1.36.12
)

require (
	github.com/dunglas/httpsfv v1.1.2 // indirect
	golang.org/x/net v0.56.0 // indirect
	golang.org/x/sys v0.46.0 // indirect
	golang.org/x/text v0.38.0 // indirect
)
