module github.com/boringquic/boringquic/cmd/libboringquic/crossing

go 1.26.0
