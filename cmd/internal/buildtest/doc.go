// Package buildtest holds the tests of build.sh: it runs the script in copies of the tree.
package buildtest
