package http3_test

var serverLifeRows = []row{}
