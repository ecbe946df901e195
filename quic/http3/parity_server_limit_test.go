package http3_test

var serverLimitRows = []row{}
