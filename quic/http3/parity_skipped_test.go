package http3_test

var skippedRows = []row{}
