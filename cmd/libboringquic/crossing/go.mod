module github.com/boringquic/boringquic/cmd/libboringquic/crossing

go 1.26.0

require github.com/boringquic/boringquic v0.0.0-00010101000000-000000000000

replace github.com/boringquic/boringquic => ../../..
