package http3_test

var clientConnRows = []row{}
