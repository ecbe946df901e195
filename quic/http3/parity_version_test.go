package http3_test

var versionRows = []row{}
