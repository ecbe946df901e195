// Package crossing has programs that are written for quiche speak with each other, each of them linked once to quiche itself and once to our
// library under quiche's names: so one side of a connection is quiche's and the other ours. It is a module of its own since it wants cargo and cmake,
// which build quiche with its C functions into the user's cache folder: some minutes, once.
package crossing
