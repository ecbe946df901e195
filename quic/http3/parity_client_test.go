package http3_test

var clientRows = []row{}
