package http3_test

var clientWireRows = []row{}
